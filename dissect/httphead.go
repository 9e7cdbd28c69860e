package dissect

import (
	"bytes"
	"strconv"
	"strings"

	"netaudit/dissect/tls"
)

// headFields are the fields of one head, in their order. They point into the head: values stay inside the parser.
type headFields []headField

type headField struct{ name, value []byte }

// get returns the first value of a field, nil when it is absent.
func (l headFields) get(name string) []byte {
	for _, f := range l {
		if len(f.name) == len(name) && strings.EqualFold(string(f.name), name) {
			return f.value
		}
	}
	return nil
}

// splitHead separates the first line from the fields. Both are good until the next call.
func (e *Engine) splitHead(head []byte) ([]byte, headFields) {
	line, rest := cutLine(head)
	fields := e.fields[:0]
	for len(rest) > 0 && len(fields) < 2*mostHeaders {
		var one []byte
		one, rest = cutLine(rest)
		name, value, ok := bytes.Cut(one, []byte(":"))
		name = bytes.TrimRight(name, " \t") // some servers take it so, though they must not (RFC 9112 §5.1)
		if ok && len(name) > 0 && !bytes.ContainsAny(name, " \t") {
			fields = append(fields, headField{name, bytes.TrimSpace(value)})
		}
	}
	e.fields = fields
	return line, fields
}

// cutLine takes the first line off, without its end.
func cutLine(b []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(b, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), rest
}

// headerNames are the fields' names in lower case. Clients send the same ones in the same order: each list is made once.
func (e *Engine) headerNames(fields headFields) []string {
	fields = fields[:min(len(fields), mostHeaders)]
	if len(fields) == 0 {
		return nil
	}
	key := e.headerKey[:0]
	for _, f := range fields {
		key = append(append(key, f.name...), '\n')
	}
	e.headerKey = key
	if known, ok := e.headerLists[string(key)]; ok {
		return known
	}
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = strings.ToLower(tls.CleanText(string(f.name)))
	}
	if e.headerLists == nil || len(e.headerLists) >= mostHeaderLists {
		e.headerLists = map[string][]string{}
	}
	e.headerLists[string(key)] = names
	return names
}

// mostHeaderLists bounds the lists that are remembered; then all are forgotten.
const mostHeaderLists = 512

// authorityOf is the authority of a target in absolute form (RFC 9112 §3.2.2), nil for other forms.
func authorityOf(target []byte) []byte {
	i := bytes.Index(target, []byte("://"))
	if i <= 0 || bytes.ContainsAny(target[:i], "/?#") {
		return nil
	}
	authority := target[i+3:]
	if j := bytes.IndexAny(authority, "/?#"); j >= 0 {
		authority = authority[:j]
	}
	return authority
}

// path is a request target without scheme, authority, query and fragment. Parts that are mail addresses, and values of parameters, are masked.
func (e *Engine) path(target []byte) string {
	if authority := authorityOf(target); authority != nil {
		target = target[bytes.Index(target, []byte("://"))+3+len(authority):]
		if len(target) == 0 || target[0] != '/' {
			target = append([]byte{'/'}, target...)
		}
	}
	if i := bytes.IndexAny(target, "?#"); i >= 0 {
		target = target[:i]
	}
	return maskMail(maskParameters(cut(e.text(target), longestPath)))
}

// hostWithoutPort is a Host field or authority in lower case, without port, user and password.
func (e *Engine) hostWithoutPort(host []byte) string {
	if i := bytes.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	if len(host) > 0 && host[0] == '[' {
		host, _, _ = bytes.Cut(host[1:], []byte("]"))
	} else if i := bytes.IndexByte(host, ':'); i >= 0 && bytes.IndexByte(host[i+1:], ':') < 0 {
		host = host[:i]
	}
	return e.hostName(host)
}

// portOf is the port of an authority, 0 when it has none.
func portOf(authority []byte) uint16 {
	i := bytes.LastIndexByte(authority, ':')
	if i < 0 {
		return 0
	}
	n, err := strconv.ParseUint(string(authority[i+1:]), 10, 16)
	if err != nil {
		return 0
	}
	return uint16(n)
}

// maskParameters hides the values of a path's parameters (RFC 3986 §3.3): some servers put the session's id there.
func maskParameters(path string) string {
	if !strings.Contains(path, ";") {
		return path
	}
	parts := strings.Split(path, "/")
	for i, part := range parts {
		parameters := strings.Split(part, ";")
		for j, parameter := range parameters[1:] {
			if name, _, ok := strings.Cut(parameter, "="); ok {
				parameters[1+j] = name + "=***"
			}
		}
		parts[i] = strings.Join(parameters, ";")
	}
	return strings.Join(parts, "/")
}

// masked stands for a mail address.
const masked = "<mail>"

// maskMail replaces every part of a path, or word of a text, that holds a mail address.
func maskMail(text string) string {
	if !strings.Contains(text, "@") && !strings.Contains(text, "%40") {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		n := strings.IndexAny(text, "/ ;,()<>")
		if n < 0 {
			n = len(text)
		}
		if part := text[:n]; strings.Contains(part, "@") || strings.Contains(part, "%40") {
			b.WriteString(masked)
		} else {
			b.WriteString(part)
		}
		if n < len(text) {
			b.WriteByte(text[n])
			n++
		}
		text = text[n:]
	}
	return b.String()
}

func cut(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}
