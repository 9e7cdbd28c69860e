package dissect

import "netaudit/tap/decode"

// endpoint is the state of one side of a connection, in the terms in which Zeek tells connections apart (conn.log's conn_state; Zeek manual, base/protocols/conn).
type endpoint uint8

const (
	endpointInactive    endpoint = iota // nothing was seen of it
	endpointSYN                         // sent a SYN
	endpointSYNACK                      // the initiator sent a SYN-ACK
	endpointPartial                     // was seen, but not its beginning
	endpointEstablished                 //
	endpointClosed                      // sent a FIN
	endpointReset                       // sent a RST
)

// step moves the state of a side on by the flags of its segment that begins or ends something.
func (t *tcpState) step(side int, h *decode.Headers) {
	s, peer := &t.sides[side], &t.sides[1-side]
	if s.state == endpointInactive {
		t.wake(side, h)
		return
	}
	switch s.state {
	case endpointSYN, endpointSYNACK, endpointEstablished, endpointPartial:
		if h.Flags&(flagSYN|flagACK) == flagSYN && s.state == endpointPartial && peer.state == endpointInactive {
			s.become(endpointSYN)
		}
		if h.Flags&flagFIN != 0 && (h.Flags&flagRST == 0 || s.state == endpointSYN || s.state == endpointSYNACK) {
			s.become(endpointClosed)
			if peer.state == endpointReset && peer.before == endpointClosed {
				peer.become(endpointClosed) // FIN and then RST was an ordinary end
			}
		}
		if h.Flags&flagRST != 0 {
			s.become(endpointReset)
		}
	case endpointClosed:
		if h.Flags&flagRST != 0 && peer.state != endpointClosed {
			s.become(endpointReset)
		}
	}
}

// wake gives a side its first state.
func (t *tcpState) wake(side int, h *decode.Headers) {
	s, peer := &t.sides[side], &t.sides[1-side]
	if h.Flags&flagSYN != 0 {
		switch {
		case side == responder:
			if peer.state == endpointSYN {
				peer.become(endpointEstablished)
			}
			s.become(endpointEstablished)
		case h.Flags&flagACK != 0:
			s.become(endpointSYNACK)
		default:
			s.become(endpointSYN)
		}
	}
	if h.Flags&flagFIN != 0 {
		s.become(endpointClosed)
	}
	if h.Flags&flagRST != 0 {
		s.become(endpointReset)
	}
	switch {
	case s.state != endpointInactive:
	case side == responder && h.PayloadLength == 0 && peer.state == endpointSYN: // some acknowledge a SYN before they answer it
	case h.Flags&flagACK != 0 && peer.state == endpointEstablished: // the SYN was missed
		s.become(endpointEstablished)
	default:
		s.become(endpointPartial)
	}
}

func (s *tcpSide) become(e endpoint) { s.before, s.state = s.state, e }

// state names the connection's state as conn.log does.
func (t *tcpState) state(f *Flow) string {
	o, r := t.sides[initiator].state, t.sides[responder].state
	unseen := func(e endpoint) bool { return e == endpointInactive || e == endpointPartial }
	switch {
	case r == endpointReset:
		switch {
		case o == endpointSYN, o == endpointSYNACK, o == endpointReset && f.SrcBytes == 0 && f.DstBytes == 0:
			return "REJ"
		case unseen(o):
			return "RSTRH"
		}
		return "RSTR"
	case o == endpointReset:
		return either(unseen(r), "RSTOS0", "RSTO")
	case o == endpointClosed && r == endpointClosed:
		return "SF"
	case o == endpointClosed:
		return either(unseen(r), "SH", "S2")
	case r == endpointClosed:
		return either(unseen(o), "SHR", "S3")
	case o == endpointSYN && r == endpointInactive:
		return "S0"
	case o == endpointEstablished && r == endpointEstablished:
		return "S1"
	default:
		return "OTH"
	}
}

func either(condition bool, yes, no string) string {
	if condition {
		return yes
	}
	return no
}
