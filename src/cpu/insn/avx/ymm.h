/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/avx/ymm.h - a YMM register out of its two halves, and in memory.
 */
#ifndef CPU_INSN_AVX_YMM_H
#define CPU_INSN_AVX_YMM_H

#include <string.h>

#include "cpu/insn/sse/fp.h"
#include "cpu/memory/access.h"

struct ymm {
	union xmm low, high;
};

static ALWAYS_INLINE void ymm_get(const struct cpu *cpu, unsigned int number, struct ymm *v)
{
	v->low = cpu->xmm[number];
	v->high = cpu->ymm_high[number];
}

static ALWAYS_INLINE void ymm_set(struct cpu *cpu, unsigned int number, const struct ymm *v)
{
	cpu->xmm[number] = v->low;
	cpu->ymm_high[number] = v->high;
}

/* Up to 32 bytes; what is above is zero. */
static inline bool ymm_load(struct cpu *cpu, enum cpu_seg seg, uint64_t ea, unsigned int bytes,
			    struct ymm *v)
{
	__m128i low, high;

	if (likely(bytes == 32) && load_hit128(cpu, ea, &low) && load_hit128(cpu, ea + 16, &high)) {
		_mm_store_si128((__m128i *)&v->low, low);
		_mm_store_si128((__m128i *)&v->high, high);
		return true;
	}
	memset(v, 0, sizeof(*v));
	return mem_load(cpu, seg, ea, v, bytes);
}

/* All of it, or nothing. */
static inline bool ymm_store(struct cpu *cpu, enum cpu_seg seg, uint64_t ea, unsigned int bytes,
			     const struct ymm *v)
{
	/* In one page; if the second half is lost, all is stored again. */
	if (likely(bytes == 32) && (ea & PAGE_OFFSET_MASK) <= PAGE_SIZE - 32 &&
	    store_hit128(cpu, ea, _mm_load_si128((const __m128i *)&v->low)) &&
	    store_hit128(cpu, ea + 16, _mm_load_si128((const __m128i *)&v->high)))
		return true;
	return mem_store(cpu, seg, ea, v, bytes);
}

#endif
