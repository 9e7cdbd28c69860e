package ledger

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"time"
)

// fieldReader reads out of rows what sums and index need, five to ten times as fast as ParseEvent: verifying does it with every row of the log. It relies on the canonical form: sorted members without white space. A row in
// another form gives other fields or none, and the hashing has named it by then. One goroutine owns it.
type fieldReader struct {
	texts  [mostTexts]string // texts repeat
	logged []byte            // the newest time, as text
	nanos  int64

	addons       memo[Addon]
	destinations memo[Endpoint]
	parties      memo[Party]
	processes    memo[Process]

	event    Event
	src      Endpoint
	dns      DNS
	zone     Zone
	evidence Evidence
	tls      TLS
	gap      Gap
	beat     Heartbeat

	seq        int64
	start, end []byte // of this row, as text
}

// mostTexts is how many texts are kept.
const mostTexts = 1024

// read returns an event that is valid until the next read; only the fields named here are set.
func (r *fieldReader) read(row []byte) *Event {
	e := &r.event
	*e = Event{}
	r.seq, r.start, r.end = 0, nil, nil
	members(row, func(key, rest []byte) int {
		switch string(key) {
		case "addon":
			return recall(&r.addons, rest, &e.Addon, func(a *Addon) int { return r.twoTexts(rest, "name", &a.Name, "on_behalf_of", &a.OnBehalfOf) })
		case "channel":
			return r.text(rest, &e.Channel)
		case "direction":
			return r.text(rest, &e.Direction)
		case "dns":
			r.dns = DNS{}
			e.DNS = &r.dns
			return members(rest, r.lookup)
		case "dst":
			return recall(&r.destinations, rest, &e.Dst, func(d *Endpoint) int { return r.twoTexts(rest, "host", &d.Host, "ip", &d.IP) })
		case "dst_bytes":
			return readInteger(rest, &e.DstBytes)
		case "end":
			return span(rest, &r.end)
		case "evidence":
			r.evidence = Evidence{}
			e.Evidence = &r.evidence
			return members(rest, r.witness)
		case "gap":
			r.gap = Gap{}
			e.Gap = &r.gap
			return r.oneText(rest, "reason", &r.gap.Reason)
		case "heartbeat":
			r.beat = Heartbeat{}
			e.Heartbeat = &r.beat
			return members(rest, r.pulse)
		case "kind":
			return r.text(rest, &e.Kind)
		case "logged":
			return r.time(rest, &e.Logged)
		case "new_dst_bytes":
			return readInteger(rest, &e.NewDstBytes)
		case "new_src_bytes":
			e.HasNew = true
			return readInteger(rest, &e.NewSrcBytes)
		case "party":
			return recall(&r.parties, rest, &e.Party, func(p *Party) int { return r.twoTexts(rest, "class", &p.Class, "name", &p.Name) })
		case "process":
			return recall(&r.processes, rest, &e.Process, func(p *Process) int { return r.program(rest, p) })
		case "rule":
			return r.text(rest, &e.Rule)
		case "seq":
			return readInteger(rest, &r.seq)
		case "src":
			r.src = Endpoint{}
			e.Src = &r.src
			return r.oneText(rest, "ip", &r.src.IP)
		case "src_bytes":
			return readInteger(rest, &e.SrcBytes)
		case "start":
			return span(rest, &r.start)
		case "state":
			return r.text(rest, &e.State)
		case "tls":
			r.tls = TLS{}
			e.TLS = &r.tls
			return members(rest, r.hello)
		case "v":
			return leave
		}
		return unread
	})
	e.Seq = uint64(r.seq)
	if e.Kind == "heartbeat" || e.Kind == "gap" || e.Kind == "lifecycle" { // of calls nobody asks
		e.Start, _ = timeOf(r.start)
		e.End, _ = timeOf(r.end)
	}
	return e
}

// hello takes a member of a TLS object.
func (r *fieldReader) hello(key, rest []byte) int {
	switch string(key) {
	case "ech":
		r.tls.ECH = bytes.HasPrefix(rest, []byte("true"))
	case "ech_kind":
		return r.text(rest, &r.tls.ECHKind)
	}
	if string(key) > "ech_kind" {
		return enough // nothing is wanted of what comes behind TLS objects
	}
	return unread
}

// lookup takes a member of a DNS object.
func (r *fieldReader) lookup(key, rest []byte) int {
	switch string(key) {
	case "name":
		return r.text(rest, &r.dns.Name)
	case "zone":
		r.zone = Zone{}
		r.dns.Zone = &r.zone
		return members(rest, r.names)
	}
	return unread
}

// names takes a member of the object that sums up the lookups below a domain.
func (r *fieldReader) names(key, rest []byte) int {
	switch string(key) {
	case "bytes":
		return readInteger(rest, &r.zone.Bytes)
	case "entropy":
		return readInteger(rest, &r.zone.Entropy)
	case "names":
		return readInteger(rest, &r.zone.Names)
	case "queries":
		return readInteger(rest, &r.zone.Queries)
	}
	return unread
}

// program reads a process object.
func (r *fieldReader) program(rest []byte, p *Process) int {
	return members(rest, func(key, rest []byte) int {
		switch string(key) {
		case "exe":
			return r.text(rest, &p.Exe)
		case "name":
			return r.text(rest, &p.Name)
		case "role":
			return r.text(rest, &p.Role)
		}
		return unreadUpTo("role", key)
	})
}

// pulse takes a member of a heartbeat.
func (r *fieldReader) pulse(key, rest []byte) int {
	if string(key) == "dropped" {
		return readInteger(rest, &r.beat.Dropped)
	}
	return unreadUpTo("dropped", key)
}

// aConflict stands for whatever the conflicts of a row are.
var aConflict = []string{""}

// witness takes a member of an evidence object.
func (r *fieldReader) witness(key, rest []byte) int {
	switch string(key) {
	case "confidence":
		return r.text(rest, &r.evidence.Confidence)
	case "conflicts":
		if !bytes.HasPrefix(rest, []byte("[]")) {
			r.evidence.Conflicts = aConflict
		}
	case "reason":
		return r.text(rest, &r.evidence.Reason)
	case "stack":
		return flatEnd(rest, ']')
	}
	return unread
}

// unreadUpTo leaves an object behind the member that is wanted last.
func unreadUpTo(last string, key []byte) int {
	if string(key) > last {
		return leave
	}
	return unread
}

// oneText reads one text of an object.
func (r *fieldReader) oneText(rest []byte, name string, to *string) int {
	return members(rest, func(key, rest []byte) int {
		if string(key) == name {
			return r.text(rest, to)
		}
		return unreadUpTo(name, key)
	})
}

// twoTexts reads two texts of an object, named in their order.
func (r *fieldReader) twoTexts(rest []byte, name1 string, to1 *string, name2 string, to2 *string) int {
	return members(rest, func(key, rest []byte) int {
		switch string(key) {
		case name1:
			return r.text(rest, to1)
		case name2:
			return r.text(rest, to2)
		}
		return unreadUpTo(name2, key)
	})
}

// text reads a text, "" when the value is none, and returns the value's length.
func (r *fieldReader) text(b []byte, to *string) int {
	if len(b) == 0 || b[0] != '"' {
		return unread
	}
	end := stringEnd(b)
	if end < 0 {
		return end
	}
	if value := b[1 : end-1]; bytes.IndexByte(value, '\\') < 0 {
		*to = r.kept(value)
	} else if text := ""; json.Unmarshal(b[:end], &text) == nil {
		*to = text
	}
	return end
}

// kept is a text as a string: one that was there a short time ago, if possible.
func (r *fieldReader) kept(text []byte) string {
	n := len(text)
	if n == 0 {
		return ""
	}
	place := uint32(n)*31 + uint32(text[0])*7 + uint32(text[n/2])*131 + uint32(text[n-1])
	if n >= 8 {
		place ^= uint32(binary.LittleEndian.Uint64(text[n-8:]) * 0x9e3779b97f4a7c15 >> 32)
	}
	if known := &r.texts[place%mostTexts]; *known != string(text) {
		*known = string(text)
	}
	return r.texts[place%mostTexts]
}

// span notes where the value at the beginning of b stands, and returns its length.
func span(b []byte, to *[]byte) int {
	end := valueEnd(b)
	if end > 0 {
		*to = b[:end]
	}
	return end
}

// time reads the time at the beginning of b, and returns the value's length; the rows of a batch have the same.
func (r *fieldReader) time(b []byte, to *int64) int {
	if len(r.logged) > 0 && bytes.HasPrefix(b, r.logged) {
		*to = r.nanos
		return len(r.logged)
	}
	end := valueEnd(b)
	if end < 0 {
		return end
	}
	if nanos, ok := timeOf(b[:end]); ok {
		r.logged, r.nanos = append(r.logged[:0], b[:end]...), nanos
		*to = nanos
	}
	return end
}

// timeOf is a time in nanoseconds since the Unix epoch.
func timeOf(value []byte) (nanos int64, ok bool) {
	if len(value) == 0 {
		return 0, false
	}
	t, err := time.Parse(`"`+time.RFC3339Nano+`"`, string(value))
	if err != nil {
		return 0, false
	}
	return t.UnixNano(), true
}

// memo keeps objects without others inside by their text: most rows name an addon, a program, a destination and its party that other rows named a moment ago.
type memo[T any] [128]struct {
	text   []byte
	object T
}

// longestInMemo bounds the text of an object that is kept, in bytes.
const longestInMemo = 1024

// recall finds the object at the beginning of b in a memo, or puts there what read makes of it, and returns the object's length.
func recall[T any](m *memo[T], b []byte, to **T, read func(*T) int) int {
	end := flatEnd(b, '}')
	if end < 16 || end > longestInMemo {
		*to = new(T)
		return read(*to)
	}
	text := b[:end]
	hash := uint64(end)
	for _, at := range [...]int{end/2 - 8, end / 2, end - 8} {
		hash = (hash ^ binary.LittleEndian.Uint64(text[at:])) * 0x9e3779b97f4a7c15
	}
	kept := &m[hash>>32%uint64(len(m))]
	*to = &kept.object
	if bytes.Equal(kept.text, text) {
		return end
	}
	kept.text, kept.object = append(kept.text[:0], text...), *new(T)
	return read(&kept.object)
}
