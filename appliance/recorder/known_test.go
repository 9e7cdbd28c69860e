package recorder

import "testing"

func TestKnownKeepsTheTwoThatWereUsedLast(t *testing.T) {
	k := newKnown[string, int](1)
	ask := func(key string, value int) (found bool) {
		v, found := k.at(7, key)
		if !found {
			*v = value
		} else if *v != value {
			t.Fatalf("%s: got %d, want %d", key, *v, value)
		}
		return found
	}
	for _, key := range []struct {
		name  string
		value int
		found bool
	}{
		{"", 1, false}, {"a", 2, false}, {"", 1, true}, // the zero key is one like others
		{"b", 3, false},                // takes the place of a
		{"", 1, true}, {"a", 2, false}, // takes the place of b
		{"b", 3, false},
	} {
		if found := ask(key.name, key.value); found != key.found {
			t.Fatalf("%q: found %v, want %v", key.name, found, key.found)
		}
	}
}
