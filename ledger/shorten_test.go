package ledger

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestRowThatIsTooLongSaysHowManyAnswersItHad: what had to be left out must show.
func TestRowThatIsTooLongSaysHowManyAnswersItHad(t *testing.T) {
	l := openAt(t, filepath.Join(t.TempDir(), "state"), &clock{day0})
	defer closeLedger(t, l)
	answers := make([]string, 64)
	for i := range answers {
		answers[i] = strings.Repeat("a", 2000)
	}
	if err := l.Append(t.Context(), Event{Kind: "dns", DNS: &DNS{Name: "a.example", Answers: answers, MoreAnswers: 36}}); err != nil {
		t.Fatal(err)
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	row, err := l.Row(l.Size() - 1)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := ParseEvent(row.JSON); err != nil || len(row.JSON) > LargestRow || e.DNS == nil || e.DNS.MoreAnswers != 100 || len(e.DNS.Answers) != 0 {
		t.Errorf("%d bytes, %+v, %v; want none of 100 answers", len(row.JSON), e.DNS, err)
	}
}
