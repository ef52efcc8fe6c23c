/* SPDX-License-Identifier: MIT */
/* cpu/insn/sse/mmx.h - an instruction that SSE2 and MMX have both, on MMX registers. */
#ifndef CPU_INSN_SSE_MMX_H
#define CPU_INSN_SSE_MMX_H

#include <emmintrin.h>

#include "cpu/decode/op.h"

/* How operands are put into XMM registers for the result to be in the lower half. */
enum mmx_how {
	MMX_LOW,		/* in the lower halves */
	MMX_HIGH,		/* their upper halves where the instruction looks for these */
	MMX_BOTH,		/* one after the other */
	MMX_SHUFFLE,		/* lower halves, of which the second is indices */
};
typedef __m128i (*mmx_host_fn)(__m128i a, __m128i b);

bool mmx_execute(struct cpu *cpu, const struct op *op, mmx_host_fn host, enum mmx_how how);

#endif
