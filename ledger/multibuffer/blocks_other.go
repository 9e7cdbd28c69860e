//go:build !amd64

package multibuffer

const twoAtATime = false

func blocks2(_, _ *[8]uint32, _, _ *byte, _ int, _ *[64]uint32) {}
