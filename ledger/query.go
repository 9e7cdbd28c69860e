package ledger

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// Query chooses rows. Empty fields choose everything. All but Text are answered by the index.
type Query struct {
	Kind, State, Direction, Channel string
	NotChannel                      string
	Party                           string // class
	Addon                           string // that made the call, or on whose behalf it was made; a program in parentheses (ModuleName)
	Dest                            string // name or address
	Process                         string // file or name
	Name                            string // beginning of a destination, of a name asked, of an addon or of a process, in small or capital letters
	Text                            string // anywhere in the row, in small or capital letters

	From, To uint64 // rows, To not included; 0: to the newest
	Backward bool   // newest first
	MostRead int    // rows that are read at most; default 7,500, or fewer if they are long: 6 MiB
}

// Defaults of Query.MostRead: some 15 ms.
const (
	mostRead      = 7_500
	mostReadBytes = 6 << 20
)

// terms are the values that a row must have, by kind of the index.
func (q *Query) terms() (list []term) {
	for _, t := range []term{
		{indexAddon, q.Addon},
		{indexDestination, q.Dest},
		{indexProcess, q.Process},
		{indexChannel, q.Channel},
		{indexParty, q.Party},
		{indexKind, q.Kind},
		{indexState, q.State},
		{indexDirection, q.Direction},
	} {
		if t.value != "" {
			list = append(list, t)
		}
	}
	return list
}

type term struct {
	kind  byte
	value string
}

// Match says whether a row is chosen; text is the row, e what stands in it.
func (q *Query) Match(text []byte, e *Event) bool {
	equal := func(want string, got ...string) bool {
		for _, g := range got {
			if want == g {
				return true
			}
		}
		return want == ""
	}
	addon, dst, process, party := Addon{}, Endpoint{}, Process{}, Party{}
	if e.Addon != nil {
		addon = *e.Addon
	}
	if e.Dst != nil {
		dst = *e.Dst
	}
	if e.Process != nil {
		process = *e.Process
	}
	if e.Party != nil {
		party = *e.Party
	}
	return equal(q.Kind, e.Kind) && equal(q.State, e.State) && equal(q.Direction, e.Direction) && equal(q.Channel, e.Channel) &&
		(q.NotChannel == "" || e.Channel != q.NotChannel) && equal(q.Party, party.Class) && equal(q.Addon, ModuleName(e), addon.OnBehalfOf) &&
		equal(q.Dest, dst.Host, dst.IP) && equal(q.Process, process.Exe, process.Name) && q.named(e) && q.contained(text)
}

// nameKinds are the kinds of the index that hold names.
var nameKinds = []byte{indexAddon, indexDestination, indexAsked, indexProcess}

func (q *Query) named(e *Event) bool {
	found := q.Name == ""
	want := appendIndexValue(nil, q.Name)
	eachTerm(e, func(kind byte, value string) {
		found = found || bytes.IndexByte(nameKinds, kind) >= 0 && bytes.HasPrefix(appendIndexValue(nil, value), want)
	})
	return found
}

func (q *Query) contained(text []byte) bool { return q.Text == "" || containsFold(text, q.Text) }

// containsFold says whether a text holds another one, in small or capital letters.
func containsFold(text []byte, want string) bool {
	for i := range len(want) {
		if want[i] >= utf8.RuneSelf { // letters beyond ASCII may have other lengths
			return bytes.Contains(bytes.ToLower(text), []byte(strings.ToLower(want)))
		}
	}
	small, capital := strings.ToLower(want[:1])[0], strings.ToUpper(want[:1])[0]
	for last := len(text) - len(want); last >= 0; {
		at := bytes.IndexByte(text[:last+1], small)
		if small != capital {
			before := last + 1
			if at >= 0 {
				before = at
			}
			if other := bytes.IndexByte(text[:before], capital); other >= 0 {
				at = other
			}
		}
		if at < 0 {
			return false
		}
		if equalFold(text[at:at+len(want)], want) {
			return true
		}
		text, last = text[at+1:], last-at-1
	}
	return false
}

// equalFold compares ASCII texts of the same length.
func equalFold(a []byte, b string) bool {
	small := func(c byte) byte {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}
	for i := range a {
		if small(a[i]) != small(b[i]) {
			return false
		}
	}
	return true
}
