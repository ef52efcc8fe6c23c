/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/alu.c - handlers of the two- and one-operand integer instructions, one for
 * each form and size.
 *
 * The lines of alu.def are all there is: every one becomes
 *
 *   rr  register, register		ri  register, immediate
 *   rm  register, memory		mr  memory, register
 *   mi  memory, immediate
 *
 * in four sizes.  Each form that meets memory has two halves: the quick one for a hit in the TLB,
 * and a slow one that does the whole instruction again by the general accessors, which handle
 * every case.  The fast half calls nothing, so it needs no stack frame.
 */
#include "cpu/event/raise.h"
#include "cpu/insn/alu.h"
#include "cpu/insn/insn.h"
#include "cpu/memory/access.h"

enum form { FORM_RR, FORM_RI, FORM_RM, FORM_MR, FORM_MI, N_FORMS };

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

#define BINARY(mnemonic, name, writes)       \
	DEFINE_BINARY_SIZE(name, writes, 8)  \
	DEFINE_BINARY_SIZE(name, writes, 16) \
	DEFINE_BINARY_SIZE(name, writes, 32) \
	DEFINE_BINARY_SIZE(name, writes, 64)
#include "cpu/insn/alu.def"

#define FORM_ROW(name, form) { name##8_##form, name##16_##form, name##32_##form, name##64_##form }

static const op_fn binary_fns[][N_FORMS][4] = {
#define BINARY(mnemonic, name, writes)            \
	[PICK_binary_##name] = {                  \
		[FORM_RR] = FORM_ROW(name, rr),   \
		[FORM_RI] = FORM_ROW(name, ri),   \
		[FORM_RM] = FORM_ROW(name, rm),   \
		[FORM_MR] = FORM_ROW(name, mr),   \
		[FORM_MI] = FORM_ROW(name, mi),   \
	},
#include "cpu/insn/alu.def"
};

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

#define UNARY(mnemonic, name)                                  \
	DEFINE_UNARY_SIZE(name, 8) DEFINE_UNARY_SIZE(name, 16) \
	DEFINE_UNARY_SIZE(name, 32) DEFINE_UNARY_SIZE(name, 64)
#include "cpu/insn/alu.def"

/* Of a register, of memory. */
static const op_fn unary_fns[][2][4] = {
#define UNARY(mnemonic, name) [PICK_unary_##name] = { FORM_ROW(name, r), FORM_ROW(name, m) },
#include "cpu/insn/alu.def"
};

/*
 * Locked forms: compare and exchange until nobody has come between.  The plain
 * form, for what cannot be locked (cpu/memory/access.h), is that of the tables above.
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
		struct host_at at = find_hit(cpu, op_ea(cpu, op), bits / 8, ACCESS_WRITE);    \
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

#define LOCKABLE_BINARY(X) X(add) X(or) X(adc) X(sbb) X(and) X(sub) X(xor)

#define DEFINE_ALL_BINARY_LOCKED(name) DEFINE_ALL_LOCKED(DEFINE_BINARY_LOCKED, name)
LOCKABLE_BINARY(DEFINE_ALL_BINARY_LOCKED)

#define UNARY(mnemonic, name) DEFINE_ALL_LOCKED(DEFINE_UNARY_LOCKED, name)
#include "cpu/insn/alu.def"

/* NULL: cannot be locked. */
static const op_fn binary_locked_fns[ARRAY_SIZE(binary_fns)][4] = {
#define BINARY_LOCKED_ROW(name) [PICK_binary_##name] = FORM_ROW(name, locked),
	LOCKABLE_BINARY(BINARY_LOCKED_ROW)
};
static const op_fn unary_locked_fns[][4] = {
#define UNARY(mnemonic, name) [PICK_unary_##name] = FORM_ROW(name, locked),
#include "cpu/insn/alu.def"
};

op_fn pick_binary(const struct insn *insn UNUSED, struct op *op, unsigned int which)
{
	unsigned int size = decode_size_index(op);
	enum form form;

	if (op->flags & OP_LOCK)
		return binary_locked_fns[which][size];
	if (op->flags & OP_MEM_SRC)
		form = FORM_RM;
	else if (op->flags & OP_MEM_DST)
		form = op->flags & OP_IMM_SRC ? FORM_MI : FORM_MR;
	else
		form = op->flags & OP_IMM_SRC ? FORM_RI : FORM_RR;
	return binary_fns[which][form][size];
}

op_fn pick_unary(const struct insn *insn UNUSED, struct op *op, unsigned int which)
{
	unsigned int size = decode_size_index(op);

	if (op->flags & OP_LOCK)
		return unary_locked_fns[which][size];
	return unary_fns[which][!!(op->flags & OP_MEM_DST)][size];
}
