/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/condition.c - Jcc, SETcc and CMOVcc: a handler for each condition.
 *
 * Each tests by the quick half of cpu/state/flags.h, and hands over to a general
 * handler, which has the condition in imm or src, when that does not know.
 */
#include "cpu/insn/insn.h"
#include "cpu/insn/operand.h"
#include "cpu/state/flags.h"
#include "cpu/state/mode.h"

static ALWAYS_INLINE void jump_taken(struct cpu *cpu, const struct op *op)
{
	op_end_at(cpu, op, (cpu->r[GPR_BLOCK] + (uint64_t)op->imm) & cpu->ea_mask);
}

/* The condition is in src; operands of 16 bits cut (E)IP. */
static void jcc_general(struct cpu *cpu, const struct op *op)
{
	uint64_t target = cpu->r[GPR_BLOCK] + (uint64_t)op->imm;

	if (cc_test(cpu, op->src)) {
		op_end_at(cpu, op, target & (op->size == 2 ? 0xffff : cpu->ea_mask));
		return;
	}
	NEXT_OP(cpu, op);
}

static void setcc_general(struct cpu *cpu, const struct op *op)
{
	set_reg8(cpu, op->dst, cc_test(cpu, op->src));
	NEXT_OP(cpu, op);
}

/* To memory. */
OP(setcc)
{
	return operand_write(cpu, op, cc_test(cpu, op->src));
}

/* Any form; the condition is in imm.  Memory is read either way. */
OP(cmovcc)
{
	uint64_t v;

	if (!operand_src(cpu, op, &v))
		return false;
	if (!cc_test(cpu, (unsigned int)op->imm))
		v = get_reg(cpu, op->dst, op->size);
	set_reg(cpu, op->dst, op->size, v);
	return true;
}

#define CONDITION(mnemonic, cc, condition, negated)                             \
	static void jump_##cc(struct cpu *cpu, const struct op *op)             \
	{                                                                       \
		bool value;                                                     \
										\
		if (unlikely(!cc_test_quick(cpu, condition, &value)))           \
			TAIL_CALL(jcc_general(cpu, op));                        \
		if (value != negated) {                                         \
			jump_taken(cpu, op);                                    \
			return;                                                 \
		}                                                               \
		NEXT_OP(cpu, op);                                               \
	}                                                                       \
	static void set_##cc(struct cpu *cpu, const struct op *op)              \
	{                                                                       \
		bool value;                                                     \
										\
		if (unlikely(!cc_test_quick(cpu, condition, &value)))           \
			TAIL_CALL(setcc_general(cpu, op));                      \
		set_reg8(cpu, op->dst, value != negated);                       \
		NEXT_OP(cpu, op);                                               \
	}                                                                       \
	static void move_##cc##32_rr(struct cpu *cpu, const struct op *op)      \
	{                                                                       \
		uint32_t v = get_reg32(cpu, op->dst);                           \
		bool value;                                                     \
										\
		if (unlikely(!cc_test_quick(cpu, condition, &value)))           \
			TAIL_CALL(op_cmovcc(cpu, op));                          \
		if (value != negated)                                           \
			v = get_reg32(cpu, op->src);                            \
		set_reg32(cpu, op->dst, v);                                     \
		NEXT_OP(cpu, op);                                               \
	}                                                                       \
	static void move_##cc##64_rr(struct cpu *cpu, const struct op *op)      \
	{                                                                       \
		uint64_t v = get_reg64(cpu, op->dst);                           \
		bool value;                                                     \
										\
		if (unlikely(!cc_test_quick(cpu, condition, &value)))           \
			TAIL_CALL(op_cmovcc(cpu, op));                          \
		if (value != negated)                                           \
			v = get_reg64(cpu, op->src);                            \
		set_reg64(cpu, op->dst, v);                                     \
		NEXT_OP(cpu, op);                                               \
	}
#include "cpu/insn/condition.def"

static const struct {
	op_fn jump, set, move32_rr, move64_rr;
} condition_fns[] = {
#define CONDITION(mnemonic, cc, condition, negated) \
	[PICK_jcc_##cc] = { jump_##cc, set_##cc, move_##cc##32_rr, move_##cc##64_rr },
#include "cpu/insn/condition.def"
};

op_fn pick_jcc(const struct insn *insn, struct op *op, unsigned int condition)
{
	op->src = (uint8_t)condition;
	op->size = (uint8_t)(insn->info.operand_width / 8);
	return op->size == 2 ? jcc_general : condition_fns[condition].jump;
}

op_fn pick_setcc(const struct insn *insn UNUSED, struct op *op, unsigned int condition)
{
	op->src = (uint8_t)condition;
	return op->flags & OP_MEM_DST ? op_setcc : condition_fns[condition].set;
}

op_fn pick_cmovcc(const struct insn *insn UNUSED, struct op *op, unsigned int condition)
{
	op->imm = condition;
	if (op->size == 2 || (op->flags & OP_MEM_SRC))
		return op_cmovcc;
	return op->size == 4 ? condition_fns[condition].move32_rr :
			       condition_fns[condition].move64_rr;
}
