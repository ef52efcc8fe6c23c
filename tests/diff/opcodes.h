/* SPDX-License-Identifier: MIT */
/* tests/diff/opcodes.h - the opcodes that there are, and which of them the host has. */
#ifndef DIFF_OPCODES_H
#define DIFF_OPCODES_H

#include "diff.h"

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

/* One that the host has, at random. */
const struct opcode *opcode_pick(struct rng *r);
/* Does the host have these? */
bool opcode_host_has(uint64_t extensions);

#endif
