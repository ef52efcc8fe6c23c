/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/sse/fp.h - the guest's MXCSR, in the host's register or not.
 *
 * While every exception is masked, which is nearly always, the guest's MXCSR is
 * put into the host's register by the first floating-point instruction of a
 * cpu_run() and stays there ("live") until its end: rounding and flags are the
 * host's own doing then.  With an exception unmasked each instruction is done
 * with care: all masked, and its flags looked at before its result is kept.
 */
#ifndef CPU_INSN_FP_H
#define CPU_INSN_FP_H

#include <emmintrin.h>

#include "cpu/decode/op.h"
#include "cpu/memory/guarded_wide.h"

#define MXCSR_FLAGS 0x3fu
#define MXCSR_OPERAND_FLAGS 7u	/* invalid, denormal, division by zero */
#define MXCSR_MASKS 0x1f80u
#define MXCSR_RESET 0x1f80u

/* Takes the flags back; the host's register is as it was. */
void fp_retire(struct cpu *cpu);

/* Between the two is one instruction; the second only if the first answers true: it is done with
 * care.  False of the second: #XM or #UD. */
bool fp_begin(struct cpu *cpu);
bool fp_end_careful(struct cpu *cpu);

/* LDMXCSR; #GP for what this host does not have. */
bool fp_set_mxcsr(struct cpu *cpu, uint32_t value);
/* Bits of MXCSR that this host has. */
uint32_t fp_mxcsr_mask(void);

static ALWAYS_INLINE __m128i xmm_get(const struct cpu *cpu, unsigned int number)
{
	return _mm_load_si128((const __m128i *)&cpu->xmm[number]);
}

static ALWAYS_INLINE void xmm_set(struct cpu *cpu, unsigned int number, __m128i v)
{
	_mm_store_si128((__m128i *)&cpu->xmm[number], v);
}

/* Loads 4, 8 or 16 bytes as the source of an instruction; 16 must be aligned. */
bool xmm_load(struct cpu *cpu, const struct op *op, unsigned int bytes, __m128i *v);

#endif
