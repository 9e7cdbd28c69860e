#include "textflag.h"

// Two messages, lane 1 in X1 to X6 and lane 2 in X7 to X12: ABEF and CDGH of the hash, and four words of the message each in the others. X0 has what SHA256RNDS2 adds, X13 is scratch, X14 turns bytes round. The order of the instructions is that of
// Gulley et al., "Intel SHA Extensions", 2013.

DATA flip<>+0(SB)/8, $0x0405060700010203
DATA flip<>+8(SB)/8, $0x0c0d0e0f08090a0b
GLOBL flip<>(SB), RODATA|NOPTR, $16

#define LOAD(off, from, m) MOVOU off(from), m; PSHUFB X14, m

#define ROUNDS(k, m, abef, cdgh) \
	MOVOU k(DX), X0; PADDD m, X0; \
	SHA256RNDS2 X0, abef, cdgh; \
	PSHUFD $0x0e, X0, X0; \
	SHA256RNDS2 X0, cdgh, abef

#define EXTEND(before, m, next) \
	MOVO m, X13; PALIGNR $4, before, X13; PADDD X13, next; SHA256MSG2 m, next

#define BEGIN(k, before1, m1, before2, m2) \
	ROUNDS(k, m1, X1, X2); ROUNDS(k, m2, X7, X8); \
	SHA256MSG1 m1, before1; SHA256MSG1 m2, before2

#define MIDDLE(k, before1, m1, next1, before2, m2, next2) \
	ROUNDS(k, m1, X1, X2); EXTEND(before1, m1, next1); \
	ROUNDS(k, m2, X7, X8); EXTEND(before2, m2, next2); \
	SHA256MSG1 m1, before1; SHA256MSG1 m2, before2

#define END(k, before1, m1, next1, before2, m2, next2) \
	ROUNDS(k, m1, X1, X2); EXTEND(before1, m1, next1); \
	ROUNDS(k, m2, X7, X8); EXTEND(before2, m2, next2)

#define UNPACK(from, abef, cdgh) \
	MOVOU (from), abef; MOVOU 16(from), cdgh; \
	PSHUFD $0xb1, abef, abef; PSHUFD $0x1b, cdgh, cdgh; \
	MOVO abef, X13; PALIGNR $8, cdgh, abef; PBLENDW $0xf0, X13, cdgh

#define PACK(to, abef, cdgh) \
	PSHUFD $0x1b, abef, X13; PSHUFD $0xb1, cdgh, cdgh; \
	MOVO X13, abef; PBLENDW $0xf0, cdgh, abef; PALIGNR $8, X13, cdgh; \
	MOVOU abef, (to); MOVOU cdgh, 16(to)

// func blocks2(a, b *[8]uint32, p, q *byte, n int, constants *[64]uint32)
TEXT ·blocks2(SB), NOSPLIT, $64-48
	MOVQ a+0(FP), AX
	MOVQ b+8(FP), BX
	MOVQ p+16(FP), SI
	MOVQ q+24(FP), DI
	MOVQ n+32(FP), CX
	MOVQ constants+40(FP), DX
	MOVOU flip<>(SB), X14
	UNPACK(AX, X1, X2)
	UNPACK(BX, X7, X8)

block:
	MOVOU X1, (SP)
	MOVOU X2, 16(SP)
	MOVOU X7, 32(SP)
	MOVOU X8, 48(SP)
	LOAD(0, SI, X3)
	LOAD(0, DI, X9)
	ROUNDS(0, X3, X1, X2)
	ROUNDS(0, X9, X7, X8)
	LOAD(16, SI, X4)
	LOAD(16, DI, X10)
	BEGIN(16, X3, X4, X9, X10)
	LOAD(32, SI, X5)
	LOAD(32, DI, X11)
	BEGIN(32, X4, X5, X10, X11)
	LOAD(48, SI, X6)
	LOAD(48, DI, X12)
	MIDDLE(48, X5, X6, X3, X11, X12, X9)
	MIDDLE(64, X6, X3, X4, X12, X9, X10)
	MIDDLE(80, X3, X4, X5, X9, X10, X11)
	MIDDLE(96, X4, X5, X6, X10, X11, X12)
	MIDDLE(112, X5, X6, X3, X11, X12, X9)
	MIDDLE(128, X6, X3, X4, X12, X9, X10)
	MIDDLE(144, X3, X4, X5, X9, X10, X11)
	MIDDLE(160, X4, X5, X6, X10, X11, X12)
	MIDDLE(176, X5, X6, X3, X11, X12, X9)
	MIDDLE(192, X6, X3, X4, X12, X9, X10)
	END(208, X3, X4, X5, X9, X10, X11)
	END(224, X4, X5, X6, X10, X11, X12)
	ROUNDS(240, X6, X1, X2)
	ROUNDS(240, X12, X7, X8)
	MOVOU (SP), X13
	PADDD X13, X1
	MOVOU 16(SP), X13
	PADDD X13, X2
	MOVOU 32(SP), X13
	PADDD X13, X7
	MOVOU 48(SP), X13
	PADDD X13, X8
	ADDQ $64, SI
	ADDQ $64, DI
	DECQ CX
	JNZ block
	PACK(AX, X1, X2)
	PACK(BX, X7, X8)
	RET
