package quic

// Google's versions T050 and T051 protect packets as the drafts of their time did, and shake hands by TLS, but the frames inside are those of Google's own versions before ("QUIC Wire Layout Specification", its sections on frame types; what of them an
// Initial packet may hold).

func google(version uint32) bool { return version == googleT050 || version == googleT051 }

// googleFrames reads the frames of an Initial packet.
func (c *Connection) googleFrames(side int, b []byte) error {
	r := cursor{b, 0}
	for r.left() > 0 {
		kind, err := r.take(1)
		if err != nil {
			return err
		}
		switch {
		case kind[0] == 0x00 || kind[0] == 0x07: // PADDING, PING
		case kind[0] == 0x08: // CRYPTO
			if err := c.cryptoFrame(side, &r); err != nil {
				return err
			}
		case kind[0]&0xc0 == 0x40:
			if err := r.googleACK(kind[0]); err != nil {
				return err
			}
		case kind[0] == 0x02: // CONNECTION_CLOSE ends what can be learned; its numbers are not those of RFC 9000
			return nil
		default:
			return ErrFrame
		}
	}
	return nil
}

// googleACK skips an ACK frame, whose type says how long its numbers are: 01ntllmm.
func (c *cursor) googleACK(kind byte) error {
	lengths := [4]int{1, 2, 4, 6}
	largest, block := lengths[kind>>2&3], lengths[kind&3]
	if err := c.skip(largest + 2); err != nil { // and the delay
		return err
	}
	blocks := 0
	if severalBlocks := kind&0x20 != 0; severalBlocks {
		n, err := c.take(1)
		if err != nil {
			return err
		}
		blocks = int(n[0])
	}
	if err := c.skip(block + blocks*(1+block)); err != nil {
		return err
	}
	times, err := c.take(1)
	if err != nil || times[0] == 0 {
		return err
	}
	return c.skip(1 + 4 + (int(times[0])-1)*(1+2))
}

func (c *cursor) skip(n int) error {
	_, err := c.take(uint64(n))
	return err
}
