/* SPDX-License-Identifier: MIT */
/* cpu/insn/sse/dot.h - exceptions of DPPS and DPPD, and of their forms in AVX. */
#ifndef CPU_INSN_SSE_DOT_H
#define CPU_INSN_SSE_DOT_H

#include <emmintrin.h>

#include "cpu/cpu.h"

enum dot_of { DOT_OF_SINGLES, DOT_OF_DOUBLES };

/*
 * In place of fp_end_careful(): the instruction is what it is made of, step by step, and each
 * step has exceptions of its own, of which the first that is not masked ends it.  @terms: which
 * products there are, a bit for each element; @a and @b, of @lanes each, are used up.
 */
bool dot_end_careful(struct cpu *cpu, __m128i *a, const __m128i *b, unsigned int lanes,
		     unsigned int terms, enum dot_of of);

#endif
