package dns

import "hash/maphash"

// words remembers how names are spelled, by their bytes in the message or by their text, so that each text is made once. No text is the bytes of another name: those end with a zero, which texts have none of.
// It is a cache of fixed size in which a new name takes the place of another with the same hash. The zero value is ready.
type words struct {
	seed  maphash.Seed
	slots []word
}

type word struct{ key, text string }

const wordSlots = 1024

// find returns the text of a name, "" when it is not known.
func (w *words) find(key []byte) string {
	if w.slots == nil {
		return ""
	}
	if s := w.slot(key); s.key == string(key) {
		return s.text
	}
	return ""
}

// add remembers a text and returns it.
func (w *words) add(key, text []byte) string {
	if w.slots == nil {
		w.seed, w.slots = maphash.MakeSeed(), make([]word, wordSlots)
	}
	both := string(key) + string(text)
	*w.slot(key) = word{both[:len(key)], both[len(key):]}
	return both[len(key):]
}

func (w *words) slot(key []byte) *word { return &w.slots[maphash.Bytes(w.seed, key)%wordSlots] }
