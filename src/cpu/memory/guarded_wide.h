/* SPDX-License-Identifier: MIT */
/*
 * cpu/memory/guarded_wide.h - more windows in the manner of sync/window.h: 16 bytes, and runs
 * of elements.
 */
#ifndef CPU_GUARDED_WIDE_H
#define CPU_GUARDED_WIDE_H

#include <emmintrin.h>

#include "cpu/memory/access.h"

static ALWAYS_INLINE bool load_hit128(const struct cpu *cpu, uint64_t gva, __m128i *to)
{
	const struct tlb_entry *e = tlb_entry_of(&cpu->mmu, gva_of(gva));
	const uint64_t *context = &cpu->mmu.tlb_context, *tag = &e->read, *addend = &e->addend;
	uint64_t page = (gva + 15) & PAGE_MASK, t;
	__m128i value;

	GUARDED_ASM(WINDOW_HIT "1: movups (%[gva],%[t]), %[value]\n" WINDOW_END
		 : [value] "=x"(value), [t] "=&r"(t)
		 : WINDOW_HIT_INPUTS
		 : "memory", "cc"
		 : fail);
	*to = value;
	return true;
GUARDED_LABEL(fail);
	return false;
}

static ALWAYS_INLINE bool store_hit128(const struct cpu *cpu, uint64_t gva, __m128i value)
{
	const struct tlb_entry *e = tlb_entry_of(&cpu->mmu, gva_of(gva));
	const uint64_t *context = &cpu->mmu.tlb_context, *tag = &e->write, *addend = &e->addend;
	uint64_t page = (gva + 15) & PAGE_MASK, t;

	GUARDED_ASM(WINDOW_HIT "1: movups %[value], (%[gva],%[t])\n" WINDOW_END
		 : [t] "=&r"(t)
		 : WINDOW_HIT_INPUTS, [value] "x"(value)
		 : "memory", "cc"
		 : fail);
	return true;
GUARDED_LABEL(fail);
	return false;
}

/* As at_cmpxchg64() for 16 aligned bytes. */
static ALWAYS_INLINE bool at_cmpxchg128(const struct cpu *cpu, struct host_at at,
					uint64_t old[2], const uint64_t value[2])
{
	uint64_t low = old[0], high = old[1];

	GUARDED_ASM(WINDOW_BEGIN "1: lock cmpxchg16b %[mem]\n" WINDOW_END
		 : "+a"(low), "+d"(high)
		 : "b"(value[0]), "c"(value[1]), [now] "m"(cpu->mmu.epoch.number),
		   [epoch] "r"(at.epoch), [mem] "m"(*(char(*)[16])at.host)
		 : "memory", "cc"
		 : fail);
	old[0] = low;
	old[1] = high;
	return true;
GUARDED_LABEL(fail);
	return false;
}

/* If it faults or is stale it ends after the instruction, too: the registers say how far it has
 * got. */
#define WINDOW_RUN(insn)                      \
	"4: cmpq %[now], %[epoch]\n\tjne 3f\n" \
	"1: rep " insn "\n"                   \
	"3:\n" GUARDED_WINDOW                 \
	".pushsection umbra_fixup, \"a\"\n"   \
	".balign 4\n"                         \
	".long 1b - .\n"                      \
	".long 3b - .\n"                      \
	".popsection\n"

#define RUN_MOVS(insn)                                                                    \
	__asm__ __volatile__(WINDOW_RUN(insn)                                             \
			     : "+D"(to), "+S"(from), "+c"(n)                              \
			     : [now] "m"(cpu->mmu.epoch.number), [epoch] "r"(epoch)       \
			     : "memory", "cc")

/* Copies @n elements of @size bytes upwards, one after the other; returns how
 * many were not copied, as an access faulted or became stale. */
static inline uint64_t run_movs(const struct cpu *cpu, uint64_t epoch, void *to,
				const void *from, unsigned int size, uint64_t n)
{
	switch (size) {
	case 1:
		RUN_MOVS("movsb");
		break;
	case 2:
		RUN_MOVS("movsw");
		break;
	case 4:
		RUN_MOVS("movsl");
		break;
	default:
		RUN_MOVS("movsq");
	}
	return n;
}

#define RUN_STOS(insn)                                                                    \
	__asm__ __volatile__(WINDOW_RUN(insn)                                             \
			     : "+D"(to), "+c"(n)                                          \
			     : "a"(value), [now] "m"(cpu->mmu.epoch.number),              \
			       [epoch] "r"(at.epoch)                                      \
			     : "memory", "cc")

static inline uint64_t run_stos(const struct cpu *cpu, struct host_at at, uint64_t value,
				unsigned int size, uint64_t n)
{
	void *to = at.host;

	switch (size) {
	case 1:
		RUN_STOS("stosb");
		break;
	case 2:
		RUN_STOS("stosw");
		break;
	case 4:
		RUN_STOS("stosl");
		break;
	default:
		RUN_STOS("stosq");
	}
	return n;
}

#endif
