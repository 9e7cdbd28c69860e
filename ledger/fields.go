package ledger

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"strconv"
	"time"
)

// fieldReader reads out of rows what sums and index need, five to ten times as fast as ParseEvent: verifying does it with every row of the log. It relies on the canonical form: sorted members without white space. A row in
// another form gives other fields or none, and the hashing has named it by then. One goroutine owns it.
type fieldReader struct {
	texts  map[string]string // texts repeat: each is kept once
	logged []byte            // the newest time, as text
	nanos  int64

	event    Event
	src, dst Endpoint
	party    Party
	addon    Addon
	process  Process
	dns      DNS
	zone     Zone
	evidence Evidence
	tls      TLS
	gap      Gap
	beat     Heartbeat

	start, end []byte // of this row, as text
}

// mostTexts bounds the texts that are kept.
const mostTexts = 8192

// read returns an event that is valid until the next read; only the fields named here are set.
func (r *fieldReader) read(row []byte) *Event {
	e := &r.event
	*e = Event{}
	r.start, r.end = nil, nil
	members(row, func(key, value []byte) bool {
		switch string(key) {
		case "addon":
			r.addon = Addon{}
			e.Addon = &r.addon
			r.object(value, "name", &r.addon.Name, "on_behalf_of", &r.addon.OnBehalfOf)
		case "channel":
			e.Channel = r.text(value)
		case "direction":
			e.Direction = r.text(value)
		case "dns":
			r.dns = DNS{}
			e.DNS = &r.dns
			members(value, r.lookup)
		case "dst":
			r.dst = Endpoint{}
			e.Dst = &r.dst
			r.object(value, "host", &r.dst.Host, "ip", &r.dst.IP)
		case "dst_bytes":
			e.DstBytes = integerOf(value)
		case "evidence":
			r.evidence = Evidence{}
			e.Evidence = &r.evidence
			members(value, r.witness)
		case "end":
			r.end = value
		case "gap":
			r.gap = Gap{}
			e.Gap = &r.gap
			r.object(value, "reason", &r.gap.Reason, "", nil)
		case "heartbeat":
			r.beat = Heartbeat{}
			e.Heartbeat = &r.beat
			members(value, func(key, value []byte) bool {
				if string(key) == "dropped" {
					r.beat.Dropped = integerOf(value)
				}
				return string(key) < "dropped"
			})
		case "kind":
			e.Kind = r.text(value)
		case "logged":
			e.Logged = r.time(value)
		case "new_dst_bytes":
			e.NewDstBytes = integerOf(value)
		case "new_src_bytes":
			e.HasNew, e.NewSrcBytes = true, integerOf(value)
		case "party":
			r.party = Party{}
			e.Party = &r.party
			r.object(value, "class", &r.party.Class, "name", &r.party.Name)
		case "process":
			r.process = Process{}
			e.Process = &r.process
			members(value, func(key, value []byte) bool {
				switch string(key) {
				case "exe":
					r.process.Exe = r.text(value)
				case "name":
					r.process.Name = r.text(value)
				case "role":
					r.process.Role = r.text(value)
				}
				return string(key) < "role"
			})
		case "rule":
			e.Rule = r.text(value)
		case "seq":
			e.Seq = uint64(integerOf(value))
		case "src":
			r.src = Endpoint{}
			e.Src = &r.src
			r.object(value, "ip", &r.src.IP, "", nil)
		case "src_bytes":
			e.SrcBytes = integerOf(value)
		case "start":
			r.start = value
		case "state":
			e.State = r.text(value)
		case "tls":
			r.tls = TLS{}
			e.TLS = &r.tls
			members(value, func(key, value []byte) bool {
				switch string(key) {
				case "ech":
					r.tls.ECH = string(value) == "true"
				case "ech_kind":
					r.tls.ECHKind = r.text(value)
				}
				return string(key) < "ech_kind"
			})
		}
		return true
	})
	if e.Kind == "heartbeat" || e.Kind == "gap" || e.Kind == "lifecycle" { // of calls nobody asks
		e.Start, e.End = r.time(r.start), r.time(r.end)
	}
	return e
}

// lookup takes a member of a DNS object.
func (r *fieldReader) lookup(key, value []byte) bool {
	switch string(key) {
	case "name":
		r.dns.Name = r.text(value)
	case "zone":
		r.zone = Zone{}
		r.dns.Zone = &r.zone
		members(value, func(key, value []byte) bool {
			switch string(key) {
			case "bytes":
				r.zone.Bytes = integerOf(value)
			case "entropy":
				r.zone.Entropy = integerOf(value)
			case "names":
				r.zone.Names = integerOf(value)
			case "queries":
				r.zone.Queries = integerOf(value)
			}
			return true
		})
	}
	return true
}

// aConflict stands for whatever the conflicts of a row are.
var aConflict = []string{""}

// witness takes a member of an evidence object.
func (r *fieldReader) witness(key, value []byte) bool {
	switch string(key) {
	case "confidence":
		r.evidence.Confidence = r.text(value)
	case "conflicts":
		if len(value) > len("[]") {
			r.evidence.Conflicts = aConflict
		}
	case "reason":
		r.evidence.Reason = r.text(value)
	}
	return string(key) < "reason" // the stack, which is the longest of all, comes later
}

// object reads one or two text members, named in their order.
func (r *fieldReader) object(value []byte, name1 string, to1 *string, name2 string, to2 *string) {
	members(value, func(key, value []byte) bool {
		switch {
		case string(key) == name1:
			*to1 = r.text(value)
		case to2 != nil && string(key) == name2:
			*to2 = r.text(value)
		}
		return string(key) < max(name1, name2)
	})
}

// text is the text of a value, "" when it is none.
func (r *fieldReader) text(value []byte) string {
	if len(value) < 2 || value[0] != '"' {
		return ""
	}
	if known, ok := r.texts[string(value)]; ok {
		return known
	}
	text := string(value[1 : len(value)-1])
	if bytes.IndexByte(value, '\\') >= 0 && json.Unmarshal(value, &text) != nil {
		return ""
	}
	if r.texts == nil || len(r.texts) >= mostTexts {
		r.texts = map[string]string{}
	}
	r.texts[string(value)] = text
	return text
}

// time reads a time; the rows of a batch have the same.
func (r *fieldReader) time(value []byte) int64 {
	if value == nil {
		return 0
	}
	if r.nanos != 0 && bytes.Equal(value, r.logged) {
		return r.nanos
	}
	t, err := time.Parse(`"`+time.RFC3339Nano+`"`, string(value))
	if err != nil {
		return 0
	}
	r.logged, r.nanos = append(r.logged[:0], value...), t.UnixNano()
	return r.nanos
}

// members calls yield for the members of an object until it returns false: the canonical form sorts them. What is no object has none.
func members(object []byte, yield func(key, value []byte) bool) {
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
		if !yield(key, value[:end]) {
			return
		}
		if rest = value[end:]; len(rest) == 0 || rest[0] != ',' {
			return
		}
		rest = rest[1:]
	}
}

// stringEnd is the length of the string at the beginning of b with its quotes, -1 when it does not end.
func stringEnd(b []byte) int {
	for i := 1; i < len(b); {
		n := quoteOrBackslash(b[i:])
		if n < 0 {
			return -1
		}
		if i += n; b[i] == '"' {
			return i + 1
		}
		i += 2 // what follows a backslash does not end the string
	}
	return -1
}

// quoteOrBackslash is where the first of them is, -1 when there is none. Strings in rows are short, and two bytes are looked for: eight bytes at a time are faster than bytes.IndexByte.
func quoteOrBackslash(b []byte) int {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		word := binary.LittleEndian.Uint64(b[i:])
		quotes, backslashes := word^'"'*eachByte, word^'\\'*eachByte // what is looked for becomes zero
		if zeros := ((quotes-eachByte)&^quotes | (backslashes-eachByte)&^backslashes) & eachTop; zeros != 0 {
			return i + bits.TrailingZeros64(zeros)/8 // the lowest bit is that of the first zero
		}
	}
	for ; i < len(b); i++ {
		if b[i] == '"' || b[i] == '\\' {
			return i
		}
	}
	return -1
}

// valueEnd is the length of the value at the beginning of b, -1 when it does not end.
func valueEnd(b []byte) int {
	if len(b) == 0 {
		return -1
	}
	switch b[0] {
	case '"':
		return stringEnd(b)
	case '{', '[':
		return nestedEnd(b)
	}
	for i, c := range b { // integers and flags are short
		if c == ',' || c == '}' || c == ']' {
			return i
		}
	}
	return -1
}

// nestedEnd is the length of the object or array at the beginning of b, -1 when it does not end. Eight bytes are looked at together: which of them are quotes tells which stand in strings, and brackets there do not count.
func nestedEnd(b []byte) int {
	depth, i := 0, 0
	inside := uint64(0) // all bits set: a string began before
	for ; i+8 <= len(b); i += 8 {
		word := binary.LittleEndian.Uint64(b[i:])
		if backslashes := word ^ '\\'*eachByte; (backslashes-eachByte)&^backslashes&eachTop != 0 {
			return slowEnd(b, i, depth, inside != 0)
		}
		counts := bytesEqual(word, '"') >> 7 * eachByte // in each byte: how many quotes stand up to there
		within := counts&eachByte*0x80 ^ inside
		inside ^= -(counts >> 56 & 1)
		brackets := word | 0x20*eachByte // square ones become curly ones
		begin, end := bytesEqual(brackets, '{')&^within, bytesEqual(brackets, '}')&^within
		if end == 0 {
			depth += bits.OnesCount64(begin)
			continue
		}
		for all := begin | end; all != 0; all &= all - 1 {
			if all&-all&begin != 0 {
				depth++
			} else if depth--; depth == 0 {
				return i + bits.TrailingZeros64(all)/8 + 1
			}
		}
	}
	return slowEnd(b, i, depth, inside != 0)
}

// slowEnd goes on byte by byte where nestedEnd stopped.
func slowEnd(b []byte, i, depth int, inside bool) int {
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case inside && c == '\\':
			i++ // what follows does not end the string
		case c == '"':
			inside = !inside
		case inside:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// Each byte of a word, and the top bit of each.
const eachByte, eachTop = 0x0101010101010101, 0x8080808080808080

// bytesEqual sets the top bit of the bytes of a word that are c, and no other.
func bytesEqual(word uint64, c byte) uint64 {
	x := word ^ uint64(c)*eachByte
	return ^((x&^eachTop + ^uint64(eachTop)) | x) & eachTop
}

// integerOf reads an integer, 0 when it is none.
func integerOf(value []byte) int64 {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
