package recorder

import "encoding/binary"

// appendHex appends a fingerprint in lower-case hex, four bytes at a time: each row has one, and encoding/hex goes digit by digit.
func appendHex(b []byte, sum *[32]byte) []byte {
	for i := 0; i < len(sum); i += 4 {
		b = binary.LittleEndian.AppendUint64(b, hexDigits(binary.LittleEndian.Uint32(sum[i:])))
	}
	return b
}

// hexDigits turns four bytes into their eight digits. Each half of a byte gets a byte of its own; where it is above nine, adding six carries into the upper half.
func hexDigits(four uint32) uint64 {
	const each = 0x0101010101010101
	n := uint64(four)
	n = (n | n<<16) & 0x0000ffff0000ffff
	n = (n | n<<8) & 0x00ff00ff00ff00ff
	n = (n>>4 | n<<8) & (15 * each)
	letters := (n + 6*each) >> 4 & each
	return n + '0'*each + letters*('a'-'9'-1)
}

// appendBase36 is strconv.AppendUint for the one base, which spares the processor to divide.
func appendBase36(b []byte, n uint64) []byte {
	var text [13]byte // 36^13 > 2^64
	at := len(text)
	for {
		at--
		text[at] = "0123456789abcdefghijklmnopqrstuvwxyz"[n%36]
		if n /= 36; n == 0 {
			return append(b, text[at:]...)
		}
	}
}
