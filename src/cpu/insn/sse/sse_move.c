/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/sse/sse_move.c - SSE's instructions that move, shuffle and take apart, and others that
 * have an immediate.
 */
#include <string.h>

#include "cpu/event/raise.h"
#include "cpu/insn/insn.h"
#include "cpu/insn/operand.h"
#include "cpu/insn/sse/fp.h"
#include "cpu/memory/access.h"
#include "cpu/memory/address.h"

/* Whole registers: MOVAPS and MOVUPS and their kind. */

static void mov128_rr(struct cpu *cpu, const struct op *op)
{
	xmm_set(cpu, op->dst, xmm_get(cpu, op->src));
	NEXT_OP(cpu, op);
}

static bool load_whole(struct cpu *cpu, const struct op *op, bool aligned)
{
	uint64_t ea = op_ea(cpu, op);
	union xmm x;

	if (aligned && (ea & 15))
		return raise_gp(cpu, 0);
	if (!mem_load(cpu, op->seg, ea, &x, 16))
		return false;
	cpu->xmm[op->dst] = x;
	return true;
}

static bool store_whole(struct cpu *cpu, const struct op *op, bool aligned)
{
	uint64_t ea = op_ea(cpu, op);

	if (aligned && (ea & 15))
		return raise_gp(cpu, 0);
	return mem_store(cpu, op->seg, ea, &cpu->xmm[op->src], 16);
}

#define DEFINE_MOV128(name, aligned)                                                    \
	static COLD void name##_rm_slow(struct cpu *cpu, const struct op *op)           \
	{                                                                               \
		if (!load_whole(cpu, op, aligned))                                      \
			TAIL_CALL(op_abandon(cpu, op));                                 \
		NEXT_OP_UNLESS_STOPPED(cpu, op);                                        \
	}                                                                               \
	static void name##_rm(struct cpu *cpu, const struct op *op)                     \
	{                                                                               \
		uint64_t ea = op_ea(cpu, op);                                           \
		__m128i v;                                                              \
											\
		if (unlikely(aligned && (ea & 15)) ||                                   \
		    unlikely(!load_hit128(cpu, ea, &v)))                                \
			TAIL_CALL(name##_rm_slow(cpu, op));                             \
		xmm_set(cpu, op->dst, v);                                               \
		NEXT_OP(cpu, op);                                                       \
	}                                                                               \
	static COLD void name##_mr_slow(struct cpu *cpu, const struct op *op)           \
	{                                                                               \
		if (!store_whole(cpu, op, aligned))                                     \
			TAIL_CALL(op_abandon(cpu, op));                                 \
		NEXT_OP_UNLESS_STOPPED(cpu, op);                                        \
	}                                                                               \
	static void name##_mr(struct cpu *cpu, const struct op *op)                     \
	{                                                                               \
		uint64_t ea = op_ea(cpu, op);                                           \
											\
		if (unlikely(aligned && (ea & 15)) ||                                   \
		    unlikely(!store_hit128(cpu, ea, xmm_get(cpu, op->src))))            \
			TAIL_CALL(name##_mr_slow(cpu, op));                             \
		NEXT_OP(cpu, op);                                                       \
	}

DEFINE_MOV128(mov_aligned, true)
DEFINE_MOV128(mov_unaligned, false)

op_fn pick_mov128(const struct insn *insn UNUSED, struct op *op, unsigned int which)
{
	bool aligned = which == PICK_mov128_aligned;

	if (op->flags & OP_MEM_SRC)
		return aligned ? mov_aligned_rm : mov_unaligned_rm;
	if (op->flags & OP_MEM_DST)
		return aligned ? mov_aligned_mr : mov_unaligned_mr;
	return mov128_rr;
}

/* The low 4 or 8 bytes: a load clears the rest, a move between registers does
 * not (MOVSS, MOVSD) or does (MOVQ).  size is how many. */

OP(load_low)
{
	uint64_t v;

	if (!mem_read(cpu, op->seg, op_ea(cpu, op), op->size, &v))
		return false;
	cpu->xmm[op->dst].u64[0] = v;
	cpu->xmm[op->dst].u64[1] = 0;
	return true;
}

OP(store_low)
{
	return mem_write(cpu, op->seg, op_ea(cpu, op), op->size, cpu->xmm[op->src].u64[0]);
}

OP(merge_low)
{
	if (op->size == 4)
		cpu->xmm[op->dst].u32[0] = cpu->xmm[op->src].u32[0];
	else
		cpu->xmm[op->dst].u64[0] = cpu->xmm[op->src].u64[0];
	return true;
}

OP(move_low)
{
	cpu->xmm[op->dst].u64[0] = cpu->xmm[op->src].u64[0];
	cpu->xmm[op->dst].u64[1] = 0;
	return true;
}

OP(low_from_gpr)
{
	cpu->xmm[op->dst].u64[0] = get_reg(cpu, op->src, op->size);
	cpu->xmm[op->dst].u64[1] = 0;
	return true;
}

OP(low_to_gpr)
{
	set_reg(cpu, op->dst, op->size, cpu->xmm[op->src].u64[0]);
	return true;
}

static bool is_class(const struct insn *insn, unsigned int operand, ZydisRegisterClass class)
{
	return decode_is_reg(insn, operand) &&
	       ZydisRegisterGetClass(insn->operands[operand].reg.value) == class;
}

op_fn pick_mov_scalar(const struct insn *insn UNUSED, struct op *op, unsigned int bytes)
{
	op->size = (uint8_t)bytes;
	if (op->flags & OP_MEM_SRC)
		return op_load_low;
	return op->flags & OP_MEM_DST ? op_store_low : op_merge_low;
}

/* MOVSD, unless it is the string instruction. */
op_fn pick_movsd(const struct insn *insn, struct op *op)
{
	if (!is_class(insn, 0, ZYDIS_REGCLASS_XMM) && !is_class(insn, 1, ZYDIS_REGCLASS_XMM))
		return pick_string(insn, op, PICK_string_movs);
	if (insn->mode & (MODE_SSE_UD | MODE_SSE_NM))
		return insn->mode & MODE_SSE_UD ? op_undefined : op_device_not_available;
	return pick_mov_scalar(insn, op, PICK_mov_scalar_double);
}

static op_fn pick_mmx_move(const struct insn *insn, const struct op *op)
{
	if (op->flags & OP_MEM_DST)
		return op_mmx_store;
	if (!is_class(insn, 0, ZYDIS_REGCLASS_MMX))
		return op_mmx_to_gpr;
	return (op->flags & OP_MEM_SRC) || is_class(insn, 1, ZYDIS_REGCLASS_MMX) ? op_mmx_load :
										    op_mmx_from_gpr;
}

/* MOVD, MOVQ */
op_fn pick_mov_low(const struct insn *insn, struct op *op, unsigned int bytes)
{
	bool to_xmm = is_class(insn, 0, ZYDIS_REGCLASS_XMM);
	bool from_xmm = is_class(insn, 1, ZYDIS_REGCLASS_XMM);

	op->size = (uint8_t)bytes;
	if (!to_xmm && !from_xmm)
		return pick_mmx_move(insn, op);
	if (op->flags & OP_MEM_SRC)
		return op_load_low;
	if (op->flags & OP_MEM_DST)
		return op_store_low;
	if (to_xmm && from_xmm)
		return op_move_low;
	return to_xmm ? op_low_from_gpr : op_low_to_gpr;
}

/* Halves: MOVLPS, MOVHPS, MOVLPD, MOVHPD; MOVHLPS, MOVLHPS.  imm is the half. */

OP(load_half)
{
	uint64_t v;

	if (!mem_read(cpu, op->seg, op_ea(cpu, op), 8, &v))
		return false;
	cpu->xmm[op->dst].u64[op->imm] = v;
	return true;
}

OP(store_half)
{
	return mem_write(cpu, op->seg, op_ea(cpu, op), 8, cpu->xmm[op->src].u64[op->imm]);
}

op_fn pick_mov_half(const struct insn *insn UNUSED, struct op *op, unsigned int half)
{
	op->imm = half;
	return op->flags & OP_MEM_SRC ? op_load_half : op_store_half;
}

OP(movhlps)
{
	cpu->xmm[op->dst].u64[0] = cpu->xmm[op->src].u64[1];
	return true;
}

OP(movlhps)
{
	cpu->xmm[op->dst].u64[1] = cpu->xmm[op->src].u64[0];
	return true;
}

/* Signs into a general register. */

OP(movmskps)
{
	set_reg64(cpu, op->dst, (unsigned int)_mm_movemask_ps(
					_mm_castsi128_ps(xmm_get(cpu, op->src))));
	return true;
}

OP(movmskpd)
{
	set_reg64(cpu, op->dst, (unsigned int)_mm_movemask_pd(
					_mm_castsi128_pd(xmm_get(cpu, op->src))));
	return true;
}

OP(pmovmskb)
{
	set_reg64(cpu, op->dst, (unsigned int)_mm_movemask_epi8(xmm_get(cpu, op->src)));
	return true;
}

/* PEXTRW also has a form whose destination may be in memory, which is SSE4.1's. */
op_fn pick_from_xmm(const struct insn *insn, struct op *op, unsigned int which)
{
	if (insn->info.meta.isa_set == ZYDIS_ISA_SET_SSE4)
		return pick_extract(insn, op, PICK_extract_word);
	if (!is_class(insn, 1, ZYDIS_REGCLASS_XMM))
		return which == PICK_from_xmm_pextrw ? op_mmx_pextrw : op_mmx_pmovmskb;
	return which == PICK_from_xmm_pextrw ? op_pextrw : op_pmovmskb;
}

OP(pextrw)
{
	set_reg64(cpu, op->dst, cpu->xmm[op->src].u16[op->imm & 7]);
	return true;
}

OP(pinsrw)
{
	uint64_t v;

	if (op->flags & OP_MEM_SRC) {
		if (!mem_read(cpu, op->seg, op_ea(cpu, op), 2, &v))
			return false;
	} else {
		v = get_reg16(cpu, op->src);
	}
	cpu->xmm[op->dst].u16[op->imm & 7] = (uint16_t)v;
	return true;
}

op_fn pick_pinsrw(const struct insn *insn, struct op *op UNUSED)
{
	return is_class(insn, 0, ZYDIS_REGCLASS_XMM) ? op_pinsrw : op_mmx_pinsrw;
}

/* Shuffles by an immediate. */

static bool shuffle_source(struct cpu *cpu, const struct op *op, union xmm *s)
{
	__m128i v;

	if (!(op->flags & OP_MEM_SRC)) {
		*s = cpu->xmm[op->src];
		return true;
	}
	if (!xmm_load(cpu, op, 16, &v))
		return false;
	_mm_store_si128((__m128i *)s, v);
	return true;
}

OP(pshufd)
{
	union xmm s, d;

	if (!shuffle_source(cpu, op, &s))
		return false;
	for (unsigned int i = 0; i < 4; i++)
		d.u32[i] = s.u32[op->imm >> (2 * i) & 3];
	cpu->xmm[op->dst] = d;
	return true;
}

/* Four of the eight words, from @first on. */
static bool shuffle_words(struct cpu *cpu, const struct op *op, unsigned int first)
{
	union xmm s, d;

	if (!shuffle_source(cpu, op, &s))
		return false;
	d = s;
	for (unsigned int i = 0; i < 4; i++)
		d.u16[first + i] = s.u16[first + (op->imm >> (2 * i) & 3)];
	cpu->xmm[op->dst] = d;
	return true;
}

OP(pshuflw)
{
	return shuffle_words(cpu, op, 0);
}

OP(pshufhw)
{
	return shuffle_words(cpu, op, 4);
}

OP(shufps)
{
	union xmm s, d, *a = &cpu->xmm[op->dst];

	if (!shuffle_source(cpu, op, &s))
		return false;
	d.u32[0] = a->u32[op->imm & 3];
	d.u32[1] = a->u32[op->imm >> 2 & 3];
	d.u32[2] = s.u32[op->imm >> 4 & 3];
	d.u32[3] = s.u32[op->imm >> 6 & 3];
	*a = d;
	return true;
}

OP(shufpd)
{
	union xmm s, d, *a = &cpu->xmm[op->dst];

	if (!shuffle_source(cpu, op, &s))
		return false;
	d.u64[0] = a->u64[op->imm & 1];
	d.u64[1] = s.u64[op->imm >> 1 & 1];
	*a = d;
	return true;
}

/* Shifts by whole bytes. */

OP(pslldq)
{
	unsigned int n = MIN((unsigned int)op->imm & 0xff, 16u);
	union xmm d = { .u64 = { 0, 0 } };

	memcpy(d.u8 + n, cpu->xmm[op->dst].u8, 16 - n);
	cpu->xmm[op->dst] = d;
	return true;
}

OP(psrldq)
{
	unsigned int n = MIN((unsigned int)op->imm & 0xff, 16u);
	union xmm d = { .u64 = { 0, 0 } };

	memcpy(d.u8, cpu->xmm[op->dst].u8 + n, 16 - n);
	cpu->xmm[op->dst] = d;
	return true;
}

/* MOVNTI; and MASKMOVDQU, which stores the bytes whose mask has its top bit, at
 * rDI.  Those of a page are stored at once, or nothing is known of the rest. */

OP(movnti)
{
	return mem_write(cpu, op->seg, op_ea(cpu, op), op->size,
			 get_reg(cpu, op->src, op->size));
}

OP(maskmovdqu)
{
	const union xmm *data = &cpu->xmm[op->dst], *mask = &cpu->xmm[op->src];
	uint64_t offset = cpu->r[GPR_RDI] & width_mask(op->address_bytes), ea;

	if (!address_linear(cpu, op->seg, offset, 16, ACCESS_WRITE, &ea) ||
	    !mem_probe(cpu, op->seg, ea, 16, ACCESS_WRITE))
		return false;
	for (unsigned int i = 0; i < 16; i++)
		if ((mask->u8[i] & 0x80) &&
		    !mem_write(cpu, op->seg, (ea + i) & cpu->ea_mask, 1, data->u8[i]))
			return false;
	return true;
}

/* MOVDDUP: the low half twice. */
OP(movddup)
{
	uint64_t v = cpu->xmm[op->src].u64[0];

	if ((op->flags & OP_MEM_SRC) && !mem_read(cpu, op->seg, op_ea(cpu, op), 8, &v))
		return false;
	cpu->xmm[op->dst].u64[0] = cpu->xmm[op->dst].u64[1] = v;
	return true;
}

/* PALIGNR: sixteen bytes out of the two operands, from byte imm on. */
OP(palignr)
{
	unsigned int at = MIN((unsigned int)op->imm & 0xff, 32u);
	uint8_t both[48] = { 0 };
	union xmm s;

	if (!shuffle_source(cpu, op, &s))
		return false;
	memcpy(both, s.u8, 16);
	memcpy(both + 16, cpu->xmm[op->dst].u8, 16);
	memcpy(cpu->xmm[op->dst].u8, both + at, 16);
	return true;
}

op_fn pick_palignr(const struct insn *insn, struct op *op UNUSED)
{
	return is_class(insn, 0, ZYDIS_REGCLASS_XMM) ? op_palignr : op_mmx_palignr;
}

/* AESKEYGENASSIST: the constant is of two of the words, and is no part of the work. */
OP(aeskeygenassist)
{
	union xmm s;
	__m128i v;

	if (!shuffle_source(cpu, op, &s))
		return false;
	v = _mm_load_si128((const __m128i *)&s);
	__asm__("aeskeygenassist $0, %0, %0" : "+x"(v));
	_mm_store_si128((__m128i *)&s, v);
	s.u32[1] ^= (uint8_t)op->imm;
	s.u32[3] ^= (uint8_t)op->imm;
	cpu->xmm[op->dst] = s;
	return true;
}

/* PCLMULQDQ: of a half each. */
OP(pclmulqdq)
{
	union xmm s;
	__m128i a, b;

	if (!shuffle_source(cpu, op, &s))
		return false;
	a = _mm_cvtsi64_si128((long long)cpu->xmm[op->dst].u64[op->imm & 1]);
	b = _mm_cvtsi64_si128((long long)s.u64[op->imm >> 4 & 1]);
	__asm__("pclmulqdq $0, %1, %0" : "+x"(a) : "x"(b));
	xmm_set(cpu, op->dst, a);
	return true;
}
