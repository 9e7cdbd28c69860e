package ledger

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

// rollupFields reads out of a row what rollupOf needs, five to ten times as fast as ParseEvent: verifying adds up every row of the log. It relies on the canonical form: members without white space. A row in another form
// gives other sums or none, and the hashing has named it by then.
func rollupFields(row []byte) (e Event) {
	members(row, func(key, value []byte) {
		switch string(key) {
		case "addon":
			e.Addon = &Addon{Name: member(value, "name")}
		case "channel":
			e.Channel = unquote(value)
		case "direction":
			e.Direction = unquote(value)
		case "dst":
			e.Dst = &Endpoint{IP: member(value, "ip"), Host: member(value, "host")}
		case "dst_bytes":
			e.DstBytes = integerOf(value)
		case "evidence":
			e.Evidence = &Evidence{}
		case "kind":
			e.Kind = unquote(value)
		case "logged":
			if t, err := time.Parse(time.RFC3339Nano, unquote(value)); err == nil {
				e.Logged = t.UnixNano()
			}
		case "new_dst_bytes":
			e.NewDstBytes = integerOf(value)
		case "new_src_bytes":
			e.HasNew, e.NewSrcBytes = true, integerOf(value)
		case "party":
			e.Party = &Party{Class: member(value, "class"), Name: member(value, "name")}
		case "process":
			e.Process = &Process{Name: member(value, "name")}
		case "seq":
			e.Seq = uint64(integerOf(value))
		case "src":
			e.Src = &Endpoint{IP: member(value, "ip")}
		case "src_bytes":
			e.SrcBytes = integerOf(value)
		}
	})
	return e
}

// members calls yield for the members of an object. What is no object has none.
func members(object []byte, yield func(key, value []byte)) {
	if len(object) < 2 || object[0] != '{' {
		return
	}
	for rest := object[1:]; len(rest) > 0 && rest[0] == '"'; {
		n := stringEnd(rest)
		if n < 0 || n >= len(rest) || rest[n] != ':' {
			return
		}
		key, value := rest[1:n-1], rest[n+1:]
		end := valueEnd(value)
		if end < 0 {
			return
		}
		yield(key, value[:end])
		if rest = value[end:]; len(rest) == 0 || rest[0] != ',' {
			return
		}
		rest = rest[1:]
	}
}

// member is a text member of an object, "" when it has none.
func member(object []byte, name string) (text string) {
	members(object, func(key, value []byte) {
		if string(key) == name {
			text = unquote(value)
		}
	})
	return text
}

// stringEnd is the length of the string at the beginning of b with its quotes, -1 when it does not end.
func stringEnd(b []byte) int {
	for i := 1; i < len(b); i++ {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		slashes := 0
		for b[i-1-slashes] == '\\' { // ends at the opening quote at the latest
			slashes++
		}
		if slashes%2 == 0 {
			return i + 1
		}
	}
	return -1
}

// valueEnd is the length of the value at the beginning of b, -1 when it does not end.
func valueEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); {
		switch b[i] {
		case '"':
			n := stringEnd(b[i:])
			if n < 0 {
				return -1
			}
			i += n
		case '{', '[':
			depth++
			i++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
			i++
		case ',':
			if depth == 0 {
				return i
			}
			i++
			continue
		default:
			i++
			continue
		}
		if depth == 0 {
			return i
		}
	}
	return -1
}

func unquote(value []byte) string {
	if len(value) < 2 || value[0] != '"' {
		return ""
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1])
	}
	var text string
	if json.Unmarshal(value, &text) != nil {
		return ""
	}
	return text
}

func integerOf(value []byte) int64 {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
