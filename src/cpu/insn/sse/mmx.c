/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/sse/mmx.c - MMX, and what of SSE uses its registers.
 *
 * The host's instruction of the same name on XMM registers does the same in their lower halves,
 * or can be made to.  So the host's x87 has no part in it: the guest's registers are in memory.
 */
#include "cpu/insn/sse/mmx.h"

#include <string.h>

#include "cpu/event/raise.h"
#include "cpu/insn/insn.h"
#include "cpu/insn/operand.h"
#include "cpu/insn/sse/fp.h"
#include "cpu/insn/x87/x87.h"
#include "cpu/memory/access.h"
#include "cpu/memory/address.h"

/* MMi is in Ri, whichever is ST(0). */
static uint64_t *mm(struct cpu *cpu, unsigned int number)
{
	return &cpu->x87.st[(number - x87_top(cpu->x87.fsw)) & 7].u64[0];
}

static bool begin_mmx(struct cpu *cpu)
{
	if (!x87_check_pending(cpu))
		return false;
	x87_retire(cpu);
	return true;
}

/* All registers are in use, and R0 is ST(0).  An x87 that looks at one written sees no number. */
static bool end_mmx(struct cpu *cpu)
{
	x87_turn(&cpu->x87, cpu->x87.fsw & (uint16_t)~(7u << X87_TOP_SHIFT));
	cpu->x87.ftw = X87_ALL_IN_USE;
	return true;
}

static bool end_mmx_with(struct cpu *cpu, unsigned int number, uint64_t value)
{
	end_mmx(cpu);
	cpu->x87.st[number & 7].u64[0] = value;
	cpu->x87.st[number & 7].u16[4] = 0xffff;
	return true;
}

/* A register, or @bytes of memory. */
static bool load_source(struct cpu *cpu, const struct op *op, unsigned int bytes, uint64_t *value)
{
	if (op->flags & OP_MEM_SRC)
		return mem_read(cpu, op->seg, op_ea(cpu, op), bytes, value);
	*value = *mm(cpu, op->src);
	return true;
}

bool mmx_execute(struct cpu *cpu, const struct op *op, mmx_host_fn host, enum mmx_how how)
{
	uint64_t v;
	__m128i a, b;

	if (!begin_mmx(cpu))
		return false;
	if (op->flags & OP_IMM_SRC)
		v = (uint64_t)op->imm & 0xff;
	else if (!load_source(cpu, op, op->size, &v))
		return false;
	a = _mm_cvtsi64_si128((long long)*mm(cpu, op->dst));
	b = _mm_cvtsi64_si128((long long)v);
	switch (how) {
	case MMX_LOW:
		break;
	case MMX_HIGH:
		a = _mm_slli_si128(a, 4);
		b = _mm_slli_si128(b, 4);
		break;
	case MMX_BOTH:
		a = b = _mm_unpacklo_epi64(a, b);
		break;
	case MMX_SHUFFLE:
		b = _mm_and_si128(b, _mm_set1_epi8((char)0x87));
		break;
	}
	return end_mmx_with(cpu, op->dst, (uint64_t)_mm_cvtsi128_si64(host(a, b)));
}

OP(emms)
{
	if (!begin_mmx(cpu))
		return false;
	end_mmx(cpu);
	cpu->x87.ftw = 0;
	return true;
}

/* --- moves ---------------------------------------------------------------------------- */

OP(mmx_load)
{
	uint64_t v;

	return begin_mmx(cpu) && load_source(cpu, op, op->size, &v) &&
	       end_mmx_with(cpu, op->dst, v);
}

OP(mmx_store)
{
	return begin_mmx(cpu) &&
	       mem_write(cpu, op->seg, op_ea(cpu, op), op->size, *mm(cpu, op->src)) && end_mmx(cpu);
}

OP(mmx_from_gpr)
{
	return begin_mmx(cpu) && end_mmx_with(cpu, op->dst, get_reg(cpu, op->src, op->size));
}

OP(mmx_to_gpr)
{
	if (!begin_mmx(cpu))
		return false;
	set_reg(cpu, op->dst, op->size, *mm(cpu, op->src));
	return end_mmx(cpu);
}

OP(movq2dq)
{
	if (!begin_mmx(cpu))
		return false;
	cpu->xmm[op->dst].u64[0] = *mm(cpu, op->src);
	cpu->xmm[op->dst].u64[1] = 0;
	return end_mmx(cpu);
}

OP(movdq2q)
{
	return begin_mmx(cpu) && end_mmx_with(cpu, op->dst, cpu->xmm[op->src].u64[0]);
}

OP(mmx_pmovmskb)
{
	if (!begin_mmx(cpu))
		return false;
	set_reg64(cpu, op->dst, (unsigned int)_mm_movemask_epi8(_mm_cvtsi64_si128(
					(long long)*mm(cpu, op->src))));
	return end_mmx(cpu);
}

OP(mmx_pextrw)
{
	if (!begin_mmx(cpu))
		return false;
	set_reg64(cpu, op->dst, *mm(cpu, op->src) >> (16 * (op->imm & 3)) & 0xffff);
	return end_mmx(cpu);
}

OP(mmx_pinsrw)
{
	unsigned int shift = 16 * (op->imm & 3);
	uint64_t v;

	if (!begin_mmx(cpu))
		return false;
	if (!(op->flags & OP_MEM_SRC))
		v = get_reg16(cpu, op->src);
	else if (!mem_read(cpu, op->seg, op_ea(cpu, op), 2, &v))
		return false;
	return end_mmx_with(cpu, op->dst, (*mm(cpu, op->dst) & ~(0xffffull << shift)) | v << shift);
}

OP(pshufw)
{
	uint64_t v, r = 0;

	if (!begin_mmx(cpu) || !load_source(cpu, op, 8, &v))
		return false;
	for (unsigned int i = 0; i < 4; i++)
		r |= (v >> 16 * (op->imm >> (2 * i) & 3) & 0xffff) << 16 * i;
	return end_mmx_with(cpu, op->dst, r);
}

OP(mmx_palignr)
{
	unsigned int at = MIN((unsigned int)op->imm & 0xff, 16u);
	uint8_t both[24] = { 0 };
	uint64_t v, r;

	if (!begin_mmx(cpu) || !load_source(cpu, op, 8, &v))
		return false;
	memcpy(both, &v, 8);
	memcpy(both + 8, mm(cpu, op->dst), 8);
	memcpy(&r, both + at, 8);
	return end_mmx_with(cpu, op->dst, r);
}

/* As MASKMOVDQU. */
OP(maskmovq)
{
	uint64_t offset = cpu->r[GPR_RDI] & width_mask(op->address_bytes), ea, data, mask;

	if (!begin_mmx(cpu) || !address_linear(cpu, op->seg, offset, 8, ACCESS_WRITE, &ea) ||
	    !mem_probe(cpu, op->seg, ea, 8, ACCESS_WRITE))
		return false;
	data = *mm(cpu, op->dst);
	mask = *mm(cpu, op->src);
	for (unsigned int i = 0; i < 8; i++)
		if ((mask >> (8 * i) & 0x80) &&
		    !mem_write(cpu, op->seg, (ea + i) & cpu->ea_mask, 1, data >> (8 * i) & 0xff))
			return false;
	return end_mmx(cpu);
}

/* --- conversions ------------------------------------------------------------------------ */

typedef __m128i (*convert_fn)(__m128i a, __m128i b);

#define DEFINE_CONVERT(name, insn)                                          \
	static __m128i name(__m128i a, __m128i b)                           \
	{                                                                   \
		__asm__ __volatile__(#insn " %1, %0" : "+x"(a) : "x"(b));   \
		return a;                                                   \
	}
DEFINE_CONVERT(dq2ps, cvtdq2ps)
DEFINE_CONVERT(dq2pd, cvtdq2pd)
DEFINE_CONVERT(ps2dq, cvtps2dq)
DEFINE_CONVERT(tps2dq, cvttps2dq)
DEFINE_CONVERT(pd2dq, cvtpd2dq)
DEFINE_CONVERT(tpd2dq, cvttpd2dq)

static bool convert(struct cpu *cpu, convert_fn fn, __m128i from, __m128i *to)
{
	bool careful = fp_begin(cpu);

	*to = fn(_mm_setzero_si128(), from);
	return !careful || fp_end_careful(cpu);
}

/* CVTPI2PS changes the lower half. */
OP(cvtpi2ps)
{
	uint64_t v;
	__m128i to;

	if (!begin_mmx(cpu) || !load_source(cpu, op, 8, &v) ||
	    !convert(cpu, dq2ps, _mm_cvtsi64_si128((long long)v), &to))
		return false;
	cpu->xmm[op->dst].u64[0] = (uint64_t)_mm_cvtsi128_si64(to);
	return end_mmx(cpu);
}

/* From memory it has nothing to do with MMX. */
OP(cvtpi2pd)
{
	bool memory = op->flags & OP_MEM_SRC;
	uint64_t v;
	__m128i to;

	if ((!memory && !begin_mmx(cpu)) || !load_source(cpu, op, 8, &v) ||
	    !convert(cpu, dq2pd, _mm_cvtsi64_si128((long long)v), &to))
		return false;
	xmm_set(cpu, op->dst, to);
	return memory || end_mmx(cpu);
}

static bool to_mm(struct cpu *cpu, const struct op *op, unsigned int bytes, convert_fn fn)
{
	__m128i from, to;

	if (!begin_mmx(cpu))
		return false;
	if (!(op->flags & OP_MEM_SRC))
		from = xmm_get(cpu, op->src);
	else if (!xmm_load(cpu, op, bytes, &from))
		return false;
	/* What is above has no part in it. */
	if (bytes == 8)
		from = _mm_move_epi64(from);
	return convert(cpu, fn, from, &to) &&
	       end_mmx_with(cpu, op->dst, (uint64_t)_mm_cvtsi128_si64(to));
}

OP(cvtps2pi)
{
	return to_mm(cpu, op, 8, ps2dq);
}

OP(cvttps2pi)
{
	return to_mm(cpu, op, 8, tps2dq);
}

OP(cvtpd2pi)
{
	return to_mm(cpu, op, 16, pd2dq);
}

OP(cvttpd2pi)
{
	return to_mm(cpu, op, 16, tpd2dq);
}
