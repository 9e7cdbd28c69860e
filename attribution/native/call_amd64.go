package native

// isCall knows the near calls of x86-64, which end just before the return address: E8 with four bytes, and FF /2 with its operand of one to six bytes (Intel's manual, volume 2, CALL).
func isCall(before [longestCall]byte) bool {
	if before[longestCall-5] == 0xe8 {
		return true
	}
	for _, n := range []int{2, 3, 4, 6, 7} {
		if before[longestCall-n] == 0xff && before[longestCall-n+1]>>3&7 == 2 {
			return true
		}
	}
	return false
}
