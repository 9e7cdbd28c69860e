package appliance

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"netaudit/attribution/resolve"
	"netaudit/dissect"
)

func TestMistakesAreReportedOnceAMinute(t *testing.T) {
	var out bytes.Buffer
	l := &failureLog{log: slog.New(slog.NewTextHandler(&out, nil))}
	for range 3 {
		l.dissection(dissect.Failure{Value: "index out of range", Stack: []byte("goroutine 1")})
	}
	l.next = time.Now()
	l.attribution(resolve.Failure{Value: "another"})
	if text := out.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "index out of range") || !strings.Contains(text, "goroutine 1") || !strings.Contains(text, "others_since_the_last_report=2") {
		t.Error(text)
	}
}
