package ui

import (
	"fmt"
	"strings"
	"testing"

	"netaudit/ledger/report"
	"netaudit/ui/words"
)

func TestPictureHasAllBytesAndPutsMITFirst(t *testing.T) {
	var pairs []report.Group
	for i := range 40 {
		pairs = append(pairs, report.Group{Name: fmt.Sprintf("addon_%d", i%20), To: fmt.Sprintf("h%d.example", i), Class: "third_party", Calls: 1, Out: int64(1000 - i), In: 5})
	}
	pairs = append(pairs, report.Group{Name: "addon_3", To: "license.mit.example", Class: "mit_bound", Calls: 2, Out: 1})
	pairs = append(pairs, report.Group{Name: "addon_3", To: "h1.example", Class: "third_party", Calls: 1}) // no byte
	c, err := words.New()
	if err != nil {
		t.Fatal(err)
	}
	p := draw(c.Languages[0], pairs, largePicture)
	if len(p.Left) != largePicture.ends || len(p.Right) != largePicture.ends || p.Right[0].Name != "license.mit.example" || !strings.HasSuffix(p.Right[largePicture.ends-1].Name, " others") {
		t.Fatalf("%d and %d ends, the first is %s, the last %s", len(p.Left), len(p.Right), p.Right[0].Name, p.Right[len(p.Right)-1].Name)
	}
	var want, left, right int64
	for _, g := range pairs {
		want += g.Out + g.In
	}
	bottom := 0.0
	for i := range largePicture.ends {
		left += p.Left[i].Bytes
		right += p.Right[i].Bytes
		bottom = max(bottom, p.Left[i].Y+p.Left[i].Height, p.Right[i].Y+p.Right[i].Height)
	}
	if left != want || right != want || bottom > float64(p.Height) {
		t.Errorf("%d bytes on the left, %d on the right, want %d; the last end is at %.0f of %d", left, right, want, bottom, p.Height)
	}
	for _, b := range p.Bands {
		if b.Width < 1 || b.Path == "" || b.Title == "" {
			t.Errorf("%+v", b)
		}
	}
	if empty := draw(c.Languages[0], nil, largePicture); len(empty.Bands) != 0 || len(empty.Left) != 0 {
		t.Errorf("%+v", empty)
	}
}
