package dissect

import "netaudit/tap/decode"

// history is the order in which kinds of segments were seen, in the letters of Zeek's conn.log: upper case for the initiator, lower case for the responder.
//
//	^ the initiator was told by the ports, not by a SYN   S SYN   H SYN-ACK   A acknowledgement alone   D data   F FIN   R RST
//	I FIN with RST   Q SYN with FIN or RST   T data sent again   G bytes never seen   W window closed
//
// A letter stands once a side; S, H, F and R again when one with another sequence number comes; T, G and W again at the tenth, hundredth … time.
type history struct {
	seen    uint64 // bit letter-'A'
	letters [28]byte
	n       uint8
}

// add notes a letter the first time. It says whether it was there before.
func (h *history) add(letter byte) bool {
	bit := uint64(1) << (letter - 'A')
	if h.seen&bit != 0 {
		return true
	}
	h.seen |= bit
	h.again(letter)
	return false
}

// again notes a letter.
func (h *history) again(letter byte) {
	if int(h.n) < len(h.letters) {
		h.letters[h.n] = letter
		h.n++
	}
}

func (h *history) text() []byte { return h.letters[:h.n] }

// sideLetter is a letter as the side writes it.
func sideLetter(side int, letter byte) byte {
	if side == responder {
		letter += 'a' - 'A'
	}
	return letter
}

// last are the sequence numbers of the flags that may repeat.
type last struct{ fin, rst uint32 }

// note adds the letter of a segment's flags.
func (t *tcpState) note(side int, h *decode.Headers) {
	s := &t.sides[side]
	switch h.Flags & (flagSYN | flagFIN | flagRST) {
	case 0:
		if h.PayloadLength > 0 {
			t.history.add(sideLetter(side, 'D'))
		} else if h.Flags&flagACK != 0 {
			t.history.add(sideLetter(side, 'A'))
		}
	case flagSYN:
		letter := byte('S')
		if h.Flags&flagACK != 0 {
			letter = 'H'
		}
		if !s.syn || s.isn != h.Seq { // a SYN-ACK behind a SYN with the same number adds nothing
			t.history.again(sideLetter(side, letter))
		}
	case flagFIN:
		t.repeatable(side, 'F', &s.last.fin, h.Seq+uint32(h.PayloadLength))
	case flagRST:
		t.repeatable(side, 'R', &s.last.rst, h.Seq)
	case flagFIN | flagRST:
		t.history.add(sideLetter(side, 'I'))
	default:
		t.history.add(sideLetter(side, 'Q'))
	}
	if h.Window == 0 && h.Flags&flagRST == 0 && t.sides[1-side].state != endpointClosed && s.state != endpointReset {
		t.scaled(side, 'W', &s.zeroWindows)
	}
}

// repeatable notes a letter, and again when its sequence number is another than the last one's.
func (t *tcpState) repeatable(side int, letter byte, last *uint32, seq uint32) {
	letter = sideLetter(side, letter)
	if t.history.add(letter) && *last != seq {
		t.history.again(letter)
	}
	*last = seq
}

// scaled notes what happens often: the first, the tenth, the hundredth … time.
func (t *tcpState) scaled(side int, letter byte, count *uint32) {
	*count++
	n := *count
	for n%10 == 0 && n > 0 {
		n /= 10
	}
	if n == 1 {
		t.history.again(sideLetter(side, letter))
	}
}
