#include "textflag.h"

// func prefetch(p *byte)
// A record and the headers of its frame have some 90 bytes: they lie in two cache lines, or in three.
TEXT ·prefetch(SB), NOSPLIT, $0-8
	MOVD p+0(FP), R0
	PRFM (R0), PLDL1KEEP
	PRFM 64(R0), PLDL1KEEP
	PRFM 96(R0), PLDL1KEEP
	RET
