/* SPDX-License-Identifier: MIT */
/*
 * cpu/guarded_wide.h - more accesses in the manner of base/guarded.h: 16 bytes,
 * and runs of elements.
 */
#ifndef CPU_GUARDED_WIDE_H
#define CPU_GUARDED_WIDE_H

#include <emmintrin.h>

#include "base/guarded.h"
#include "cpu/cpu.h"

static ALWAYS_INLINE bool guarded_load128(const void *from, __m128i *to)
{
	__m128i value;

	GUARDED_ASM("1: movups %[mem], %[value]\n" GUARDED_FIXUP(fault)
		 : [value] "=x"(value)
		 : [mem] "m"(*(const char(*)[16])from)
		 : "memory"
		 : fault);
	*to = value;
	return true;
GUARDED_LABEL(fault);
	return false;
}

static ALWAYS_INLINE bool guarded_store128(void *to, __m128i value)
{
	GUARDED_ASM("1: movups %[value], %[mem]\n" GUARDED_FIXUP(fault)
		 :
		 : [value] "x"(value), [mem] "m"(*(char(*)[16])to)
		 : "memory"
		 : fault);
	return true;
GUARDED_LABEL(fault);
	return false;
}

/* As guarded_cmpxchg64() for 16 aligned bytes. */
static ALWAYS_INLINE bool guarded_cmpxchg128(void *at, uint64_t old[2], const uint64_t value[2])
{
	uint64_t low = old[0], high = old[1];

	GUARDED_ASM("1: lock cmpxchg16b %[mem]\n" GUARDED_FIXUP(fault)
		 : "+a"(low), "+d"(high)
		 : "b"(value[0]), "c"(value[1]), [mem] "m"(*(char(*)[16])at)
		 : "memory", "cc"
		 : fault);
	old[0] = low;
	old[1] = high;
	return true;
GUARDED_LABEL(fault);
	return false;
}

/* Resumes behind the instruction: its registers say how far it came. */
#define GUARDED_FIXUP_BEHIND        \
	"2:\n"                      \
	".pushsection umbra_fixup, \"a\"\n" \
	".balign 4\n"               \
	".long 1b - .\n"            \
	".long 2b - .\n"            \
	".popsection\n"

/* Copies @n elements of @size bytes upwards, one after the other; returns how
 * many were not copied, as an access faulted. */
static inline uint64_t guarded_movs(void *to, const void *from, unsigned int size, uint64_t n)
{
	switch (size) {
	case 1:
		__asm__ __volatile__("1: rep movsb\n" GUARDED_FIXUP_BEHIND
				     : "+D"(to), "+S"(from), "+c"(n) : : "memory");
		break;
	case 2:
		__asm__ __volatile__("1: rep movsw\n" GUARDED_FIXUP_BEHIND
				     : "+D"(to), "+S"(from), "+c"(n) : : "memory");
		break;
	case 4:
		__asm__ __volatile__("1: rep movsl\n" GUARDED_FIXUP_BEHIND
				     : "+D"(to), "+S"(from), "+c"(n) : : "memory");
		break;
	default:
		__asm__ __volatile__("1: rep movsq\n" GUARDED_FIXUP_BEHIND
				     : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	}
	return n;
}

static inline uint64_t guarded_stos(void *to, uint64_t value, unsigned int size, uint64_t n)
{
	switch (size) {
	case 1:
		__asm__ __volatile__("1: rep stosb\n" GUARDED_FIXUP_BEHIND
				     : "+D"(to), "+c"(n) : "a"(value) : "memory");
		break;
	case 2:
		__asm__ __volatile__("1: rep stosw\n" GUARDED_FIXUP_BEHIND
				     : "+D"(to), "+c"(n) : "a"(value) : "memory");
		break;
	case 4:
		__asm__ __volatile__("1: rep stosl\n" GUARDED_FIXUP_BEHIND
				     : "+D"(to), "+c"(n) : "a"(value) : "memory");
		break;
	default:
		__asm__ __volatile__("1: rep stosq\n" GUARDED_FIXUP_BEHIND
				     : "+D"(to), "+c"(n) : "a"(value) : "memory");
	}
	return n;
}

#endif
