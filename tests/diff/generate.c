/* SPDX-License-Identifier: MIT */
/*
 * tests/diff/generate.c - random instructions, as bytes.
 *
 * A table of opcodes says what follows each; operands are random, but memory
 * operands mostly use registers that begin as pointers into the data.
 */
#include <cpuid.h>
#include <string.h>

#include "cpu/cpu.h"
#include "diff.h"
#include "effects.h"

/* What an opcode is followed by, and where it exists. */
enum {
	MODRM = 1 << 0,
	IMM8 = 1 << 1,
	IMMZ = 1 << 2,		/* 2 or 4 bytes, by operand size */
	IMMV = 1 << 3,		/* 8 with REX.W too */
	MEM_ONLY = 1 << 4,
	REG_ONLY = 1 << 5,
	WIDE = 1 << 6,		/* takes 66 and REX.W */
	LOCKABLE = 1 << 7,	/* if it modifies memory */
	REPEATS = 1 << 8,
	ONLY32 = 1 << 9,
	ONLY64 = 1 << 10,
	ALIGNED = 1 << 11,	/* 16 bytes that should be aligned */
	STACK = 1 << 12,	/* 66 gives a 16-bit push; REX.W says nothing */
	ONLY_W = 1 << 13,	/* takes REX.W but not 66 */
	BRANCH8 = 1 << 14,	/* a displacement over the next instruction */
	BRANCH32 = 1 << 15,
	RARE = 1 << 16,
	X87 = 1 << 17,
	VEX = 1 << 18,
	NDS = 1 << 19,		/* VEX names a register more */
	L256 = 1 << 20,		/* VEX may say 256 bits */
	ONLY_L256 = 1 << 21,
	ONLY_W1 = 1 << 22,	/* VEX must */
	IS4 = 1 << 23,		/* and its immediate one more */
};

/* Not every host has these. */
#define SSE3 (1ull << 32)
#define SSSE3 (1ull << 33)
#define AES (1ull << 34)
#define PCLMUL (1ull << 35)
#define SSE41 (1ull << 36)
#define SSE42 (1ull << 37)
#define SHA (1ull << 38)
#define BMI1 (1ull << 39)
#define BMI2 (1ull << 40)
#define AVX (1ull << 41)
#define AVX2 (1ull << 42)
#define FMA (1ull << 43)
#define F16C (1ull << 44)
#define EXTENSIONS (~0ull << 32)

struct opcode {
	uint8_t prefix;		/* a mandatory one, or 0 */
	uint8_t map;		/* 0: one byte; 1: 0f; 2: 0f 38; 3: 0f 3a */
	uint8_t byte;
	int8_t reg;		/* of ModRM: fixed, or -1 */
	uint64_t how;
};

#define STATUS X86_EFLAGS_STATUS

#define ALU(base)                                                                       \
	{ 0, 0, (base) + 0, -1, MODRM | LOCKABLE },                                     \
	{ 0, 0, (base) + 1, -1, MODRM | WIDE | LOCKABLE },                              \
	{ 0, 0, (base) + 2, -1, MODRM },                                                \
	{ 0, 0, (base) + 3, -1, MODRM | WIDE },                                         \
	{ 0, 0, (base) + 4, -1, IMM8 }, { 0, 0, (base) + 5, -1, IMMZ | WIDE }
#define ALU_IMM(n)                                                                      \
	{ 0, 0, 0x80, n, MODRM | IMM8 | LOCKABLE },                                     \
	{ 0, 0, 0x81, n, MODRM | IMMZ | WIDE | LOCKABLE },                              \
	{ 0, 0, 0x83, n, MODRM | IMM8 | WIDE | LOCKABLE }
#define SHIFT(n)                                                                        \
	{ 0, 0, 0xc0, n, MODRM | IMM8 }, { 0, 0, 0xc1, n, MODRM | IMM8 | WIDE },        \
	{ 0, 0, 0xd0, n, MODRM }, { 0, 0, 0xd1, n, MODRM | WIDE },                      \
	{ 0, 0, 0xd2, n, MODRM }, { 0, 0, 0xd3, n, MODRM | WIDE }
#define EIGHT(map, base, how)                                                           \
	{ 0, map, (base) + 0, -1, how }, { 0, map, (base) + 1, -1, how },               \
	{ 0, map, (base) + 2, -1, how }, { 0, map, (base) + 3, -1, how },               \
	{ 0, map, (base) + 4, -1, how }, { 0, map, (base) + 5, -1, how },               \
	{ 0, map, (base) + 6, -1, how }, { 0, map, (base) + 7, -1, how }
#define SIXTEEN(map, base, how) EIGHT(map, base, how), EIGHT(map, (base) + 8, how)
#define SSE4(byte) { 0x66, 2, byte, -1, MODRM | ALIGNED | SSE41 }
#define SSE4_IMM(byte) { 0x66, 3, byte, -1, MODRM | IMM8 | ALIGNED | SSE41 }
#define EXTENDS(byte) { 0x66, 2, byte, -1, MODRM | SSE41 }
#define STRING(byte) { 0x66, 3, byte, -1, MODRM | IMM8 | ONLY_W | SSE42 }
/* With no prefix, 66, F3, F2: PS, PD, SS, SD. */
#define FP4(byte)                                                                       \
	{ 0, 1, byte, -1, MODRM | ALIGNED }, { 0x66, 1, byte, -1, MODRM | ALIGNED },    \
	{ 0xf3, 1, byte, -1, MODRM }, { 0xf2, 1, byte, -1, MODRM }
#define FP2(byte)                                                                       \
	{ 0, 1, byte, -1, MODRM | ALIGNED }, { 0x66, 1, byte, -1, MODRM | ALIGNED }
#define SSSE3_BOTH(byte)                                                                \
	{ 0x66, 2, byte, -1, MODRM | ALIGNED | SSSE3 }, { 0, 2, byte, -1, MODRM | X87 | SSSE3 }
#define MM(byte) { 0, 1, byte, -1, MODRM | X87 }
#define INT(byte) { 0x66, 1, byte, -1, MODRM | ALIGNED }

static const struct opcode opcodes[] = {
	ALU(0x00), ALU(0x08), ALU(0x10), ALU(0x18), ALU(0x20), ALU(0x28), ALU(0x30), ALU(0x38),
	ALU_IMM(0), ALU_IMM(1), ALU_IMM(2), ALU_IMM(3), ALU_IMM(4), ALU_IMM(5), ALU_IMM(6),
	ALU_IMM(7),
	{ 0, 0, 0x84, -1, MODRM }, { 0, 0, 0x85, -1, MODRM | WIDE },
	{ 0, 0, 0xa8, -1, IMM8 }, { 0, 0, 0xa9, -1, IMMZ | WIDE },
	{ 0, 0, 0xf6, 0, MODRM | IMM8 }, { 0, 0, 0xf7, 0, MODRM | IMMZ | WIDE },
	{ 0, 0, 0xf6, 2, MODRM | LOCKABLE }, { 0, 0, 0xf7, 2, MODRM | WIDE | LOCKABLE },
	{ 0, 0, 0xf6, 3, MODRM | LOCKABLE }, { 0, 0, 0xf7, 3, MODRM | WIDE | LOCKABLE },
	{ 0, 0, 0xf6, 4, MODRM }, { 0, 0, 0xf7, 4, MODRM | WIDE },
	{ 0, 0, 0xf6, 5, MODRM }, { 0, 0, 0xf7, 5, MODRM | WIDE },
	{ 0, 0, 0xf6, 6, MODRM }, { 0, 0, 0xf7, 6, MODRM | WIDE },
	{ 0, 0, 0xf6, 7, MODRM }, { 0, 0, 0xf7, 7, MODRM | WIDE },
	{ 0, 0, 0xfe, 0, MODRM | LOCKABLE }, { 0, 0, 0xff, 0, MODRM | WIDE | LOCKABLE },
	{ 0, 0, 0xfe, 1, MODRM | LOCKABLE }, { 0, 0, 0xff, 1, MODRM | WIDE | LOCKABLE },
	EIGHT(0, 0x40, ONLY32 | WIDE), EIGHT(0, 0x48, ONLY32 | WIDE),
	SHIFT(0), SHIFT(1), SHIFT(2), SHIFT(3), SHIFT(4), SHIFT(5), SHIFT(6), SHIFT(7),
	{ 0, 1, 0xa4, -1, MODRM | IMM8 | WIDE }, { 0, 1, 0xa5, -1, MODRM | WIDE },
	{ 0, 1, 0xac, -1, MODRM | IMM8 | WIDE }, { 0, 1, 0xad, -1, MODRM | WIDE },
	{ 0, 0, 0x69, -1, MODRM | IMMZ | WIDE },
	{ 0, 0, 0x6b, -1, MODRM | IMM8 | WIDE },
	{ 0, 1, 0xaf, -1, MODRM | WIDE },
	/* moves */
	{ 0, 0, 0x86, -1, MODRM | LOCKABLE }, { 0, 0, 0x87, -1, MODRM | WIDE | LOCKABLE },
	{ 0, 0, 0x88, -1, MODRM }, { 0, 0, 0x89, -1, MODRM | WIDE },
	{ 0, 0, 0x8a, -1, MODRM }, { 0, 0, 0x8b, -1, MODRM | WIDE },
	{ 0, 0, 0x8d, -1, MODRM | MEM_ONLY | WIDE },
	{ 0, 0, 0xc6, 0, MODRM | IMM8 }, { 0, 0, 0xc7, 0, MODRM | IMMZ | WIDE },
	EIGHT(0, 0xb0, IMM8), EIGHT(0, 0xb8, IMMV | WIDE), EIGHT(0, 0x90, WIDE),
	{ 0, 0, 0x63, -1, MODRM | WIDE | ONLY64 }, { 0, 0, 0x63, -1, MODRM | ONLY32 },
	{ 0, 1, 0xb6, -1, MODRM | WIDE }, { 0, 1, 0xb7, -1, MODRM | WIDE },
	{ 0, 1, 0xbe, -1, MODRM | WIDE }, { 0, 1, 0xbf, -1, MODRM | WIDE },
	{ 0, 2, 0xf0, -1, MODRM | MEM_ONLY | WIDE },
	{ 0, 2, 0xf1, -1, MODRM | MEM_ONLY | WIDE },
	EIGHT(1, 0xc8, ONLY_W), { 0, 0, 0xd7, -1, 0 },
	SIXTEEN(1, 0x40, MODRM | WIDE), SIXTEEN(1, 0x90, MODRM),
	EIGHT(0, 0x50, STACK), EIGHT(0, 0x58, STACK),
	{ 0, 0, 0x68, -1, IMMZ | STACK }, { 0, 0, 0x6a, -1, IMM8 | STACK },
	{ 0, 0, 0xff, 6, MODRM | STACK }, { 0, 0, 0x8f, 0, MODRM | STACK },
	{ 0, 0, 0x9c, -1, STACK }, { 0, 0, 0xc9, -1, STACK },
	{ 0, 0, 0x60, -1, ONLY32 | STACK }, { 0, 0, 0x61, -1, ONLY32 | STACK },
	/* accumulator and flags */
	{ 0, 0, 0x98, -1, WIDE }, { 0, 0, 0x99, -1, WIDE }, { 0, 0, 0x9e, -1, 0 },
	{ 0, 0, 0x9f, -1, 0 }, { 0, 0, 0xf5, -1, 0 }, { 0, 0, 0xf8, -1, 0 },
	{ 0, 0, 0xf9, -1, 0 }, { 0, 0, 0xfc, -1, RARE }, { 0, 0, 0xfd, -1, RARE },
	{ 0, 0, 0xd6, -1, ONLY32 },
	{ 0, 0, 0x27, -1, ONLY32 }, { 0, 0, 0x2f, -1, ONLY32 },
	{ 0, 0, 0x37, -1, ONLY32 },
	{ 0, 0, 0x3f, -1, ONLY32 },
	{ 0, 0, 0xd4, -1, ONLY32 | IMM8 },
	{ 0, 0, 0xd5, -1, ONLY32 | IMM8 },
	{ 0, 0, 0xce, -1, ONLY32 | RARE },
	/* bits */
	{ 0, 1, 0xa3, -1, MODRM | WIDE }, { 0, 1, 0xab, -1, MODRM | WIDE | LOCKABLE },
	{ 0, 1, 0xb3, -1, MODRM | WIDE | LOCKABLE },
	{ 0, 1, 0xbb, -1, MODRM | WIDE | LOCKABLE },
	{ 0, 1, 0xba, 4, MODRM | IMM8 | WIDE },
	{ 0, 1, 0xba, 5, MODRM | IMM8 | WIDE | LOCKABLE },
	{ 0, 1, 0xba, 6, MODRM | IMM8 | WIDE | LOCKABLE },
	{ 0, 1, 0xba, 7, MODRM | IMM8 | WIDE | LOCKABLE },
	{ 0, 1, 0xbc, -1, MODRM | WIDE }, { 0, 1, 0xbd, -1, MODRM | WIDE },
	{ 0xf3, 1, 0xbc, -1, MODRM | WIDE },
	{ 0xf3, 1, 0xbd, -1, MODRM | WIDE },
	{ 0xf3, 1, 0xb8, -1, MODRM | WIDE },
	{ 0x66, 2, 0xf6, -1, MODRM | ONLY_W }, { 0xf3, 2, 0xf6, -1, MODRM | ONLY_W },
	{ 0, 1, 0xb0, -1, MODRM | LOCKABLE }, { 0, 1, 0xb1, -1, MODRM | WIDE | LOCKABLE },
	{ 0, 1, 0xc0, -1, MODRM | LOCKABLE }, { 0, 1, 0xc1, -1, MODRM | WIDE | LOCKABLE },
	{ 0, 1, 0xc7, 1, MODRM | MEM_ONLY | ONLY_W | LOCKABLE | ALIGNED },
	/* strings */
	{ 0, 0, 0xa4, -1, REPEATS }, { 0, 0, 0xa5, -1, REPEATS | WIDE },
	{ 0, 0, 0xa6, -1, REPEATS }, { 0, 0, 0xa7, -1, REPEATS | WIDE },
	{ 0, 0, 0xaa, -1, REPEATS }, { 0, 0, 0xab, -1, REPEATS | WIDE },
	{ 0, 0, 0xac, -1, REPEATS }, { 0, 0, 0xad, -1, REPEATS | WIDE },
	{ 0, 0, 0xae, -1, REPEATS }, { 0, 0, 0xaf, -1, REPEATS | WIDE },
	/* jumps forward */
	SIXTEEN(0, 0x70, BRANCH8), SIXTEEN(1, 0x80, BRANCH32),
	{ 0, 0, 0xe0, -1, BRANCH8 }, { 0, 0, 0xe1, -1, BRANCH8 },
	{ 0, 0, 0xe2, -1, BRANCH8 }, { 0, 0, 0xe3, -1, BRANCH8 },
	{ 0, 0, 0xe8, -1, BRANCH32 }, { 0, 0, 0xe9, -1, BRANCH32 },
	{ 0, 0, 0xeb, -1, BRANCH8 },
	/* x87: memory, but for what put_x87_special() does; registers */
	{ 0, 0, 0xd8, -1, MODRM | MEM_ONLY | X87 }, { 0, 0, 0xda, -1, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdc, -1, MODRM | MEM_ONLY | X87 }, { 0, 0, 0xde, -1, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xd9, 0, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xd9, 2, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xd9, 3, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xd9, 7, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdb, 0, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdb, 2, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdb, 3, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdb, 5, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdd, 0, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdd, 2, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdd, 3, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdd, 7, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdf, 0, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdf, 2, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdf, 3, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdf, 4, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdf, 5, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xdf, 7, MODRM | MEM_ONLY | X87 },
	{ 0, 0, 0xd9, 5, MODRM | MEM_ONLY | X87 | RARE }, { 0, 0, 0x9b, -1, X87 | RARE },
	{ 0, 0, 0xd8, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xd8, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xd9, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xd9, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xd9, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xd9, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xda, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xda, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xdb, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xdb, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xdc, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xdc, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xdd, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xdd, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xde, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xde, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xdf, -1, MODRM | REG_ONLY | X87 },
	{ 0, 0, 0xdf, -1, MODRM | REG_ONLY | X87 },
	/* MMX */
	MM(0x60), MM(0x61), MM(0x62), MM(0x63), MM(0x64), MM(0x65), MM(0x66), MM(0x67),
	MM(0x68), MM(0x69), MM(0x6a), MM(0x6b), MM(0x74), MM(0x75), MM(0x76), MM(0xd1),
	MM(0xd2), MM(0xd3), MM(0xd4), MM(0xd5), MM(0xd8), MM(0xd9), MM(0xda), MM(0xdb),
	MM(0xdc), MM(0xdd), MM(0xde), MM(0xdf), MM(0xe0), MM(0xe1), MM(0xe2), MM(0xe3),
	MM(0xe4), MM(0xe5), MM(0xe8), MM(0xe9), MM(0xea), MM(0xeb), MM(0xec), MM(0xed),
	MM(0xee), MM(0xef), MM(0xf1), MM(0xf2), MM(0xf3), MM(0xf4), MM(0xf5), MM(0xf6),
	MM(0xf8), MM(0xf9), MM(0xfa), MM(0xfb), MM(0xfc), MM(0xfd), MM(0xfe), MM(0x6f),
	MM(0x7f),
	{ 0, 1, 0x6e, -1, MODRM | ONLY_W | X87 }, { 0, 1, 0x7e, -1, MODRM | ONLY_W | X87 },
	{ 0, 1, 0x70, -1, MODRM | IMM8 | X87 }, { 0, 1, 0xc4, -1, MODRM | IMM8 | X87 },
	{ 0, 1, 0xc5, -1, MODRM | REG_ONLY | IMM8 | X87 },
	{ 0, 1, 0xd7, -1, MODRM | REG_ONLY | X87 }, { 0, 1, 0xe7, -1, MODRM | MEM_ONLY | X87 },
	{ 0, 1, 0xf7, -1, MODRM | REG_ONLY | X87 }, { 0, 1, 0x77, -1, X87 | RARE },
	{ 0xf2, 1, 0xd6, -1, MODRM | REG_ONLY | X87 },
	{ 0xf3, 1, 0xd6, -1, MODRM | REG_ONLY | X87 },
	{ 0, 1, 0x2a, -1, MODRM | REG_ONLY | X87 }, { 0x66, 1, 0x2a, -1, MODRM | X87 },
	{ 0, 1, 0x2c, -1, MODRM | X87 }, { 0x66, 1, 0x2c, -1, MODRM | ALIGNED | X87 },
	{ 0, 1, 0x2d, -1, MODRM | X87 }, { 0x66, 1, 0x2d, -1, MODRM | ALIGNED | X87 },
	{ 0, 1, 0x71, 2, MODRM | REG_ONLY | IMM8 | X87 },
	{ 0, 1, 0x71, 4, MODRM | REG_ONLY | IMM8 | X87 },
	{ 0, 1, 0x71, 6, MODRM | REG_ONLY | IMM8 | X87 },
	{ 0, 1, 0x72, 2, MODRM | REG_ONLY | IMM8 | X87 },
	{ 0, 1, 0x72, 4, MODRM | REG_ONLY | IMM8 | X87 },
	{ 0, 1, 0x72, 6, MODRM | REG_ONLY | IMM8 | X87 },
	{ 0, 1, 0x73, 2, MODRM | REG_ONLY | IMM8 | X87 },
	{ 0, 1, 0x73, 6, MODRM | REG_ONLY | IMM8 | X87 },
	/* SSE3, SSSE3, AES, PCLMULQDQ */
	{ 0x66, 1, 0xd0, -1, MODRM | ALIGNED | SSE3 },
	{ 0xf2, 1, 0xd0, -1, MODRM | ALIGNED | SSE3 },
	{ 0x66, 1, 0x7c, -1, MODRM | ALIGNED | SSE3 },
	{ 0xf2, 1, 0x7c, -1, MODRM | ALIGNED | SSE3 },
	{ 0x66, 1, 0x7d, -1, MODRM | ALIGNED | SSE3 },
	{ 0xf2, 1, 0x7d, -1, MODRM | ALIGNED | SSE3 },
	{ 0xf3, 1, 0x12, -1, MODRM | ALIGNED | SSE3 },
	{ 0xf3, 1, 0x16, -1, MODRM | ALIGNED | SSE3 },
	{ 0xf2, 1, 0x12, -1, MODRM | SSE3 }, { 0xf2, 1, 0xf0, -1, MODRM | MEM_ONLY | SSE3 },
	{ 0, 0, 0xdb, 1, MODRM | MEM_ONLY | X87 | SSE3 },
	{ 0, 0, 0xdd, 1, MODRM | MEM_ONLY | X87 | SSE3 },
	{ 0, 0, 0xdf, 1, MODRM | MEM_ONLY | X87 | SSE3 },
	SSSE3_BOTH(0x00), SSSE3_BOTH(0x01), SSSE3_BOTH(0x02), SSSE3_BOTH(0x03),
	SSSE3_BOTH(0x04), SSSE3_BOTH(0x05), SSSE3_BOTH(0x06), SSSE3_BOTH(0x07),
	SSSE3_BOTH(0x08), SSSE3_BOTH(0x09), SSSE3_BOTH(0x0a), SSSE3_BOTH(0x0b),
	SSSE3_BOTH(0x1c), SSSE3_BOTH(0x1d), SSSE3_BOTH(0x1e),
	{ 0x66, 3, 0x0f, -1, MODRM | IMM8 | ALIGNED | SSSE3 },
	{ 0, 3, 0x0f, -1, MODRM | IMM8 | X87 | SSSE3 },
	{ 0x66, 2, 0xdb, -1, MODRM | ALIGNED | AES }, { 0x66, 2, 0xdc, -1, MODRM | ALIGNED | AES },
	{ 0x66, 2, 0xdd, -1, MODRM | ALIGNED | AES }, { 0x66, 2, 0xde, -1, MODRM | ALIGNED | AES },
	{ 0x66, 2, 0xdf, -1, MODRM | ALIGNED | AES },
	{ 0x66, 3, 0xdf, -1, MODRM | IMM8 | ALIGNED | AES },
	{ 0x66, 3, 0x44, -1, MODRM | IMM8 | ALIGNED | PCLMUL },
	/* SSE4 */
	SSE4(0x10), SSE4(0x14), SSE4(0x15), SSE4(0x17), SSE4(0x28), SSE4(0x29), SSE4(0x2b),
	SSE4(0x38), SSE4(0x39), SSE4(0x3a), SSE4(0x3b), SSE4(0x3c), SSE4(0x3d), SSE4(0x3e),
	SSE4(0x3f), SSE4(0x40), SSE4(0x41),
	{ 0x66, 2, 0x2a, -1, MODRM | MEM_ONLY | ALIGNED | SSE41 },
	{ 0x66, 2, 0x37, -1, MODRM | ALIGNED | SSE42 },
	EXTENDS(0x20), EXTENDS(0x21), EXTENDS(0x22), EXTENDS(0x23), EXTENDS(0x24), EXTENDS(0x25),
	EXTENDS(0x30), EXTENDS(0x31), EXTENDS(0x32), EXTENDS(0x33), EXTENDS(0x34), EXTENDS(0x35),
	SSE4_IMM(0x08), SSE4_IMM(0x09), SSE4_IMM(0x0c), SSE4_IMM(0x0d), SSE4_IMM(0x0e),
	SSE4_IMM(0x40), SSE4_IMM(0x41), SSE4_IMM(0x42),
	{ 0x66, 3, 0x0a, -1, MODRM | IMM8 | SSE41 }, { 0x66, 3, 0x0b, -1, MODRM | IMM8 | SSE41 },
	{ 0x66, 3, 0x14, -1, MODRM | IMM8 | SSE41 }, { 0x66, 3, 0x15, -1, MODRM | IMM8 | SSE41 },
	{ 0x66, 3, 0x16, -1, MODRM | IMM8 | ONLY_W | SSE41 },
	{ 0x66, 3, 0x17, -1, MODRM | IMM8 | SSE41 }, { 0x66, 3, 0x20, -1, MODRM | IMM8 | SSE41 },
	{ 0x66, 3, 0x21, -1, MODRM | IMM8 | SSE41 },
	{ 0x66, 3, 0x22, -1, MODRM | IMM8 | ONLY_W | SSE41 },
	STRING(0x60), STRING(0x61), STRING(0x62), STRING(0x63),
	{ 0xf2, 2, 0xf0, -1, MODRM | ONLY_W | SSE42 },
	{ 0xf2, 2, 0xf1, -1, MODRM | ONLY_W | SSE42 },
	/* SHA */
	{ 0, 2, 0xc8, -1, MODRM | ALIGNED | SHA }, { 0, 2, 0xc9, -1, MODRM | ALIGNED | SHA },
	{ 0, 2, 0xca, -1, MODRM | ALIGNED | SHA }, { 0, 2, 0xcb, -1, MODRM | ALIGNED | SHA },
	{ 0, 2, 0xcc, -1, MODRM | ALIGNED | SHA }, { 0, 2, 0xcd, -1, MODRM | ALIGNED | SHA },
	{ 0, 3, 0xcc, -1, MODRM | IMM8 | ALIGNED | SHA },
	/* BMI1, BMI2 */
	{ 0, 2, 0xf2, -1, MODRM | ONLY_W | VEX | NDS | BMI1 },
	{ 0, 2, 0xf3, 1, MODRM | ONLY_W | VEX | NDS | BMI1 },
	{ 0, 2, 0xf3, 2, MODRM | ONLY_W | VEX | NDS | BMI1 },
	{ 0, 2, 0xf3, 3, MODRM | ONLY_W | VEX | NDS | BMI1 },
	{ 0, 2, 0xf7, -1, MODRM | ONLY_W | VEX | NDS | BMI1 },
	{ 0, 2, 0xf5, -1, MODRM | ONLY_W | VEX | NDS | BMI2 },
	{ 0xf2, 2, 0xf5, -1, MODRM | ONLY_W | VEX | NDS | BMI2 },
	{ 0xf3, 2, 0xf5, -1, MODRM | ONLY_W | VEX | NDS | BMI2 },
	{ 0xf2, 2, 0xf6, -1, MODRM | ONLY_W | VEX | NDS | BMI2 },
	{ 0x66, 2, 0xf7, -1, MODRM | ONLY_W | VEX | NDS | BMI2 },
	{ 0xf2, 2, 0xf7, -1, MODRM | ONLY_W | VEX | NDS | BMI2 },
	{ 0xf3, 2, 0xf7, -1, MODRM | ONLY_W | VEX | NDS | BMI2 },
	{ 0xf2, 3, 0xf0, -1, MODRM | IMM8 | ONLY_W | VEX | BMI2 },
	/* SSE and SSE2: floating point */
	FP4(0x51), FP4(0x58), FP4(0x59), FP4(0x5a), FP4(0x5c), FP4(0x5d), FP4(0x5e), FP4(0x5f),
	FP2(0x14), FP2(0x15), FP2(0x54), FP2(0x55), FP2(0x56), FP2(0x57), FP2(0x2e), FP2(0x2f),
	{ 0, 1, 0x52, -1, MODRM | ALIGNED }, { 0xf3, 1, 0x52, -1, MODRM },
	{ 0, 1, 0x53, -1, MODRM | ALIGNED }, { 0xf3, 1, 0x53, -1, MODRM },
	{ 0, 1, 0xc2, -1, MODRM | IMM8 | ALIGNED },
	{ 0x66, 1, 0xc2, -1, MODRM | IMM8 | ALIGNED },
	{ 0xf3, 1, 0xc2, -1, MODRM | IMM8 }, { 0xf2, 1, 0xc2, -1, MODRM | IMM8 },
	{ 0, 1, 0x5b, -1, MODRM | ALIGNED }, { 0x66, 1, 0x5b, -1, MODRM | ALIGNED },
	{ 0xf3, 1, 0x5b, -1, MODRM | ALIGNED }, { 0x66, 1, 0xe6, -1, MODRM | ALIGNED },
	{ 0xf3, 1, 0xe6, -1, MODRM }, { 0xf2, 1, 0xe6, -1, MODRM | ALIGNED },
	{ 0xf3, 1, 0x2a, -1, MODRM | ONLY_W }, { 0xf2, 1, 0x2a, -1, MODRM | ONLY_W },
	{ 0xf3, 1, 0x2c, -1, MODRM | ONLY_W }, { 0xf2, 1, 0x2c, -1, MODRM | ONLY_W },
	{ 0xf3, 1, 0x2d, -1, MODRM | ONLY_W }, { 0xf2, 1, 0x2d, -1, MODRM | ONLY_W },
	{ 0, 1, 0xae, 2, MODRM | MEM_ONLY | RARE }, { 0, 1, 0xae, 3, MODRM | MEM_ONLY },
	/* moves */
	FP4(0x10), FP4(0x11), FP2(0x28), FP2(0x29), { 0x66, 1, 0x6f, -1, MODRM | ALIGNED },
	{ 0xf3, 1, 0x6f, -1, MODRM }, { 0x66, 1, 0x7f, -1, MODRM | ALIGNED },
	{ 0xf3, 1, 0x7f, -1, MODRM }, { 0, 1, 0x2b, -1, MODRM | MEM_ONLY | ALIGNED },
	{ 0x66, 1, 0x2b, -1, MODRM | MEM_ONLY | ALIGNED },
	{ 0x66, 1, 0xe7, -1, MODRM | MEM_ONLY | ALIGNED },
	{ 0, 1, 0xc3, -1, MODRM | MEM_ONLY | ONLY_W },
	{ 0, 1, 0x12, -1, MODRM }, { 0, 1, 0x16, -1, MODRM },
	{ 0x66, 1, 0x12, -1, MODRM | MEM_ONLY }, { 0x66, 1, 0x16, -1, MODRM | MEM_ONLY },
	{ 0, 1, 0x13, -1, MODRM | MEM_ONLY }, { 0, 1, 0x17, -1, MODRM | MEM_ONLY },
	{ 0x66, 1, 0x13, -1, MODRM | MEM_ONLY }, { 0x66, 1, 0x17, -1, MODRM | MEM_ONLY },
	{ 0x66, 1, 0x6e, -1, MODRM | ONLY_W }, { 0x66, 1, 0x7e, -1, MODRM | ONLY_W },
	{ 0xf3, 1, 0x7e, -1, MODRM }, { 0x66, 1, 0xd6, -1, MODRM },
	{ 0, 1, 0x50, -1, MODRM | REG_ONLY }, { 0x66, 1, 0x50, -1, MODRM | REG_ONLY },
	{ 0x66, 1, 0xd7, -1, MODRM | REG_ONLY }, { 0x66, 1, 0xc4, -1, MODRM | IMM8 },
	{ 0x66, 1, 0xc5, -1, MODRM | REG_ONLY | IMM8 },
	{ 0x66, 1, 0xf7, -1, MODRM | REG_ONLY },
	{ 0x66, 1, 0x70, -1, MODRM | IMM8 | ALIGNED },
	{ 0xf3, 1, 0x70, -1, MODRM | IMM8 | ALIGNED },
	{ 0xf2, 1, 0x70, -1, MODRM | IMM8 | ALIGNED },
	{ 0, 1, 0xc6, -1, MODRM | IMM8 | ALIGNED },
	{ 0x66, 1, 0xc6, -1, MODRM | IMM8 | ALIGNED },
	/* integers */
	INT(0x60), INT(0x61), INT(0x62), INT(0x63), INT(0x64), INT(0x65), INT(0x66), INT(0x67),
	INT(0x68), INT(0x69), INT(0x6a), INT(0x6b), INT(0x6c), INT(0x6d), INT(0x74), INT(0x75),
	INT(0x76), INT(0xd1), INT(0xd2), INT(0xd3), INT(0xd4), INT(0xd5), INT(0xd8), INT(0xd9),
	INT(0xda), INT(0xdb), INT(0xdc), INT(0xdd), INT(0xde), INT(0xdf), INT(0xe0), INT(0xe1),
	INT(0xe2), INT(0xe3), INT(0xe4), INT(0xe5), INT(0xe8), INT(0xe9), INT(0xea), INT(0xeb),
	INT(0xec), INT(0xed), INT(0xee), INT(0xef), INT(0xf1), INT(0xf2), INT(0xf3), INT(0xf4),
	INT(0xf5), INT(0xf6), INT(0xf8), INT(0xf9), INT(0xfa), INT(0xfb), INT(0xfc), INT(0xfd),
	INT(0xfe),
	{ 0x66, 1, 0x71, 2, MODRM | REG_ONLY | IMM8 },
	{ 0x66, 1, 0x71, 4, MODRM | REG_ONLY | IMM8 },
	{ 0x66, 1, 0x71, 6, MODRM | REG_ONLY | IMM8 },
	{ 0x66, 1, 0x72, 2, MODRM | REG_ONLY | IMM8 },
	{ 0x66, 1, 0x72, 4, MODRM | REG_ONLY | IMM8 },
	{ 0x66, 1, 0x72, 6, MODRM | REG_ONLY | IMM8 },
	{ 0x66, 1, 0x73, 2, MODRM | REG_ONLY | IMM8 },
	{ 0x66, 1, 0x73, 3, MODRM | REG_ONLY | IMM8 },
	{ 0x66, 1, 0x73, 6, MODRM | REG_ONLY | IMM8 },
	{ 0x66, 1, 0x73, 7, MODRM | REG_ONLY | IMM8 },
};

uint64_t rng_next(struct rng *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
	return (uint32_t)(rng_next(r) >> 32) % n;
}

static bool chance(struct rng *r, uint32_t percent)
{
	return rng_below(r, 100) < percent;
}

/* What not every processor of the architecture has. */
static struct {
	bool known, movbe, popcnt, bmi1, lzcnt, adx;
	uint64_t extensions;	/* as in struct opcode */
} host_has;

static void ask_host(void)
{
	unsigned int a, b, c, d;

	host_has.known = true;
	if (__get_cpuid(1, &a, &b, &c, &d)) {
		host_has.movbe = c & bit_MOVBE;
		host_has.popcnt = c & bit_POPCNT;
		host_has.extensions = (c & bit_SSE3 ? SSE3 : 0) | (c & bit_SSSE3 ? SSSE3 : 0) |
				      (c & bit_AES ? AES : 0) | (c & bit_PCLMUL ? PCLMUL : 0) |
				      (c & bit_SSE4_1 ? SSE41 : 0) | (c & bit_SSE4_2 ? SSE42 : 0);
	}
	if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
		host_has.adx = b & bit_ADX;
		host_has.bmi1 = b & bit_BMI;
		host_has.extensions |= (b & bit_SHA ? SHA : 0) | (b & bit_BMI ? BMI1 : 0) |
				       (b & bit_BMI2 ? BMI2 : 0);
	}
	if (__get_cpuid(0x80000001, &a, &b, &c, &d))
		host_has.lzcnt = c & bit_ABM;
}

static bool host_lacks(const struct opcode *op)
{
	if (op->how & EXTENSIONS & ~host_has.extensions)
		return true;
	if (op->map == 2 && !(op->how & VEX) && op->prefix != 0xf2 && (op->byte & 0xfe) == 0xf0)
		return !host_has.movbe;
	if (op->map == 2 && !(op->how & VEX) && op->byte == 0xf6)
		return !host_has.adx;
	if (op->map != 1 || op->prefix != 0xf3 || op->how & VEX)
		return false;
	return (op->byte == 0xb8 && !host_has.popcnt) || (op->byte == 0xbc && !host_has.bmi1) ||
	       (op->byte == 0xbd && !host_has.lzcnt);
}

static const struct opcode *pick_opcode(struct rng *r)
{
	const struct opcode *op;

	if (!host_has.known)
		ask_host();
	do
		op = &opcodes[rng_below(r, sizeof(opcodes) / sizeof(*opcodes))];
	while (host_lacks(op));
	return op;
}

/* Where bytes go. */
struct out {
	uint8_t *at, *end;
	bool full;
};

static void put(struct out *o, unsigned int byte)
{
	if (o->at == o->end)
		o->full = true;
	else
		*o->at++ = (uint8_t)byte;
}

static void put_n(struct out *o, uint64_t v, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		put(o, (unsigned int)(v >> (8 * i)));
}

static uint64_t interesting(struct rng *r)
{
	static const uint64_t values[] = {
		0, 1, 2, 7, 8, 15, 16, 31, 32, 63, 64, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff,
		0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, ~0ull,
		~0ull - 1, 0x0123456789abcdef, 0xfffffffffffffff8,
	};

	switch (rng_below(r, 4)) {
	case 0:
		return values[rng_below(r, sizeof(values) / sizeof(*values))];
	case 1:
		return rng_below(r, 64);
	case 2:
		return (uint64_t)(int64_t)(int32_t)rng_next(r);
	default:
		return rng_next(r);
	}
}

/* An address in the data: mostly inside, often near where pages meet. */
static uint64_t pointer(struct rng *r)
{
	uint64_t at;

	switch (rng_below(r, 8)) {
	case 0:
		at = 0x1000 - rng_below(r, 24);
		break;
	case 1:
		at = 0x2000 - rng_below(r, 24);
		break;
	case 2:
		at = DATA_BYTES - rng_below(r, 24);
		break;
	default:
		at = rng_below(r, DATA_WRITABLE);
	}
	if (chance(r, 60))
		at &= ~15ull;
	return DATA_AT + at;
}

/* Registers that begin as pointers: RBX, RSP, RBP, RSI, RDI and two of the new. */
static bool is_pointer(unsigned int reg)
{
	return (0xcf8 >> reg) & 1;
}

static unsigned int pick_base(struct rng *r, bool is_32bit)
{
	static const uint8_t pointers[] = { 3, 5, 6, 7, 4, 10, 11 };

	if (chance(r, 4))
		return rng_below(r, is_32bit ? 8 : 16);
	return pointers[rng_below(r, is_32bit ? 5 : 7)];
}

/* Parts of an instruction that depend on each other. */
struct shape {
	const struct opcode *op;
	bool is_32bit, w, narrow, memory, address32;
	unsigned int rex;		/* R, X, B */
	unsigned int vvvv;
	bool l256;
	unsigned int modrm, sib;
	bool has_sib;
	unsigned int disp_bytes;
	int64_t disp;
	bool rip_relative;
};

static int32_t small_disp(struct rng *r, const struct opcode *op)
{
	int32_t d = (int32_t)rng_below(r, 128) - 64;

	return op->how & ALIGNED && chance(r, 80) ? d & ~15 : d;
}

static void shape_memory(struct shape *s, struct rng *r)
{
	unsigned int base = pick_base(r, s->is_32bit), index = 4, scale = 0;

	s->disp = small_disp(r, s->op);
	s->disp_bytes = chance(r, 50) ? 1 : 4;
	if (chance(r, 10)) {
		/* rip-relative, or absolute in 32-bit code */
		s->modrm |= 5;
		s->disp_bytes = 4;
		s->rip_relative = !s->is_32bit;
		s->disp = (int64_t)pointer(r);
		return;
	}
	if (!s->disp && (base & 7) != 5)
		s->disp_bytes = 0;
	s->modrm |= s->disp_bytes == 0 ? 0 : s->disp_bytes == 1 ? 0x40 : 0x80;
	if (chance(r, 15)) {
		index = rng_below(r, s->is_32bit ? 8 : 16);
		scale = rng_below(r, 4);
	}
	if ((base & 7) == 4 || index != 4) {
		s->has_sib = true;
		s->modrm |= 4;
		s->sib = scale << 6 | (index & 7) << 3 | (base & 7);
		s->rex |= (index >> 3) << 1 | base >> 3;
	} else {
		s->modrm |= base & 7;
		s->rex |= base >> 3;
	}
}

static void shape_modrm(struct shape *s, struct rng *r)
{
	unsigned int registers = s->is_32bit ? 8 : 16;
	unsigned int reg = s->op->reg >= 0 ? (unsigned int)s->op->reg : rng_below(r, registers);
	unsigned int rm;

	s->modrm = (reg & 7) << 3;
	s->rex = (reg >> 3) << 2;
	s->memory = s->op->how & MEM_ONLY || (!(s->op->how & REG_ONLY) && chance(r, 55));
	if (s->memory) {
		shape_memory(s, r);
		return;
	}
	rm = rng_below(r, registers);
	s->modrm |= 0xc0 | (rm & 7);
	s->rex |= rm >> 3;
}

/* Of two bytes or three. */
static void put_vex(struct out *o, struct rng *r, const struct shape *s)
{
	unsigned int pp = s->op->prefix == 0x66 ? 1 : s->op->prefix == 0xf3 ? 2 :
			  s->op->prefix == 0xf2 ? 3 : 0;
	unsigned int last = (~s->vvvv & 15) << 3 | (s->l256 ? 4 : 0) | pp;

	if (s->op->map == 1 && !s->w && !(s->rex & 3) && chance(r, 50)) {
		put(o, 0xc5);
		put(o, (~s->rex & 4) << 5 | last);
		return;
	}
	put(o, 0xc4);
	put(o, (~s->rex & 7) << 5 | s->op->map);
	put(o, (s->w ? 0x80 : 0) | last);
}

static void put_prefixes(struct out *o, struct rng *r, const struct shape *s)
{
	static const uint8_t segments[] = { 0x26, 0x2e, 0x36, 0x3e };
	const struct opcode *op = s->op;
	unsigned int rex = s->rex | (s->w ? 8 : 0);

	if (s->memory && chance(r, 3) && !(s->is_32bit && op->how & LOCKABLE))
		put(o, s->is_32bit ? 0x3e : segments[rng_below(r, 4)]);
	if (s->address32)
		put(o, 0x67);
	if (s->narrow)
		put(o, 0x66);
	if (op->how & LOCKABLE && s->memory && chance(r, 30))
		put(o, 0xf0);
	if (op->how & REPEATS && chance(r, 50))
		put(o, chance(r, 50) ? 0xf3 : 0xf2);
	if (op->how & VEX) {
		put_vex(o, r, s);
		return;
	}
	if (op->prefix)
		put(o, op->prefix);
	if (!s->is_32bit && (rex || chance(r, 15)))
		put(o, 0x40 | rex);
}

static void put_opcode(struct out *o, const struct opcode *op)
{
	if (op->how & VEX) {
		put(o, op->byte);
		return;
	}
	if (op->map)
		put(o, 0x0f);
	if (op->map == 2)
		put(o, 0x38);
	if (op->map == 3)
		put(o, 0x3a);
	put(o, op->byte);
}

static unsigned int immediate_bytes(const struct shape *s)
{
	if (s->op->how & IMM8)
		return 1;
	if (s->op->how & IMMV && s->w)
		return 8;
	if (s->op->how & (IMMZ | IMMV))
		return s->narrow ? 2 : 4;
	return 0;
}

static void shape_vex(struct shape *s, struct rng *r)
{
	uint64_t how = s->op->how;

	s->w = how & ONLY_W1 || (how & ONLY_W && !s->is_32bit && chance(r, 40));
	s->l256 = how & ONLY_L256 || (how & L256 && chance(r, 60));
	if (how & NDS)
		s->vvvv = rng_below(r, s->is_32bit ? 8 : 16);
}

static void put_instruction(struct out *o, struct rng *r, const struct opcode *op, bool is_32bit,
			    const uint8_t *page)
{
	struct shape s = { .op = op, .is_32bit = is_32bit };
	unsigned int immediate;

	if (op->how & (WIDE | ONLY_W) && !is_32bit)
		s.w = chance(r, 40);
	if (op->how & (WIDE | STACK) && !s.w)
		s.narrow = chance(r, 15);
	if (op->how & VEX)
		shape_vex(&s, r);
	if (op->how & MODRM)
		shape_modrm(&s, r);
	else if (!is_32bit && (op->byte & 0xf0) >= 0x40 && op->map == 0 && !(op->how & REPEATS))
		s.rex = chance(r, 30) && (op->how & (STACK | IMMV)) ? 1 : 0;
	if (s.memory && !is_32bit)
		s.address32 = chance(r, 5);
	put_prefixes(o, r, &s);
	put_opcode(o, op);
	if (op->how & MODRM)
		put(o, s.modrm);
	if (s.has_sib)
		put(o, s.sib);
	immediate = immediate_bytes(&s);
	if (s.rip_relative)
		s.disp -= (int64_t)(CODE_AT + (uint64_t)(o->at - page) + 4 + immediate);
	put_n(o, (uint64_t)s.disp, s.disp_bytes);
	put_n(o, interesting(r), immediate);
}

/* What put_preparation() or put_guard() would have to follow is not leapt over. */
static bool stands_alone(const struct opcode *op, bool is_32bit)
{
	if (op->how & (BRANCH8 | BRANCH32 | (is_32bit ? ONLY64 : ONLY32)))
		return false;
	if (op->map == 1)
		return op->byte != 0xf7 && (op->prefix || (op->byte & 0xfe) != 0xbc);
	return op->map != 0 || (op->byte != 0x61 && (op->byte & 0xfe) != 0xa6);
}

/* A branch and what it may leap over. */
static void put_branch(struct out *o, struct rng *r, const struct opcode *op, bool is_32bit,
		       const uint8_t *page)
{
	unsigned int bytes = op->how & BRANCH8 ? 1 : 4;
	const struct opcode *next;
	uint8_t *at;

	put_opcode(o, op);
	at = o->at;
	put_n(o, 0, bytes);
	do
		next = pick_opcode(r);
	while (!stands_alone(next, is_32bit));
	put_instruction(o, r, next, is_32bit, page);
	if (!o->full)
		*at = (uint8_t)(o->at - at - bytes);
}

/* Often an instruction needs something first to be more than a fault. */
static void put_preparation(struct out *o, struct rng *r, const struct opcode *op)
{
	/* Which operand of CMPS faults first, if both do, is undefined. */
	if (op->how & REPEATS && (chance(r, 80) || (op->byte & 0xfe) == 0xa6)) {
		put(o, 0xb9);		/* mov $n, %ecx */
		put_n(o, rng_below(r, 300), 4);
		put(o, 0xbe);		/* mov $p, %esi */
		put_n(o, pointer(r), 4);
		put(o, 0xbf);		/* mov $p, %edi */
		put_n(o, pointer(r), 4);
	}
	if (op->byte >= 0xf6 && op->byte <= 0xf7 && op->map == 0 && op->reg >= 6 && chance(r, 70)) {
		put(o, 0xba);		/* mov $n, %edx */
		put_n(o, chance(r, 70) ? 0 : 0xffffffff, 4);
	}
	/* A POPA that faults has loaded some registers on some processors. */
	if (op->byte == 0x61 && op->how & STACK) {
		put(o, 0xbc);		/* mov $p, %esp */
		put_n(o, DATA_AT + rng_below(r, DATA_WRITABLE), 4);
	} else if (op->how & STACK && chance(r, 30)) {
		put(o, 0xbc);
		put_n(o, pointer(r), 4);
	}
	/* Where a MASKMOVDQU faults, and whether it does if the mask is zero, is up to
	 * the processor: it does not. */
	if (op->byte == 0xf7 && op->map == 1) {
		put(o, 0xbf);		/* mov $p, %edi */
		put_n(o, DATA_AT + rng_below(r, DATA_WRITABLE - 15), 4);
	}
}

/* movl $0, n(%rbx) */
static void put_clear(struct out *o, unsigned int at)
{
	put(o, 0xc7);
	put(o, 0x43);
	put(o, at);
	put_n(o, 0, 4);
}

/* What needs its operands to be just so: @at is where it will be. */
static void put_special(struct out *o, struct rng *r, bool is_32bit, uint64_t at)
{
	uint8_t *begin = o->at;

	switch (rng_below(r, is_32bit ? 7 : 6)) {
	case 0:
		put(o, 0x68);		/* push $behind; ret */
		put_n(o, at + 6, 4);
		put(o, 0xc3);
		break;
	case 1:
		put(o, 0x68);		/* push $behind; ret $n */
		put_n(o, at + 8, 4);
		put(o, 0xc2);
		put_n(o, rng_below(r, 64), 2);
		break;
	case 2:
		put(o, 0xb8);		/* mov $behind, %eax; call or jmp *%rax */
		put_n(o, at + 7, 4);
		put(o, 0xff);
		put(o, chance(r, 50) ? 0xd0 : 0xe0);
		break;
	case 3:
		put(o, 0x68);		/* push $flags; popf: not TF, AC */
		put_n(o, rng_next(r) & (STATUS | X86_EFLAGS_DF | X86_EFLAGS_IOPL), 4);
		if (chance(r, 20))
			put(o, 0x66);
		put(o, 0x9d);
		break;
	case 4:
		put(o, 0xc8);		/* enter */
		put_n(o, rng_below(r, 256), 2);
		put(o, chance(r, 60) ? 0 : rng_below(r, 32));
		break;
	case 6:
		/* Which of its two bounds is read first is open. */
		put(o, 0xbb);		/* mov $p, %ebx; bound %reg, (%ebx) */
		put_n(o, DATA_AT + 16 * rng_below(r, 128), 4);
		if (chance(r, 15))
			put(o, 0x66);
		put(o, 0x62);
		put(o, rng_below(r, 8) << 3 | 3);
		break;
	default:
		if (!is_32bit && chance(r, 50)) {
			put(o, 0x48);	/* movabs %rax or %al, moffs */
			put(o, 0xa0 + rng_below(r, 4));
			put_n(o, pointer(r), 8);
		} else {
			put(o, 0xbb);	/* mov $p, %ebx; fxsave or stmxcsr */
			put_n(o, DATA_AT + 16 * rng_below(r, 128), 4);
			put(o, 0x0f);
			put(o, 0xae);
			if (chance(r, 50)) {
				put(o, 0x1b);
				break;
			}
			put(o, 0x03);
			/* FOP and the pointers. */
			for (unsigned int field = 6; field < 22; field += 4)
				put_clear(o, field);
			put_clear(o, 20);
		}
	}
	if (o->full)
		o->at = begin;
}

/* What saves pointers, which differ between processors: they are cleared in memory behind it;
 * what loads them; and stores of ten bytes, of which some processors make the first eight
 * before they fault on the others. */
static void put_x87_special(struct out *o, struct rng *r)
{
	static const uint8_t insns[][2] = {
		{ 0xd9, 0x33 }, { 0xdd, 0x33 }, { 0xd9, 0x23 }, { 0xdd, 0x23 }, { 0xdb, 0xe3 },
		{ 0xdb, 0xe2 }, { 0xdb, 0x3b }, { 0xdf, 0x33 }, { 0xdb, 0x3b },
	};
	unsigned int which = rng_below(r, 9);
	bool narrow = chance(r, 30);

	put(o, 0xbb);			/* mov $p, %ebx */
	put_n(o, DATA_AT + rng_below(r, DATA_WRITABLE - 108), 4);
	if (narrow)
		put(o, 0x66);
	put(o, insns[which][0]);
	put(o, insns[which][1]);
	if (which < 2)
		for (unsigned int at = narrow ? 6 : 12; at < (narrow ? 14 : 28); at += 4)
			put_clear(o, at);
}

/* A number of 80 bits, mostly one that instructions like. */
static void generate_float(uint8_t st[16], struct rng *r)
{
	uint64_t mantissa = chance(r, 30) ? rng_next(r) & ~0ull << rng_below(r, 64) : rng_next(r);
	uint16_t exponent = (uint16_t)(16383 + (int)rng_below(r, 129) - 64);

	switch (rng_below(r, 10)) {
	case 0:
		exponent = (uint16_t)rng_next(r) & 0x7fff;
		break;
	case 1:
		exponent = chance(r, 50) ? 0x7fff : 0;
		break;
	case 2:
		exponent = chance(r, 50) ? 1 : 0x7ffe;
		break;
	default:
		break;
	}
	if (chance(r, 10))
		mantissa = 0;
	if (exponent && !chance(r, 4))
		mantissa |= 1ull << 63;
	if (chance(r, 40))
		exponent |= 0x8000;
	memset(st, 0, 16);
	memcpy(st, &mantissa, 8);
	memcpy(st + 8, &exponent, 2);
}

static void generate_x87(struct diff_x87 *x, bool used, struct rng *r)
{
	x->fcw = 0x37f;
	if (!used)
		return;
	if (chance(r, 50))
		x->fcw = (uint16_t)((rng_next(r) & 0xf00) | 0x7f);
	if (chance(r, 25))
		x->fcw &= (uint16_t)(rng_next(r) | 0xffc0);
	x->fsw = (uint16_t)(rng_next(r) & 0x7f00);
	if (chance(r, 30))
		x->fsw |= (uint16_t)(rng_next(r) & 0x7f);
	/* An exception waits, if at all, as hardware would have it. */
	if (!chance(r, 10))
		x->fsw &= (uint16_t)(x->fcw | 0xffc0);
	if (x->fsw & ~x->fcw & 0x3f)
		x->fsw |= 0x8080;
	x->ftw = chance(r, 50) ? 0xff : (uint8_t)(rng_next(r) | rng_next(r));
	for (unsigned int i = 0; i < 8; i++)
		generate_float(x->st[i], r);
}

static void generate_state(struct diff_case *c, struct rng *r)
{
	struct diff_state *s = &c->in;
	const uint32_t flags = STATUS | X86_EFLAGS_DF;

	for (unsigned int i = 0; i < 16; i++) {
		s->gpr[i] = is_pointer(i) ? pointer(r) : interesting(r);
		if (c->is_32bit)
			s->gpr[i] = i < 8 ? (uint32_t)s->gpr[i] : 0;
	}
	s->rip = CODE_AT + c->offset;
	s->rflags = (rng_next(r) & (chance(r, 10) ? flags : STATUS)) | X86_EFLAGS_FIXED;
	for (unsigned int i = 0; i < 16; i++) {
		static const uint64_t doubles[] = {
			0, 0x8000000000000000, 0x3ff0000000000000, 0x7ff0000000000000,
			0x7ff8000000000001, 0x7ff0000000000001, 0x0000000000000001,
			0x3f8000007f800000, 0x7fc000017f800001, 0x0000000180000000,
			0x4340000000000001, 0xc1e0000000000000, 0x4f0000004f800000,
		};

		for (unsigned int half = 0; half < 2; half++) {
			uint64_t v = chance(r, 50) ? rng_next(r) : doubles[rng_below(r, 13)];

			memcpy(&s->xmm[i][8 * half], &v, 8);
		}
		if (c->is_32bit && i >= 8)
			memset(s->xmm[i], 0, 16);
	}
	s->mxcsr = 0x1f80;
	if (chance(r, 30))
		s->mxcsr |= (uint32_t)rng_next(r) & 0xe07f;
	/* Overflow and underflow, if they are not masked, are other conditions
	 * than if they are: Umbra does not know that. */
	if (chance(r, 10))
		s->mxcsr ^= (uint32_t)rng_next(r) & 0x1380;
	generate_x87(&s->x87, c->floats, r);
	for (unsigned int i = 0; i < DATA_BYTES; i += 8) {
		uint64_t v = rng_next(r);

		memcpy(s->data + i, &v, 8);
	}
}

/*
 * What is undefined where: what @c has got since @begin is looked at one instruction
 * at a time.  A branch may leap to the end of it.  False: something there goes by
 * what is undefined by then, or comes to it.
 */
static bool track(struct diff_case *c, const struct out *o, const uint8_t *begin,
		  uint32_t *undefined)
{
	uint32_t now = *undefined, at_leaps = 0;
	struct effects e;

	for (const uint8_t *at = begin; at < o->at; at += e.bytes) {
		e = effects_of(c->is_32bit, at, (size_t)(o->at - at));
		e.bytes = e.bytes ? e.bytes : 1;
		if (e.reads & now || e.result_open)
			return false;
		c->undefined[at - c->code] = (uint16_t)(now | (e.fault_flags_open ? STATUS : 0));
		at_leaps |= now;
		now = (now & ~e.defines) | e.undefined;
	}
	*undefined = now | at_leaps;
	return true;
}

/* Behind a BSF or BSR: cmovz with another register, a pointer too. */
static void put_guard(struct diff_case *c, struct out *o, const uint8_t *insn)
{
	struct effects e = effects_of(c->is_32bit, insn, (size_t)(o->at - insn));
	unsigned int reg = (unsigned int)e.open_if_zf;

	if (e.open_if_zf < 0)
		return;
	if (!c->is_32bit)
		put(o, 0x48 | (reg >> 3) << 2);
	put(o, 0x0f);
	put(o, 0x44);
	put(o, 0xc0 | (reg & 7) << 3 | (reg == 4 ? 5 : 4));
}

static void put_step(struct diff_case *c, struct out *o, struct rng *r, const struct opcode *op)
{
	/* The page begins this many bytes before the code. */
	const uint8_t *page = c->code - c->offset, *insn;

	if (c->floats && chance(r, 6)) {
		put_x87_special(o, r);
		return;
	}
	if (chance(r, 4)) {
		put_special(o, r, c->is_32bit, c->in.rip + (uint64_t)(o->at - c->code));
		return;
	}
	put_preparation(o, r, op);
	insn = o->at;
	if (op->how & (BRANCH8 | BRANCH32)) {
		put_branch(o, r, op, c->is_32bit, page);
		return;
	}
	put_instruction(o, r, op, c->is_32bit, page);
	if (!o->full)
		put_guard(c, o, insn);
}

/* One that goes by a flag which is undefined comes again behind an ADD that defines
 * all of them; one whose result is undefined does not come. */
static void add_step(struct diff_case *c, struct out *o, struct rng *r, uint32_t *undefined)
{
	uint8_t *begin = o->at, *step;
	const struct opcode *op;
	struct rng again;

	do
		op = pick_opcode(r);
	while ((c->floats && !(op->how & X87) && chance(r, 90)) ||
	       op->how & (c->is_32bit ? ONLY64 : ONLY32) || (op->how & RARE && chance(r, 80)));
	again = *r;
	put_step(c, o, r, op);
	if (o->full || track(c, o, begin, undefined))
		return;

	o->at = begin;
	*r = again;
	put_n(o, 0x0004, 2);		/* add $0, %al */
	step = o->at;
	put_step(c, o, r, op);
	c->undefined[begin - c->code] = (uint16_t)*undefined;
	if (o->full)
		return;
	*undefined = 0;
	if (!track(c, o, step, undefined))
		o->at = step;
}

void generate_case(struct diff_case *c, struct rng *r, unsigned int insns)
{
	struct out o = { .at = c->code, .end = c->code + sizeof(c->code) - 1 };
	uint32_t undefined = 0;
	uint8_t *before;

	memset(c, 0, sizeof(*c));
	c->is_32bit = chance(r, 30);
	c->floats = chance(r, 25);
	c->offset = chance(r, 5) ? CODE_BYTES - 256 : rng_below(r, 64);
	generate_state(c, r);
	while (insns-- && !o.full) {
		before = o.at;
		add_step(c, &o, r, &undefined);
		if (o.full)
			o.at = before;
	}
	/* Behind the INT3 too, where it says it was. */
	c->undefined[o.at - c->code] = (uint16_t)undefined;
	c->undefined[o.at + 1 - c->code] = (uint16_t)undefined;
	*o.at++ = 0xcc;
	c->bytes = (unsigned int)(o.at - c->code);
}
