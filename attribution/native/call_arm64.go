package native

import "encoding/binary"

// isCall knows BL and BLR of AArch64 (Arm's manual, C6.2).
func isCall(before [longestCall]byte) bool {
	word := binary.LittleEndian.Uint32(before[longestCall-4:])
	return word>>26 == 0b100101 || word&0xfffffc1f == 0xd63f0000
}
