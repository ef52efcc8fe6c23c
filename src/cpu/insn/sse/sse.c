/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/sse/sse.c - the instructions of cpu/insn/sse/sse.def: operands are loaded, the host's
 * instruction of the same name is executed, the result is stored.
 */
#include "cpu/event/raise.h"
#include "cpu/insn/alu.h"
#include "cpu/insn/insn.h"
#include "cpu/insn/operand.h"
#include "cpu/insn/sse/fp.h"
#include "cpu/insn/sse/mmx.h"
#include "cpu/memory/access.h"
#include "cpu/state/mode.h"

static bool is_xmm(const struct insn *insn, unsigned int operand)
{
	return decode_is_reg(insn, operand) &&
	       ZydisRegisterGetClass(insn->operands[operand].reg.value) == ZYDIS_REGCLASS_XMM;
}

/* The first operand of all these; MMX has instructions of the same names. */
static bool has_xmm(const struct insn *insn)
{
	return is_xmm(insn, 0) && !(insn->operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
				    ZydisRegisterGetClass(insn->operands[1].reg.value) ==
					    ZYDIS_REGCLASS_MMX);
}

#define DEFINE_VECTOR(name)                                               \
	static ALWAYS_INLINE __m128i host_##name(__m128i a, __m128i b)    \
	{                                                                 \
		__asm__ __volatile__(#name " %1, %0" : "+x"(a) : "x"(b)); \
		return a;                                                 \
	}

/* Integer and logic. */

#define DEFINE_INT(name)                                                                \
	DEFINE_VECTOR(name)                                                             \
	static void name##_rr(struct cpu *cpu, const struct op *op)                     \
	{                                                                               \
		xmm_set(cpu, op->dst, host_##name(xmm_get(cpu, op->dst), xmm_get(cpu, op->src))); \
		NEXT_OP(cpu, op);                                                       \
	}                                                                               \
	static COLD void name##_rm_slow(struct cpu *cpu, const struct op *op)           \
	{                                                                               \
		__m128i b;                                                              \
											\
		if (!xmm_load(cpu, op, 16, &b))                                         \
			TAIL_CALL(op_abandon(cpu, op));                                 \
		xmm_set(cpu, op->dst, host_##name(xmm_get(cpu, op->dst), b));           \
		NEXT_OP_UNLESS_STOPPED(cpu, op);                                        \
	}                                                                               \
	static void name##_rm(struct cpu *cpu, const struct op *op)                     \
	{                                                                               \
		uint64_t ea = op_ea(cpu, op);                                           \
		__m128i b;                                                              \
											\
		if (unlikely(ea & 15) || unlikely(!load_hit128(cpu, ea, &b)))           \
			TAIL_CALL(name##_rm_slow(cpu, op));                             \
		xmm_set(cpu, op->dst, host_##name(xmm_get(cpu, op->dst), b));           \
		NEXT_OP(cpu, op);                                                       \
	}

#define SSE_INT(mnemonic, name) DEFINE_INT(name)
#include "cpu/insn/sse/sse.def"

/* The same on MMX registers: imm is which. */
OP(mmx_int)
{
	static const mmx_host_fn hosts[] = {
#define SSE_INT(mnemonic, name) [PICK_sse_int_##name] = host_##name,
#include "cpu/insn/sse/sse.def"
	};

	switch (op->imm) {
	case PICK_sse_int_punpckhbw:
	case PICK_sse_int_punpckhwd:
	case PICK_sse_int_punpckhdq:
		return mmx_execute(cpu, op, hosts[op->imm], MMX_HIGH);
	case PICK_sse_int_packsswb:
	case PICK_sse_int_packssdw:
	case PICK_sse_int_packuswb:
	case PICK_sse_int_phaddw:
	case PICK_sse_int_phaddd:
	case PICK_sse_int_phaddsw:
	case PICK_sse_int_phsubw:
	case PICK_sse_int_phsubd:
	case PICK_sse_int_phsubsw:
		return mmx_execute(cpu, op, hosts[op->imm], MMX_BOTH);
	case PICK_sse_int_pshufb:
		return mmx_execute(cpu, op, hosts[op->imm], MMX_SHUFFLE);
	default:
		return mmx_execute(cpu, op, hosts[op->imm], MMX_LOW);
	}
}

op_fn pick_sse_int(const struct insn *insn, struct op *op, unsigned int which)
{
	static const op_fn fns[][2] = {
#define SSE_INT(mnemonic, name) [PICK_sse_int_##name] = { name##_rr, name##_rm },
#include "cpu/insn/sse/sse.def"
	};

	if (has_xmm(insn))
		return fns[which][!!(op->flags & OP_MEM_SRC)];
	op->imm = which;
	op->size = (uint8_t)(insn->operands[1].size / 8);
	return op_mmx_int;
}

/* Shifts; the count of an immediate is made a vector. */

#define DEFINE_SHIFT(name)                                                               \
	DEFINE_INT(name)                                                                 \
	static void name##_ri(struct cpu *cpu, const struct op *op)                      \
	{                                                                                \
		xmm_set(cpu, op->dst, host_##name(xmm_get(cpu, op->dst),                 \
						  _mm_set_epi64x(0, op->imm & 0xff)));   \
		NEXT_OP(cpu, op);                                                        \
	}

#define SSE_SHIFT(mnemonic, name) DEFINE_SHIFT(name)
#include "cpu/insn/sse/sse.def"

/* imm is the count, if there is one, and above it which. */
OP(mmx_shift)
{
	static const mmx_host_fn hosts[] = {
#define SSE_SHIFT(mnemonic, name) [PICK_sse_shift_##name] = host_##name,
#include "cpu/insn/sse/sse.def"
	};

	return mmx_execute(cpu, op, hosts[op->imm >> 8], MMX_LOW);
}

op_fn pick_sse_shift(const struct insn *insn, struct op *op, unsigned int which)
{
	static const op_fn fns[][3] = {
#define SSE_SHIFT(mnemonic, name) [PICK_sse_shift_##name] = { name##_rr, name##_rm, name##_ri },
#include "cpu/insn/sse/sse.def"
	};

	if (!has_xmm(insn)) {
		op->imm = (op->imm & 0xff) | which << 8;
		op->size = 8;
		return op_mmx_shift;
	}
	if (op->flags & OP_IMM_SRC)
		return fns[which][2];
	return fns[which][!!(op->flags & OP_MEM_SRC)];
}

/*
 * Floating point.  The slow half also serves when MXCSR is not live, or cannot
 * be.
 */

static bool fp_source(struct cpu *cpu, const struct op *op, unsigned int bytes, __m128i *b)
{
	if (op->flags & OP_MEM_SRC)
		return xmm_load(cpu, op, bytes, b);
	*b = xmm_get(cpu, op->src);
	return true;
}

/* The whole instruction, whatever its operand and MXCSR. */
static ALWAYS_INLINE bool fp_execute(struct cpu *cpu, const struct op *op, unsigned int bytes,
				     __m128i (*host)(__m128i a, __m128i b))
{
	__m128i b, r;
	bool careful;

	if (!fp_source(cpu, op, bytes, &b))
		return false;
	careful = fp_begin(cpu);
	r = host(xmm_get(cpu, op->dst), b);
	if (careful && !fp_end_careful(cpu))
		return false;
	xmm_set(cpu, op->dst, r);
	return true;
}

#define DEFINE_FP(name, bytes)                                                          \
	DEFINE_VECTOR(name)                                                             \
	static NOINLINE bool exec_##name(struct cpu *cpu, const struct op *op)          \
	{                                                                               \
		return fp_execute(cpu, op, bytes, host_##name);                         \
	}                                                                               \
	static void name##_slow(struct cpu *cpu, const struct op *op)                   \
	{                                                                               \
		if (unlikely(!exec_##name(cpu, op)))                                    \
			TAIL_CALL(op_abandon(cpu, op));                                 \
		NEXT_OP_UNLESS_STOPPED(cpu, op);                                        \
	}                                                                               \
	static void name##_rr(struct cpu *cpu, const struct op *op)                     \
	{                                                                               \
		if (unlikely(!cpu->fp_live))                                            \
			TAIL_CALL(name##_slow(cpu, op));                                \
		xmm_set(cpu, op->dst, host_##name(xmm_get(cpu, op->dst), xmm_get(cpu, op->src))); \
		NEXT_OP(cpu, op);                                                       \
	}

#define SSE_FP(mnemonic, name, bytes) DEFINE_FP(name, bytes)
#include "cpu/insn/sse/sse.def"

op_fn pick_sse_fp(const struct insn *insn, struct op *op, unsigned int which)
{
	static const op_fn fns[][2] = {
#define SSE_FP(mnemonic, name, bytes) [PICK_sse_fp_##name] = { name##_rr, name##_slow },
#include "cpu/insn/sse/sse.def"
	};

	return has_xmm(insn) ? fns[which][!!(op->flags & OP_MEM_SRC)] : NULL;
}

/* Comparisons: the predicate is part of the instruction, so there are eight. */

#define COMPARE_CASE(name, predicate)                                                   \
	case predicate:                                                                 \
		__asm__ __volatile__(#name " $" #predicate ", %1, %0" : "+x"(a) : "x"(b)); \
		break;

#define DEFINE_COMPARE(name, bytes)                                                     \
	static __m128i host_##name(__m128i a, __m128i b, unsigned int predicate)        \
	{                                                                               \
		switch (predicate & 7) {                                                \
			COMPARE_CASE(name, 0)                                           \
			COMPARE_CASE(name, 1)                                           \
			COMPARE_CASE(name, 2)                                           \
			COMPARE_CASE(name, 3)                                           \
			COMPARE_CASE(name, 4)                                           \
			COMPARE_CASE(name, 5)                                           \
			COMPARE_CASE(name, 6)                                           \
			COMPARE_CASE(name, 7)                                           \
		}                                                                       \
		return a;                                                               \
	}                                                                               \
	OP(name)                                                                        \
	{                                                                               \
		__m128i b, r;                                                           \
		bool careful;                                                           \
											\
		if (!fp_source(cpu, op, bytes, &b))                                     \
			return false;                                                   \
		careful = fp_begin(cpu);                                                \
		r = host_##name(xmm_get(cpu, op->dst), b, (unsigned int)op->imm);       \
		if (careful && !fp_end_careful(cpu))                                    \
			return false;                                                   \
		xmm_set(cpu, op->dst, r);                                               \
		return true;                                                            \
	}

#define SSE_COMPARE(mnemonic, name, bytes) DEFINE_COMPARE(name, bytes)
#include "cpu/insn/sse/sse.def"
DEFINE_COMPARE(cmpsd, 8)

/* CMPSD and MOVSD are also names of string instructions. */
op_fn pick_cmpsd(const struct insn *insn, struct op *op)
{
	if (is_xmm(insn, 0))
		return insn->mode & MODE_SSE_UD ? op_undefined :
		       insn->mode & MODE_SSE_NM ? op_device_not_available : op_cmpsd;
	return pick_string(insn, op, PICK_string_cmps);
}

/* EFLAGS from a comparison. */

#define DEFINE_FLAGS(name, bytes)                                                       \
	OP(name)                                                                        \
	{                                                                               \
		__m128i a = xmm_get(cpu, op->dst), b;                                   \
		uint32_t host;                                                          \
		bool careful;                                                           \
											\
		if (!fp_source(cpu, op, bytes, &b))                                     \
			return false;                                                   \
		careful = fp_begin(cpu);                                                \
		__asm__ __volatile__(#name " %[b], %[a]" HOST_FLAGS_OUT                 \
				     : "=&a"(host)                                      \
				     : [a] "x"(a), [b] "x"(b)                           \
				     : "cc");                                           \
		if (careful && !fp_end_careful(cpu))                                    \
			return false;                                                   \
		cc_set_host(cpu, host);                                                 \
		return true;                                                            \
	}

#define SSE_FLAGS(mnemonic, name, bytes) DEFINE_FLAGS(name, bytes)
#include "cpu/insn/sse/sse.def"

/* To and from general registers; memory operands have the size of the register. */

#define DEFINE_FROM_GPR(name)                                                           \
	OP(name)                                                                        \
	{                                                                               \
		__m128i a = xmm_get(cpu, op->dst);                                      \
		unsigned int bytes = (unsigned int)op->imm;                             \
		uint64_t v;                                                             \
		bool careful;                                                           \
											\
		if (!operand_src_sized(cpu, op, bytes, &v))                             \
			return false;                                                   \
		careful = fp_begin(cpu);                                                \
		if (bytes == 8)                                                         \
			__asm__ __volatile__(#name "q %1, %0" : "+x"(a) : "r"(v));      \
		else                                                                    \
			__asm__ __volatile__(#name "l %k1, %0" : "+x"(a) : "r"(v));     \
		if (careful && !fp_end_careful(cpu))                                    \
			return false;                                                   \
		xmm_set(cpu, op->dst, a);                                               \
		return true;                                                            \
	}

#define SSE_FROM_GPR(mnemonic, name) DEFINE_FROM_GPR(name)
#include "cpu/insn/sse/sse.def"

op_fn pick_sse_from_gpr(const struct insn *insn, struct op *op, unsigned int which)
{
	static const op_fn fns[] = {
#define SSE_FROM_GPR(mnemonic, name) [PICK_sse_from_gpr_##name] = op_##name,
#include "cpu/insn/sse/sse.def"
	};

	op->imm = insn->operands[1].size / 8;
	return fns[which];
}

#define DEFINE_TO_GPR(name, bytes)                                                      \
	OP(name)                                                                        \
	{                                                                               \
		__m128i b;                                                              \
		uint64_t v;                                                             \
		bool careful;                                                           \
											\
		if (!fp_source(cpu, op, bytes, &b))                                     \
			return false;                                                   \
		careful = fp_begin(cpu);                                                \
		if (op->size == 8)                                                      \
			__asm__ __volatile__(#name " %1, %0" : "=r"(v) : "x"(b));       \
		else                                                                    \
			__asm__ __volatile__(#name " %1, %k0" : "=r"(v) : "x"(b));      \
		if (careful && !fp_end_careful(cpu))                                    \
			return false;                                                   \
		set_reg(cpu, op->dst, op->size, v);                                     \
		return true;                                                            \
	}

#define SSE_TO_GPR(mnemonic, name, bytes) DEFINE_TO_GPR(name, bytes)
#include "cpu/insn/sse/sse.def"
