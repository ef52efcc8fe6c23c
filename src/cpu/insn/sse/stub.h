/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/sse/stub.h - host instructions that are called: each is a function of its own, as long
 * as all others of its kind.
 *
 * An immediate is part of an instruction, so there is one function for each of its values, and
 * "imm" is the value in their text.
 */
#ifndef CPU_INSN_SSE_STUB_H
#define CPU_INSN_SSE_STUB_H

#include "cpu/decode/op.h"

#define STUB_BYTES 8u

/* @bytes, a power of two: of each; @symbol is where the first one is. */
#define STUB_DEFINE(symbol, bytes, variants, text)                                     \
	__asm__(".pushsection .text\n.balign 16\n" symbol ":\n.set imm, 0\n"           \
		".rept " #variants "\n.balign " #bytes "\n " text "\n ret\n"           \
		".set imm, imm + 1\n.endr\n.popsection\n");

/* The one for an immediate; the value above the highest that counts says nothing. */
static inline int64_t stub_of(const uint8_t *first, unsigned int bytes, unsigned int variants,
			      int64_t immediate)
{
	return (int64_t)(uintptr_t)(first + bytes * ((uint64_t)immediate & (variants - 1)));
}

/* And back, of those that are STUB_BYTES long. */
static inline bool stub_is_of(int64_t stub, const uint8_t *first, unsigned int variants)
{
	return (uint64_t)stub - (uintptr_t)first < (uint64_t)variants * STUB_BYTES;
}

static inline unsigned int stub_immediate(int64_t stub, const uint8_t *first)
{
	return (unsigned int)(((uint64_t)stub - (uintptr_t)first) / STUB_BYTES);
}

#endif
