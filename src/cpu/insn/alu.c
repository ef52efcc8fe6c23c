/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/alu.c - handlers of the two- and one-operand integer instructions, one for
 * each form and size.
 *
 * The tables BINARY_OPS and UNARY_OPS are all there is: every line becomes
 *
 *   rr  register, register		ri  register, immediate
 *   rm  register, memory		mr  memory, register
 *   mi  memory, immediate
 *
 * in four sizes.  Each form that meets memory has two halves: the quick one for a hit in the TLB,
 * and a slow one that does the whole instruction again by the general accessors, which handle
 * every case.  The fast half calls nothing, so it needs no stack frame.
 */
#include "cpu/access.h"
#include "cpu/insn/alu.h"
#include "cpu/decode.h"
#include "cpu/raise.h"

enum form { FORM_RR, FORM_RI, FORM_RM, FORM_MR, FORM_MI, N_FORMS };

/* name, and whether the first operand is written. */
#define BINARY_OPS(X) \
	X(add, 1)     \
	X(or, 1)      \
	X(adc, 1)     \
	X(sbb, 1)     \
	X(and, 1)     \
	X(sub, 1)     \
	X(xor, 1)     \
	X(cmp, 0)     \
	X(test, 0)    \
	X(shl, 1)     \
	X(shr, 1)     \
	X(sar, 1)     \
	X(rol, 1)     \
	X(ror, 1)     \
	X(rcl, 1)     \
	X(rcr, 1)

#define UNARY_OPS(X) X(inc) X(dec) X(neg) X(not)

/* The second operand of a form. */
#define SECOND_rr(bits) get_reg##bits(cpu, op->src)
#define SECOND_ri(bits) ((uint##bits##_t)op->imm)
#define SECOND_mr(bits) get_reg##bits(cpu, op->src)
#define SECOND_mi(bits) ((uint##bits##_t)op->imm)

#define DEFINE_REGISTER_FORM(name, writes, bits, form)                                        \
	static void name##bits##_##form(struct cpu *cpu, const struct op *op)                 \
	{                                                                                     \
		struct alu x = alu_##name##bits(cpu, get_reg##bits(cpu, op->dst),             \
						SECOND_##form(bits));                         \
											      \
		if (writes)                                                                   \
			set_reg##bits(cpu, op->dst, (uint##bits##_t)x.value);                 \
		alu_commit(cpu, x);                                                           \
		NEXT_OP(cpu, op);                                                             \
	}

#define DEFINE_LOADING_FORM(name, writes, bits)                                               \
	static COLD void name##bits##_rm_slow(struct cpu *cpu, const struct op *op)           \
	{                                                                                     \
		struct alu x;                                                                 \
		uint64_t b;                                                                   \
											      \
		if (!mem_read(cpu, op->seg, op_ea(cpu, op), bits / 8, &b))                    \
			TAIL_CALL(op_abandon(cpu, op));                                       \
		x = alu_##name##bits(cpu, get_reg##bits(cpu, op->dst), (uint##bits##_t)b);    \
		if (writes)                                                                   \
			set_reg##bits(cpu, op->dst, (uint##bits##_t)x.value);                 \
		alu_commit(cpu, x);                                                           \
		NEXT_OP_UNLESS_STOPPED(cpu, op);                                              \
	}                                                                                     \
	static void name##bits##_rm(struct cpu *cpu, const struct op *op)                     \
	{                                                                                     \
		uint##bits##_t b;                                                             \
		struct alu x;                                                                 \
											      \
		if (unlikely(!load_hit##bits(cpu, op_ea(cpu, op), &b)))                       \
			TAIL_CALL(name##bits##_rm_slow(cpu, op));                             \
		x = alu_##name##bits(cpu, get_reg##bits(cpu, op->dst), b);                    \
		if (writes)                                                                   \
			set_reg##bits(cpu, op->dst, (uint##bits##_t)x.value);                 \
		alu_commit(cpu, x);                                                           \
		NEXT_OP(cpu, op);                                                             \
	}

/* The flags are committed when nothing can go wrong any more. */
#define DEFINE_STORING_FORM(name, writes, bits, form)                                         \
	static COLD void name##bits##_##form##_slow(struct cpu *cpu, const struct op *op)     \
	{                                                                                     \
		uint64_t ea = op_ea(cpu, op), a;                                              \
		struct alu x;                                                                 \
											      \
		if (writes ? !mem_read_to_modify(cpu, op->seg, ea, bits / 8, &a) :            \
			     !mem_read(cpu, op->seg, ea, bits / 8, &a))                       \
			TAIL_CALL(op_abandon(cpu, op));                                       \
		x = alu_##name##bits(cpu, (uint##bits##_t)a, SECOND_##form(bits));            \
		if (writes && !mem_write(cpu, op->seg, ea, bits / 8, x.value))                \
			TAIL_CALL(op_abandon(cpu, op));                                       \
		alu_commit(cpu, x);                                                           \
		NEXT_OP_UNLESS_STOPPED(cpu, op);                                              \
	}                                                                                     \
	static void name##bits##_##form(struct cpu *cpu, const struct op *op)                 \
	{                                                                                     \
		uint64_t ea = op_ea(cpu, op);                                                 \
		struct host_at at = { 0 };                                                    \
		uint##bits##_t a;                                                             \
		struct alu x;                                                                 \
											      \
		if (unlikely(!(writes ? modify_hit##bits(cpu, ea, &at, &a) :                  \
					load_hit##bits(cpu, ea, &a))))                        \
			TAIL_CALL(name##bits##_##form##_slow(cpu, op));                       \
		x = alu_##name##bits(cpu, a, SECOND_##form(bits));                            \
		if (writes && unlikely(!at_store##bits(cpu, at, (uint##bits##_t)x.value)))    \
			TAIL_CALL(name##bits##_##form##_slow(cpu, op));                       \
		alu_commit(cpu, x);                                                           \
		NEXT_OP(cpu, op);                                                             \
	}

#define DEFINE_BINARY_SIZE(name, writes, bits)            \
	DEFINE_REGISTER_FORM(name, writes, bits, rr)      \
	DEFINE_REGISTER_FORM(name, writes, bits, ri)      \
	DEFINE_LOADING_FORM(name, writes, bits)           \
	DEFINE_STORING_FORM(name, writes, bits, mr)       \
	DEFINE_STORING_FORM(name, writes, bits, mi)

#define DEFINE_BINARY(name, writes)          \
	DEFINE_BINARY_SIZE(name, writes, 8)  \
	DEFINE_BINARY_SIZE(name, writes, 16) \
	DEFINE_BINARY_SIZE(name, writes, 32) \
	DEFINE_BINARY_SIZE(name, writes, 64)

BINARY_OPS(DEFINE_BINARY)

#define FORM_ROW(name, form) { name##8_##form, name##16_##form, name##32_##form, name##64_##form }
#define BINARY_ROW(name, writes)                                                 \
	{ FORM_ROW(name, rr), FORM_ROW(name, ri), FORM_ROW(name, rm),            \
	  FORM_ROW(name, mr), FORM_ROW(name, mi) },

static const op_fn binary_fns[][N_FORMS][4] = { BINARY_OPS(BINARY_ROW) };

#define DEFINE_UNARY_SIZE(name, bits)                                                         \
	static void name##bits##_r(struct cpu *cpu, const struct op *op)                      \
	{                                                                                     \
		struct alu x = alu_##name##bits(cpu, get_reg##bits(cpu, op->dst));            \
											      \
		set_reg##bits(cpu, op->dst, (uint##bits##_t)x.value);                         \
		alu_commit(cpu, x);                                                           \
		NEXT_OP(cpu, op);                                                             \
	}                                                                                     \
	static COLD void name##bits##_m_slow(struct cpu *cpu, const struct op *op)            \
	{                                                                                     \
		uint64_t ea = op_ea(cpu, op), a;                                              \
		struct alu x;                                                                 \
											      \
		if (!mem_read_to_modify(cpu, op->seg, ea, bits / 8, &a))                      \
			TAIL_CALL(op_abandon(cpu, op));                                       \
		x = alu_##name##bits(cpu, (uint##bits##_t)a);                                 \
		if (!mem_write(cpu, op->seg, ea, bits / 8, x.value))                          \
			TAIL_CALL(op_abandon(cpu, op));                                       \
		alu_commit(cpu, x);                                                           \
		NEXT_OP_UNLESS_STOPPED(cpu, op);                                              \
	}                                                                                     \
	static void name##bits##_m(struct cpu *cpu, const struct op *op)                      \
	{                                                                                     \
		struct host_at at;                                                            \
		uint##bits##_t a;                                                             \
		struct alu x;                                                                 \
											      \
		if (unlikely(!modify_hit##bits(cpu, op_ea(cpu, op), &at, &a)))                \
			TAIL_CALL(name##bits##_m_slow(cpu, op));                              \
		x = alu_##name##bits(cpu, a);                                                 \
		if (unlikely(!at_store##bits(cpu, at, (uint##bits##_t)x.value)))              \
			TAIL_CALL(name##bits##_m_slow(cpu, op));                              \
		alu_commit(cpu, x);                                                           \
		NEXT_OP(cpu, op);                                                             \
	}

#define DEFINE_UNARY(name) \
	DEFINE_UNARY_SIZE(name, 8) DEFINE_UNARY_SIZE(name, 16) \
	DEFINE_UNARY_SIZE(name, 32) DEFINE_UNARY_SIZE(name, 64)

UNARY_OPS(DEFINE_UNARY)

#define UNARY_ROW(name) { FORM_ROW(name, r), FORM_ROW(name, m) },
static const op_fn unary_fns[][2][4] = { UNARY_OPS(UNARY_ROW) };

/*
 * Locked forms: compare and exchange until nobody has come between.  The plain
 * form, for what cannot be locked (cpu/access.h), is that of the tables above.
 */
#define DEFINE_LOCKED(name, bits, plain, compute)                                             \
	static NOINLINE bool name##bits##_locked_at(struct cpu *cpu,                          \
						    const struct op *op UNUSED,               \
						    struct host_at at)                        \
	{                                                                                     \
		uint##bits##_t a, seen;                                                       \
		struct alu x;                                                                 \
											      \
		if (!at_load##bits(cpu, at, &a))                                              \
			return mem_lost(cpu, at, bits / 8);                                   \
		for (;; a = seen) {                                                           \
			x = compute;                                                          \
			seen = a;                                                             \
			if (!at_cmpxchg##bits(cpu, at, &seen, (uint##bits##_t)x.value))       \
				return mem_lost(cpu, at, bits / 8);                           \
			if (seen == a)                                                        \
				break;                                                        \
		}                                                                             \
		alu_commit(cpu, x);                                                           \
		return true;                                                                  \
	}                                                                                     \
	static void name##bits##_locked(struct cpu *cpu, const struct op *op)                 \
	{                                                                                     \
		struct host_at at = find_hit(cpu, op_ea(cpu, op), bits / 8, true);            \
											      \
		if (unlikely(!at.host))                                                       \
			TAIL_CALL(plain(cpu, op));                                            \
		if (unlikely(!name##bits##_locked_at(cpu, op, at)))                           \
			TAIL_CALL(op_abandon(cpu, op));                                       \
		NEXT_OP_UNLESS_STOPPED(cpu, op);                                              \
	}

/* After a miss: translate, then lock if that can be done. */
#define DEFINE_LOCKED_SLOW(name, bits, plain)                                                 \
	static bool name##bits##_locked_at(struct cpu *cpu, const struct op *op,              \
					   struct host_at at);                                \
	static COLD void name##bits##_locked_slow(struct cpu *cpu, const struct op *op)       \
	{                                                                                     \
		struct host_at at = { 0 };                                                    \
											      \
		switch (mem_lock(cpu, op->seg, op_ea(cpu, op), bits / 8, &at)) {              \
		case LOCK_FAILED:                                                             \
			TAIL_CALL(op_abandon(cpu, op));                                       \
		case LOCK_PLAIN:                                                              \
			TAIL_CALL(plain(cpu, op));                                            \
		case LOCK_DIRECT:                                                             \
			break;                                                                \
		}                                                                             \
		if (!name##bits##_locked_at(cpu, op, at))                                     \
			TAIL_CALL(op_abandon(cpu, op));                                       \
		NEXT_OP_UNLESS_STOPPED(cpu, op);                                              \
	}

#define LOCKED_SECOND(bits) \
	((op->flags & OP_IMM_SRC) ? (uint##bits##_t)op->imm : get_reg##bits(cpu, op->src))

#define DEFINE_BINARY_LOCKED(name, bits)                                                      \
	static COLD void name##bits##_locked_plain(struct cpu *cpu, const struct op *op)      \
	{                                                                                     \
		if (op->flags & OP_IMM_SRC)                                                   \
			TAIL_CALL(name##bits##_mi_slow(cpu, op));                             \
		TAIL_CALL(name##bits##_mr_slow(cpu, op));                                     \
	}                                                                                     \
	DEFINE_LOCKED_SLOW(name, bits, name##bits##_locked_plain)                             \
	DEFINE_LOCKED(name, bits, name##bits##_locked_slow,                                   \
		      alu_##name##bits(cpu, a, LOCKED_SECOND(bits)))

#define DEFINE_UNARY_LOCKED(name, bits)                          \
	DEFINE_LOCKED_SLOW(name, bits, name##bits##_m_slow)      \
	DEFINE_LOCKED(name, bits, name##bits##_locked_slow, alu_##name##bits(cpu, a))

#define DEFINE_ALL_LOCKED(define, name) \
	define(name, 8) define(name, 16) define(name, 32) define(name, 64)

DEFINE_ALL_LOCKED(DEFINE_BINARY_LOCKED, add)
DEFINE_ALL_LOCKED(DEFINE_BINARY_LOCKED, or)
DEFINE_ALL_LOCKED(DEFINE_BINARY_LOCKED, adc)
DEFINE_ALL_LOCKED(DEFINE_BINARY_LOCKED, sbb)
DEFINE_ALL_LOCKED(DEFINE_BINARY_LOCKED, and)
DEFINE_ALL_LOCKED(DEFINE_BINARY_LOCKED, sub)
DEFINE_ALL_LOCKED(DEFINE_BINARY_LOCKED, xor)
DEFINE_ALL_LOCKED(DEFINE_UNARY_LOCKED, inc)
DEFINE_ALL_LOCKED(DEFINE_UNARY_LOCKED, dec)
DEFINE_ALL_LOCKED(DEFINE_UNARY_LOCKED, neg)
DEFINE_ALL_LOCKED(DEFINE_UNARY_LOCKED, not)

/* In the order of BINARY_OPS, which begins with those that can be locked. */
static const op_fn binary_locked_fns[][4] = {
	FORM_ROW(add, locked), FORM_ROW(or, locked),  FORM_ROW(adc, locked), FORM_ROW(sbb, locked),
	FORM_ROW(and, locked), FORM_ROW(sub, locked), FORM_ROW(xor, locked),
};
static const op_fn unary_locked_fns[][4] = {
	FORM_ROW(inc, locked), FORM_ROW(dec, locked), FORM_ROW(neg, locked), FORM_ROW(not, locked),
};

op_fn pick_binary(const struct insn *insn UNUSED, struct op *op, unsigned int arg)
{
	unsigned int size = decode_size_index(op);
	enum form form;

	if (op->flags & OP_LOCK)
		return arg < ARRAY_SIZE(binary_locked_fns) ? binary_locked_fns[arg][size] : NULL;
	if (op->flags & OP_MEM_SRC)
		form = FORM_RM;
	else if (op->flags & OP_MEM_DST)
		form = op->flags & OP_IMM_SRC ? FORM_MI : FORM_MR;
	else
		form = op->flags & OP_IMM_SRC ? FORM_RI : FORM_RR;
	return binary_fns[arg][form][size];
}

op_fn pick_unary(const struct insn *insn UNUSED, struct op *op, unsigned int arg)
{
	unsigned int size = decode_size_index(op);

	if (op->flags & OP_LOCK)
		return unary_locked_fns[arg][size];
	return unary_fns[arg][!!(op->flags & OP_MEM_DST)][size];
}
