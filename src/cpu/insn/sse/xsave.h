/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/sse/xsave.h - the registers of x87, SSE and AVX as FXSAVE and XSAVE keep them in memory.
 * SDM 1, chapter 13.
 */
#ifndef CPU_INSN_SSE_XSAVE_H
#define CPU_INSN_SSE_XSAVE_H

#include "cpu/cpu.h"

struct xsave_header {
	uint64_t xstate_bv, xcomp_bv, reserved[6];
};

/* In the standard format; what there is fits into it. */
struct xsave_area {
	struct fx_image fx;
	struct xsave_header header;
	union xmm ymm_high[16];
};
_Static_assert(sizeof(struct xsave_area) == 832, "up to what AVX-512 would add");

/* For the client: all of it; and what xstate_bv names, the rest as after reset.  MXCSR's bits
 * have been checked. */
void xsave_get(const struct cpu *cpu, struct xsave_area *area);
void xsave_set(struct cpu *cpu, const struct xsave_area *area);

#endif
