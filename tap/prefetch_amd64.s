#include "textflag.h"

// func prefetch(p *byte)
// A record and the headers of its frame have some 90 bytes: they lie in two cache lines, or in three.
TEXT ·prefetch(SB), NOSPLIT, $0-8
	MOVQ p+0(FP), AX
	PREFETCHT0 (AX)
	PREFETCHT0 64(AX)
	PREFETCHT0 96(AX)
	RET
