/* SPDX-License-Identifier: MIT */
#include "cpu/insn/sse/dot.h"

#include "cpu/insn/sse/fp.h"

static __m128i multiply(__m128i a, __m128i b, unsigned int terms, enum dot_of of)
{
	__m128i singles =
		_mm_set_epi32(-!!(terms & 8), -!!(terms & 4), -!!(terms & 2), -(int)(terms & 1));
	__m128i doubles = _mm_set_epi64x(-!!(terms & 2), -(int)(terms & 1));
	__m128i wanted = of == DOT_OF_SINGLES ? singles : doubles;

	a = _mm_and_si128(a, wanted);
	b = _mm_and_si128(b, wanted);
	if (of == DOT_OF_SINGLES)
		__asm__ __volatile__("mulps %1, %0" : "+x"(a) : "x"(b));
	else
		__asm__ __volatile__("mulpd %1, %0" : "+x"(a) : "x"(b));
	return a;
}

/* Neighbours: four become two, two become one. */
static __m128i sum(__m128i a, enum dot_of of)
{
	if (of == DOT_OF_SINGLES)
		__asm__ __volatile__("haddps %0, %0" : "+x"(a));
	else
		__asm__ __volatile__("haddpd %0, %0" : "+x"(a));
	return a;
}

bool dot_end_careful(struct cpu *cpu, __m128i *a, const __m128i *b, unsigned int lanes,
		     unsigned int terms, enum dot_of of)
{
	_mm_setcsr(_mm_getcsr() & ~MXCSR_FLAGS);
	for (unsigned int i = 0; i < lanes; i++)
		a[i] = multiply(a[i], b[i], terms, of);
	for (unsigned int sums = 0; sums < (of == DOT_OF_SINGLES ? 2u : 1u); sums++) {
		if (!fp_end_careful(cpu))
			return false;
		fp_begin(cpu);
		for (unsigned int i = 0; i < lanes; i++)
			a[i] = sum(a[i], of);
	}
	return fp_end_careful(cpu);
}
