package dissect

import (
	"hash/maphash"

	"netaudit/dissect/tls"
)

// words keeps the texts that come again and again (names, addresses, user agents), so that each is made once: calls to the same hosts then cost no new
// memory. It is a cache of fixed size in which a new text takes the place of another with the same hash. One goroutine owns it.
type words struct {
	seed  maphash.Seed
	slots []string
}

const (
	wordSlots   = 4096
	longestWord = 128 // bytes; longer texts are seldom repeated
)

func newWords() words { return words{maphash.MakeSeed(), make([]string, wordSlots)} }

// of returns b as a string.
func (w *words) of(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if len(b) > longestWord {
		return string(b)
	}
	slot := &w.slots[maphash.Bytes(w.seed, b)%wordSlots]
	if *slot != string(b) {
		*slot = string(b)
	}
	return *slot
}

// hostName returns a host name that a peer sent, see tls.CleanName.
func (e *Engine) hostName(raw []byte) string {
	if tls.IsCleanName(raw) {
		return e.words.of(raw)
	}
	return tls.CleanName(raw)
}

// text returns text that a peer sent, see tls.CleanText.
func (e *Engine) text(raw []byte) string {
	for _, c := range raw {
		if c < ' ' || c > '~' {
			return tls.CleanText(string(raw))
		}
	}
	return e.words.of(raw[:min(len(raw), tls.LongestText)])
}
