package ledger

import (
	"encoding/binary"
	"fmt"
	"maps"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

// FactKind is what is counted of an hour's rows besides the volumes of calls: what the rules of a verdict look at, before anybody knows which addons are declared.
type FactKind byte

// The kinds. Calls are counted when they begin.
const (
	FactToMIT      FactKind = 'M' // calls with a far end of MIT's; value: see MITCall
	FactSelf       FactKind = 'S' // calls that netaudit's own process made
	FactConflict   FactKind = 'C' // calls from code whose names contradict each other; value: class of the far end
	FactOutbound   FactKind = 'o' // calls that left, to anywhere but the internal network
	FactNameless   FactKind = 'n' // … of which addon or process could not be named
	FactConfidence FactKind = 'c' // …; value: how sure attribution was
	FactReason     FactKind = 'y' // …; value: why no addon could be named
	FactHidden     FactKind = 'h' // … to an address without a visible name
	FactTunnel     FactKind = 't' // lookups of many long, random-looking names below one domain
	FactGap        FactKind = 'g' // gap rows, each gap once
	FactDamage     FactKind = 'd' // rows that say that the log does not verify
	FactRecovered  FactKind = 'r' // recoveries after a crash
)

// Kinds of the table that are no tallies.
const (
	factMinutes = 'm' // calls by minute; value: class
	factAwake   = 'w' // when the watcher was awake
)

// Tally counts one fact.
type Tally struct {
	Count   int64
	Out, In int64    // payload bytes; of FactToMIT only
	Ongoing uint64   // 1 + the first row that goes on with an earlier call; 0: none
	Seqs    []uint64 // the first rows that are counted, at most mostSeqs
}

// mostSeqs bounds the rows that a tally names.
const mostSeqs = 50

// mostTallies bounds the tallies of an hour; the values of further ones are Others.
const mostTallies = 2048

// join takes the tally of later rows.
func (t *Tally) join(o Tally) {
	t.Count, t.Out, t.In = t.Count+o.Count, t.Out+o.Out, t.In+o.In
	if t.Ongoing == 0 {
		t.Ongoing = o.Ongoing
	}
	if n := min(len(o.Seqs), mostSeqs-len(t.Seqs)); n > 0 {
		t.Seqs = append(t.Seqs, o.Seqs[:n]...)
	}
}

// MITCall is what tells declared calls to MIT from others; the value of FactToMIT.
type MITCall struct {
	Module   string // see ModuleName
	Addon    bool   // Module is an addon's name
	OnBehalf string
	Host     string // "" when only the address is known
}

func (c MITCall) value() string {
	kind := "p"
	if c.Addon {
		kind = "a"
	}
	clean := func(s string) string {
		return strings.ReplaceAll(s[:min(len(s), longestRollupText)], "\x00", "\x01")
	}
	return kind + clean(c.Module) + "\x00" + clean(c.OnBehalf) + "\x00" + clean(c.Host)
}

// ParseMITCall undoes value. What is none, as Others, is the call of a program without a name.
func ParseMITCall(value string) MITCall {
	texts := strings.Split(value, "\x00")
	if len(texts) != 3 || texts[0] == "" {
		return MITCall{Module: Others}
	}
	return MITCall{Module: texts[0][1:], Addon: texts[0][0] == 'a', OnBehalf: texts[1], Host: texts[2]}
}

// Bounds of FactTunnel. A tunnel's names are long because they carry data, look random because it is encoded, and differ because it goes on: each alone also happens to honest services (content networks,
// blocklists, tracking), all three at once do not.
const (
	tunnelNames   = 100 // different names below one domain within an hour
	tunnelLength  = 24  // bytes below the domain, on average
	tunnelEntropy = 350 // hundredths of a bit a character; English words have some 300, base32 some 430
)

// eachFact calls yield for what is counted of a row.
func eachFact(e *Event, yield func(kind FactKind, value string)) {
	switch e.Kind {
	case "flow":
		if e.Src != nil && e.Dst != nil {
			eachFactOfCall(e, yield)
		}
	case "dns":
		if e.DNS == nil {
			return
		}
		if z := e.DNS.Zone; z != nil && z.Queries > 0 && z.Names >= tunnelNames && z.Bytes/z.Queries >= tunnelLength && z.Entropy >= tunnelEntropy {
			yield(FactTunnel, "")
		}
	case "gap":
		if e.Gap != nil && !e.gapEnds() {
			yield(FactGap, "")
		}
	case "finding":
		if e.Rule == "A1" {
			yield(FactDamage, "")
		}
	case "lifecycle":
		if e.Rule == "recovered" {
			yield(FactRecovered, "")
		}
	}
}

// add counts a row for which eachFact gives the fact.
func (t *Tally) add(kind FactKind, e *Event) {
	s := Sums{Calls: 1}
	if e.Kind == "flow" {
		s = sumsOf(e)
	}
	t.Count += s.Calls
	if kind == FactToMIT {
		t.Out, t.In = t.Out+s.Out, t.In+s.In
	}
	if s.Calls == 0 && t.Ongoing == 0 {
		t.Ongoing = e.Seq + 1
	}
	if s.Calls > 0 && len(t.Seqs) < mostSeqs {
		t.Seqs = append(t.Seqs, e.Seq)
	}
}

// gapEnds says whether a gap row is the end of a gap whose beginning has a row of its own.
func (e *Event) gapEnds() bool { return e.Gap.Reason == "interface_down" && e.End != 0 }

func eachFactOfCall(e *Event, yield func(kind FactKind, value string)) {
	class := ""
	if e.Party != nil {
		class = e.Party.Class
	}
	if class == "mit_bound" {
		c := MITCall{Module: ModuleName(e), Addon: e.Addon != nil, Host: e.Dst.Host}
		if c.Addon {
			c.OnBehalf = e.Addon.OnBehalfOf
		}
		yield(FactToMIT, c.value())
	}
	if e.Process != nil && e.Process.Role == "self" && e.Direction != "inbound" {
		yield(FactSelf, "")
	}
	if e.Evidence != nil && len(e.Evidence.Conflicts) > 0 {
		yield(FactConflict, class)
	}
	if e.Direction != "outbound" || class == "internal" {
		return
	}
	yield(FactOutbound, "")
	if e.Evidence != nil {
		yield(FactConfidence, e.Evidence.Confidence)
		if e.Addon == nil && e.Evidence.Reason != "" {
			yield(FactReason, e.Evidence.Reason)
		}
	}
	if e.Process == nil || e.Addon == nil && strings.HasPrefix(e.Process.Role, "odoo_") {
		yield(FactNameless, "")
	}
	// A name server is asked by its address; what it is asked stands in rows of its own.
	if e.Dst.Host == "" && e.Channel != "dns" || e.TLS != nil && e.TLS.HidesName() {
		yield(FactHidden, "")
	}
}

// hourFacts are the facts of one hour. One goroutine owns it.
type hourFacts struct {
	tallies map[string]Tally // by kind and value
	minutes map[string]minutes
	awake   *Awake // nil: no row speaks of it
	key     []byte // scratch
}

// longestFact bounds the value of a tally, in bytes.
const longestFact = 3*longestRollupText + 3

// minutes are calls by the minute of the hour.
type minutes [60]uint32

func newHourFacts() hourFacts {
	return hourFacts{tallies: map[string]Tally{}, minutes: map[string]minutes{}}
}

// clone is for a batch that may fail to commit: what is added to it does not show here.
func (f *hourFacts) clone() hourFacts {
	return hourFacts{tallies: maps.Clone(f.tallies), minutes: maps.Clone(f.minutes), awake: f.awake.clone()}
}

// add takes a row of the hour and calls changed with the name of each entry that it changes.
func (f *hourFacts) add(e *Event, changed func(name []byte)) {
	eachFact(e, func(kind FactKind, value string) {
		f.key = appendFactName(f.key[:0], kind, value)
		t := f.tally()
		t.add(kind, e)
		f.tallies[string(f.key)] = t
		changed(f.key)
	})
	if begins(e) {
		class := minutesClass(e)
		m := f.minutes[class]
		m[minuteOf(e)]++
		f.minutes[class] = m
		f.key = append(append(f.key[:0], factMinutes), class...)
		changed(f.key)
	}
	if f.awake.concerns(e) {
		f.awake = f.awake.with(e)
		changed([]byte{factAwake})
	}
}

// appendFactName appends the name of a tally.
func appendFactName(b []byte, kind FactKind, value string) []byte {
	return append(append(b, byte(kind)), value[:min(len(value), longestFact)]...)
}

// begins says whether a row is the first of a call.
func begins(e *Event) bool { return isCall(e) && !e.HasNew }

// minutesClass is under which class a call is counted by the minute.
func minutesClass(e *Event) string {
	if e.Party == nil {
		return ""
	}
	return e.Party.Class[:min(len(e.Party.Class), longestRollupText)]
}

// minuteOf is the minute of the hour in which a row was logged.
func minuteOf(e *Event) int64 { return e.Logged / nanosPerMinute % 60 }

// tally is the one with the name in key; it leaves there the name that it has in the store.
func (f *hourFacts) tally() Tally {
	t, known := f.tallies[string(f.key)]
	if !known && len(f.tallies) >= mostTallies {
		f.key = append(f.key[:1], Others...)
		t = f.tallies[string(f.key)]
	}
	return t
}

// join takes the facts of later rows of the same hour.
func (f *hourFacts) join(o *totalsOfHour) {
	for _, fact := range o.facts {
		f.key = appendFactName(f.key[:0], fact.Kind, fact.Value)
		t := f.tally()
		t.join(fact.Tally)
		f.tallies[string(f.key)] = t
	}
	for _, m := range o.minutes {
		sum := f.minutes[m.Class]
		for i, n := range m.Calls {
			sum[i] += n
		}
		f.minutes[m.Class] = sum
	}
	if o.awake != nil {
		if f.awake == nil {
			f.awake = &Awake{}
		}
		f.awake.merge(o.awake)
	}
}

// bytes is the stored form of an entry.
func (f *hourFacts) bytes(name []byte) []byte {
	switch name[0] {
	case factMinutes:
		m := f.minutes[string(name[1:])]
		var b []byte
		for _, n := range m {
			b = binary.AppendUvarint(b, uint64(n))
		}
		return b
	case factAwake:
		return f.awake.bytes()
	default:
		t := f.tallies[string(name)]
		return t.bytes()
	}
}

// names are the names of all entries.
func (f *hourFacts) names(yield func(name []byte)) {
	for name := range f.tallies {
		yield([]byte(name))
	}
	for class := range f.minutes {
		yield(append([]byte{factMinutes}, class...))
	}
	if f.awake != nil {
		yield([]byte{factAwake})
	}
}

// take reads a stored entry, and says whether it is one.
func (f *hourFacts) take(name, value []byte) (ok bool) {
	if len(name) == 0 {
		return false
	}
	r := varints{b: value}
	switch name[0] {
	case factMinutes:
		var m minutes
		for i := range m {
			m[i] = uint32(r.unsigned())
		}
		f.minutes[string(name[1:])] = m
	case factAwake:
		f.awake = parseAwake(&r)
	default:
		f.tallies[string(name)] = parseTally(&r)
	}
	return r.whole()
}

func (t *Tally) bytes() []byte {
	b := binary.AppendUvarint(nil, uint64(t.Count))
	b = binary.AppendUvarint(binary.AppendVarint(binary.AppendVarint(b, t.Out), t.In), t.Ongoing)
	before := uint64(0)
	for _, seq := range t.Seqs {
		b = binary.AppendUvarint(b, seq-before)
		before = seq
	}
	return b
}

func parseTally(r *varints) (t Tally) {
	t.Count, t.Out, t.In, t.Ongoing = int64(r.unsigned()), r.signed(), r.signed(), r.unsigned()
	for seq := uint64(0); len(r.b) > 0 && !r.bad && len(t.Seqs) < mostSeqs; {
		seq += r.unsigned()
		t.Seqs = append(t.Seqs, seq)
	}
	return t
}

// varints reads numbers; after the first that is none it reads zeros.
type varints struct {
	b   []byte
	bad bool
}

func (r *varints) unsigned() uint64 {
	n, size := binary.Uvarint(r.b)
	return varint(r, n, size)
}

func (r *varints) signed() int64 {
	n, size := binary.Varint(r.b)
	return varint(r, n, size)
}

func varint[T int64 | uint64](r *varints, n T, size int) T {
	if size <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[size:]
	return n
}

// whole says whether everything was read and was numbers.
func (r *varints) whole() bool { return !r.bad && len(r.b) == 0 }

func appendFactPrefix(b []byte, hour int64) []byte {
	return binary.BigEndian.AppendUint32(append(b, tableFact), uint32(hour))
}

// load reads what is stored of an hour.
func (f *hourFacts) load(txn *badger.Txn, hour int64) error {
	return eachFactEntry(txn, hour, hour+1, func(_ int64, name, value []byte) bool { return f.take(name, value) })
}

// eachFactEntry calls take for the entries of the hours in [from, to). One that take refuses is an error.
func eachFactEntry(txn *badger.Txn, from, to int64, take func(hour int64, name, value []byte) bool) error {
	o := badger.DefaultIteratorOptions
	o.Prefix, o.PrefetchValues = []byte{tableFact}, false // values stand beside their keys
	it := txn.NewIterator(o)
	defer it.Close()
	for it.Seek(appendFactPrefix(nil, max(from, 0))); it.Valid(); it.Next() {
		key := it.Item().Key()
		if len(key) <= hourPrefix {
			return fmt.Errorf("the table of facts has a malformed key %x", key)
		}
		if hourOfKey(key) >= to {
			return nil
		}
		err := it.Item().Value(func(value []byte) error {
			if !take(hourOfKey(key), key[hourPrefix:], value) {
				return fmt.Errorf("the table of facts has a malformed entry %x", key)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
