package proof

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

func TestSealKeySurvivesPaper(t *testing.T) {
	k, err := NewSealKey()
	if err != nil {
		t.Fatal(err)
	}
	text := k.String()
	for _, written := range []string{text, strings.ToUpper(text), strings.ReplaceAll(text, "-", " "), strings.ReplaceAll(text, "-", "") + "\n"} {
		if got, err := ParseSealKey(written); err != nil || got != k {
			t.Errorf("%q: %v", written, err)
		}
	}
	slips := 0
	for i := len("nsk1-"); i < len(text); i++ {
		if text[i] == '-' {
			continue
		}
		other := byte('a')
		if text[i] == 'a' {
			other = 'b'
		}
		if _, err := ParseSealKey(text[:i] + string(other) + text[i+1:]); err != nil {
			slips++
		}
	}
	if slips != 56 {
		t.Errorf("%d of 56 slips of one letter are noticed", slips)
	}
	for _, wrong := range []string{"", "nsk2" + text[4:], text[:len(text)-1], text + "a", "nsk1-aaaa"} {
		if _, err := ParseSealKey(wrong); err == nil {
			t.Errorf("%q is taken for a key", wrong)
		}
	}
}

func testSeal(t *testing.T) (text []byte, vkey string, key SealKey) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, SealName("example.org/log"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	if key, err = NewSealKey(); err != nil {
		t.Fatal(err)
	}
	s := Seal{Origin: "example.org/log", Day: "2026-02-27", Size: 3, Rows: 3, First: "a", Last: "b", Late: true}
	if text, err = key.Sign(&s, signer); err != nil {
		t.Fatal(err)
	}
	return text, vkey, key
}

func TestEveryBitOfASealCounts(t *testing.T) {
	text, vkey, key := testSeal(t)
	if _, err := OpenSeal(text, vkey, &key); err != nil {
		t.Fatal(err)
	}
	for i := range text {
		for bit := range 8 {
			changed := append([]byte(nil), text...)
			changed[i] ^= 1 << bit
			if _, err := OpenSeal(changed, vkey, &key); err == nil {
				t.Errorf("bit %d of byte %d (%q) changes nothing", bit, i, text[i])
			}
		}
	}
	next := key.Next()
	if _, err := OpenSeal(text, vkey, &next); !errors.Is(err, ErrUnproved) {
		t.Errorf("the next day's key: %v", err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	if _, err := OpenSeal([]byte(strings.Join(lines[:len(lines)-2], "")), vkey, nil); !errors.Is(err, ErrUnproved) {
		t.Errorf("a seal without its authentication code: %v", err)
	}
}

func FuzzOpenSeal(f *testing.F) {
	f.Add("netaudit/seal/v1\no\nepoch 0\nday 2026-02-27\nsize 0\nroot \nchain \nrows 0\nfirst -\nlast -\nminimum 0\nprevious \n")
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := parseSeal(text); err == nil && s.Text() != text {
			t.Errorf("%q reads as %q", text, s.Text())
		}
	})
}
