package dissect

import (
	"strings"
	"testing"
	"time"

	"netaudit/tap"
)

// explosive is a parser with a mistake.
type explosive struct{ atEnd bool }

func (x explosive) data(*Engine, *conn, int, []byte, int64) {
	if !x.atEnd {
		panic("data")
	}
}
func (explosive) gap(*Engine, *conn, int, int) {}
func (x explosive) end(*Engine, *conn) {
	if x.atEnd {
		panic("end")
	}
}

// failingSink has a mistake where it is told that a flow ended, once.
type failingSink struct {
	collector
	failed bool
}

func (s *failingSink) FlowClosed(f *Flow) {
	s.collector.FlowClosed(f)
	if !s.failed {
		s.failed = true
		panic("sink")
	}
}

// followTwo follows two connections, of which the first is read by a parser with a mistake, unless it is nil.
func followTwo(t *testing.T, sink Sink, first protocol) (failures []Failure, stats Stats) {
	t.Helper()
	e := New(Config{Failed: func(f Failure) { failures = append(failures, f) }}, sink)
	for n := range 2 {
		w := newWire(t)
		w.cport, w.sport = w.cport+uint16(n), 80
		for i, p := range []tap.Packet{
			w.tcp(true, 100, 0, "S", nil), w.tcp(false, 500, 101, "SA", nil),
			w.tcp(true, 101, 501, "A", []byte("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")), w.tcp(false, 501, 138, "A", []byte("HTTP/1.1 204 No Content\r\n\r\n")),
		} {
			if e.Packet(&p); i == 1 && n == 0 && first != nil {
				e.underWay.proto = first
			}
		}
	}
	e.Tick(newWire(t).now.Add(2 * time.Hour).UnixNano())
	e.Close()
	return failures, e.Stats()
}

func TestMistakeEndsNothingButTheReadingOfItsConversation(t *testing.T) {
	for name, parser := range map[string]protocol{"while it is read": explosive{}, "at its end": explosive{atEnd: true}} {
		t.Run(name, func(t *testing.T) {
			var got collector
			failures, stats := followTwo(t, &got, parser)
			if len(failures) != 1 || !strings.Contains(string(failures[0].Stack), "explosive") || stats.Malformed[failedFrames] != 1 {
				t.Errorf("%d failures: %+v; counted: %v", len(failures), failures, stats.Malformed)
			}
			flows := got.only(t, 2)
			if flows[0].SrcBytes != 35 || flows[0].DstBytes != 27 || flows[0].State != StateClosed {
				t.Errorf("the first: %+v", flows[0])
			}
			if flows[1].HTTP == nil || flows[1].HTTP.Status != 204 || flows[1].Host != "a.example" {
				t.Errorf("the second: %+v", flows[1])
			}
		})
	}
}

func TestMistakeOfTheSinkLosesNoFlow(t *testing.T) {
	got := &failingSink{}
	failures, _ := followTwo(t, got, nil)
	if len(failures) != 1 || failures[0].Value != "sink" {
		t.Errorf("failures: %+v", failures)
	}
	if len(got.closed) != 3 { // the one that it failed at is handed out twice
		t.Errorf("%d flows: %+v", len(got.closed), got.closed)
	}
}

func TestMistakeIsSeenByWhoeverTests(t *testing.T) {
	defer func() {
		if recover() != "sink" {
			t.Error("it was survived")
		}
	}()
	e, w := New(Config{}, &failingSink{}), newWire(t)
	p := w.tcp(true, 100, 0, "S", nil)
	e.Packet(&p)
	e.Close()
}
