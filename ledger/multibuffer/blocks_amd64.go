package multibuffer

import "github.com/klauspost/cpuid/v2"

// twoAtATime says whether blocks2 runs here.
var twoAtATime = cpuid.CPU.Supports(cpuid.SHA, cpuid.SSSE3, cpuid.SSE4)

// blocks2 hashes n blocks from p on into a, and n blocks from q on into b; n is at least 1.
//
//go:noescape
func blocks2(a, b *[8]uint32, p, q *byte, n int, constants *[64]uint32)
