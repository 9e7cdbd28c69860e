package dissect

import (
	"slices"
	"strings"
	"testing"

	"netaudit/tap"
)

// dialogue builds the segments of one connection from a text: words of a side ("c" client, "s" server), flags (S A F R P) and, behind a colon, payload. Sequence numbers
// count on by themselves; "!" repeats the word before it, "?" lets a word get lost on the way to the capture.
func dialogue(w *wire, text string) []tap.Packet {
	next := map[bool]uint32{true: 1000, false: 5000}
	var list []tap.Packet
	for _, word := range strings.Fields(text) {
		if word == "!" {
			again := list[len(list)-1]
			w.now = w.now.Add(1e6)
			again.Time = w.now.UnixNano()
			list = append(list, again)
			continue
		}
		word, lost := strings.CutSuffix(word, "?")
		head, payload, _ := strings.Cut(word, ":")
		client, flags := head[0] == 'c', head[1:]
		ack := uint32(0)
		if strings.Contains(flags, "A") {
			ack = next[!client]
		}
		if first := map[bool]uint32{true: 1000, false: 5000}[client]; strings.Contains(flags, "S") {
			next[client] = first // a SYN-ACK behind a SYN
		}
		p := w.tcp(client, next[client], ack, flags, []byte(payload))
		next[client] += uint32(len(payload) + strings.Count(flags, "S") + strings.Count(flags, "F"))
		if !lost {
			list = append(list, p)
		}
	}
	return list
}

// TestStatesAndHistoriesAreZeeks has one connection for every state and letter that Zeek's manual lists for conn.log, but for the two that speak of Zeek itself (x) and of wrong
// checksums (c), which offload makes meaningless on the sending host.
func TestStatesAndHistoriesAreZeeks(t *testing.T) {
	for _, c := range []struct{ said, state, history string }{
		{"cS", "S0", "S"},
		{"cS sSA cA", "S1", "ShA"},
		{"cS sSA cA cPA:hello sA sPA:hi cA", "S1", "ShADad"},
		{"cS sSA cA cFA sFA cA", "SF", "ShAFf"},
		{"cS sSA cA cPA:hello sPA:world cFA sFA cA", "SF", "ShADdFf"},
		{"cS sRA", "REJ", "Sr"},
		{"cS sSA cA cFA sA", "S2", "ShAFa"},
		{"cS sSA cA sFA cA", "S3", "ShAf"},
		{"cS sSA cA cPA:x cRA", "RSTO", "ShADR"},
		{"cS sSA cA cPA:x sR", "RSTR", "ShADr"},
		{"cS cR", "RSTOS0", "SR"},
		{"sSA sR", "RSTRH", "^hr"},
		{"cS cFA", "SH", "SF"},
		{"sSA sFA", "SHR", "^hf"},
		{"cPA:x sPA:y", "OTH", "Dd"},
		{"cPA:x sPA:y cFA sFA", "SF", "DdFf"},                           // both ends were seen
		{"sPA:y cA", "OTH", "^dA"},                                      // the port tells who began
		{"cS? sSA cA cPA:x", "S1", "^hAD"},                              // the SYN was missed
		{"cS sS cSA sSA cPA:x sPA:y", "S1", "SsDd"},                     // both began
		{"cS ! ! sSA ! cA", "S1", "ShA"},                                // what repeats stands once
		{"cS sSA cA cPA:xy ! sA", "S1", "ShADTa"},                       // data again
		{"cS sSA cA cPA:x? cPA:y sA", "S1", "ShADaG"},                   // data that the capture lost
		{"cS sSA cA cFR", "RSTO", "ShAI"},                               // nonsense of two kinds
		{"cSF sR", "RSTR", "Qr"},                                        //
		{"cS sSA cA cPA:x sFA sR", "RSTR", "ShADfr"},                    // an end, and then an impatient one
		{"cS sSA cA cFA sFA cA sR", "SF", "ShAFfr"},                     // after both ends a reset changes nothing
		{"cS sSA cA cRA sFA", "RSTO", "ShARf"},                          // an end behind a reset
		{"cS sSA cPA:a sFA cFA cR cR", "SF", "ShDfFR"},                  // a second reset with the same number
		{"cS sSA cA cPA:xy" + strings.Repeat(" !", 10), "S1", "ShADTT"}, // ten times again
	} {
		w := newWire(t)
		f := onlyFlows(t, run(dialogue(w, c.said)...), 1)[0]
		if f.TCPState != c.state || f.History != c.history {
			t.Errorf("%q: state %s, history %s; want %s, %s", c.said, f.TCPState, f.History, c.state, c.history)
		}
	}
}

func TestClosedWindowStandsInTheHistory(t *testing.T) {
	w := newWire(t)
	list := dialogue(w, "cS sSA cA cPA:hello sA")
	list[4].Data[14+20+14], list[4].Data[14+20+15] = 0, 0
	if f := onlyFlows(t, run(list...), 1)[0]; f.History != "ShADaw" {
		t.Errorf("history %s, want ShADaw", f.History)
	}
}

// TestRepeatedBeginningIsTheSameConnection: a SYN that carried data (RFC 7413) is sent again without it, and a late copy of a SYN comes after data.
func TestRepeatedBeginningIsTheSameConnection(t *testing.T) {
	w := newWire(t)
	again := w.tcp(true, 1000, 0, "S", nil)
	fastOpen := dialogue(w, "cS:data")
	fastOpen = append(fastOpen, again)
	fastOpen = append(fastOpen, w.tcp(false, 5000, 1001, "SA", nil), w.tcp(true, 1001, 5001, "PA", []byte("data")), w.tcp(false, 5001, 1005, "A", nil))
	if f := onlyFlows(t, run(fastOpen...), 1)[0]; f.SrcBytes != 4 || f.TCPState != "S1" || f.MissedBytes != 0 {
		t.Errorf("%+v", f)
	}
	late := dialogue(w, "cS sSA cA cPA:hello")
	late = slices.Insert(late, 4, again)
	if f := onlyFlows(t, run(late...), 1)[0]; f.SrcBytes != 5 || f.Retransmits != 1 {
		t.Errorf("%+v", f)
	}
}

func TestRoundTripIsThatOfTheAnsweredSYN(t *testing.T) {
	w := newWire(t)
	list := dialogue(w, "cS ! sSA cA")
	if f := onlyFlows(t, run(list...), 1)[0]; f.RTT != 1e6 || f.Retransmits != 1 {
		t.Errorf("round trip %d ns and %d retransmissions, want 1 ms after the second SYN", f.RTT, f.Retransmits)
	}
}
