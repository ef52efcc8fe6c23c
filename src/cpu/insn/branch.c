/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/branch.c - near jumps, calls and returns, and the loop instructions.
 *
 * The quick forms are for operands as wide as (E)IP on a flat stack; the rest
 * have op->size bytes of it, and a limit.
 */
#include "cpu/event/raise.h"
#include "cpu/insn/insn.h"
#include "cpu/insn/operand.h"
#include "cpu/memory/access.h"
#include "cpu/memory/stack.h"
#include "cpu/state/flags.h"

/* May execution go on at @target?  Limits of flat code are not reached. */
static bool check_target(struct cpu *cpu, uint64_t target)
{
	if (mode_is_64bit(cpu) ? !is_canonical(cpu, target) :
				 target > cpu->segs[SEG_CS].limit)
		return raise_gp(cpu, 0);
	return true;
}

static uint64_t relative_target(const struct cpu *cpu, const struct op *op)
{
	return (cpu->r[GPR_BLOCK] + (uint64_t)op->imm) & cpu->ea_mask & width_mask(op->size);
}

static void jmp_flat(struct cpu *cpu, const struct op *op)
{
	op_end_at(cpu, op, (cpu->r[GPR_BLOCK] + (uint64_t)op->imm) & cpu->ea_mask);
}

OP_END(jmp_relative)
{
	uint64_t target = relative_target(cpu, op);

	if (!check_target(cpu, target))
		return false;
	cpu->rip = target;
	return true;
}

OP_END(jmp_indirect)
{
	uint64_t target;

	if (!operand_dst(cpu, op, &target) || !check_target(cpu, target))
		return false;
	cpu->rip = target;
	return true;
}

static bool call_to(struct cpu *cpu, const struct op *op, uint64_t target)
{
	uint64_t sp = stack_pointer(cpu);

	if (!check_target(cpu, target) || !stack_push(cpu, &sp, op_next_rip(cpu, op), op->size))
		return false;
	stack_commit(cpu, sp);
	cpu->rip = target;
	return true;
}

OP_END(call_relative)
{
	return call_to(cpu, op, relative_target(cpu, op));
}

OP_END(call_indirect)
{
	uint64_t target;

	return operand_dst(cpu, op, &target) && call_to(cpu, op, target);
}

/* RET n: imm is n. */
OP_END(ret)
{
	uint64_t sp = stack_pointer(cpu), target;

	if (!stack_pop(cpu, &sp, &target, op->size) || !check_target(cpu, target))
		return false;
	stack_commit(cpu, sp + (uint64_t)op->imm);
	cpu->rip = target;
	return true;
}

#define DEFINE_FLAT_CALLS(bits)                                                         \
	static void call##bits##_flat(struct cpu *cpu, const struct op *op)             \
	{                                                                               \
		uint64_t to = (cpu->r[GPR_RSP] - bits / 8) & cpu->ea_mask;              \
											\
		if (unlikely(!store_hit##bits(cpu, to,                                  \
					      (uint##bits##_t)op_next_rip(cpu, op))))   \
			TAIL_CALL(op_call_relative(cpu, op));                           \
		cpu->r[GPR_RSP] = to;                                                   \
		jmp_flat(cpu, op);                                                      \
	}                                                                               \
	static void ret##bits##_flat(struct cpu *cpu, const struct op *op)              \
	{                                                                               \
		uint64_t from = cpu->r[GPR_RSP] & cpu->ea_mask;                         \
		uint##bits##_t target;                                                  \
											\
		if (unlikely(!load_hit##bits(cpu, from, &target)) ||                    \
		    unlikely(bits == 64 && !is_canonical(cpu, target)))                 \
			TAIL_CALL(op_ret(cpu, op));                                     \
		cpu->r[GPR_RSP] = (from + bits / 8) & cpu->ea_mask;                     \
		op_end_at(cpu, op, target);                                             \
	}

DEFINE_FLAT_CALLS(32)
DEFINE_FLAT_CALLS(64)

/* 32 or 64 if code and stack are flat and the operand is as wide as (E)IP. */
static unsigned int flat_bits(const struct insn *insn, const struct op *op)
{
	uint32_t widths = insn->mode & (MODE_CODE_MASK | MODE_STACK_MASK);

	if (!(insn->mode & MODE_FLAT))
		return 0;
	if (widths == (MODE_CODE_64 | MODE_STACK_64) && op->size == 8)
		return 64;
	return widths == (MODE_CODE_32 | MODE_STACK_32) && op->size == 4 ? 32 : 0;
}

static bool is_relative(const struct insn *insn)
{
	return insn->operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
}

op_fn pick_jmp(const struct insn *insn, struct op *op)
{
	if (insn->info.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR) {
		op->size = (uint8_t)(insn->info.operand_width / 8);
		return decode_is_mem(insn, 0) ? op_jmp_far_indirect : op_jmp_far;
	}
	if (!is_relative(insn))
		return op_jmp_indirect;
	op->size = (uint8_t)(insn->info.operand_width / 8);
	return flat_bits(insn, op) ? jmp_flat : op_jmp_relative;
}

op_fn pick_call(const struct insn *insn, struct op *op)
{
	if (insn->info.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR) {
		op->size = (uint8_t)(insn->info.operand_width / 8);
		return decode_is_mem(insn, 0) ? op_call_far_indirect : op_call_far;
	}
	if (!is_relative(insn))
		return op_call_indirect;
	op->size = (uint8_t)(insn->info.operand_width / 8);
	switch (flat_bits(insn, op)) {
	case 32:
		return call32_flat;
	case 64:
		return call64_flat;
	default:
		return op_call_relative;
	}
}

op_fn pick_ret(const struct insn *insn, struct op *op)
{
	op->size = (uint8_t)(insn->info.operand_width / 8);
	if (!is_relative(insn))
		op->imm = 0;
	op->imm &= 0xffff;
	if (insn->info.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return op_ret_far;
	if (op->imm)
		return op_ret;
	switch (flat_bits(insn, op)) {
	case 32:
		return ret32_flat;
	case 64:
		return ret64_flat;
	default:
		return op_ret;
	}
}

/* LOOP, LOOPE, LOOPNE, JCXZ: the counter is as wide as an address; src is one of
 * PICK_loop_*. */
OP_END(loop)
{
	uint64_t target = relative_target(cpu, op);
	uint64_t count = cpu->r[GPR_RCX] & width_mask(op->address_bytes);
	bool taken;

	if (op->src == PICK_loop_if_zero) {
		taken = count == 0;
	} else {
		count = (count - 1) & width_mask(op->address_bytes);
		taken = count != 0;
		if (op->src == PICK_loop_equal)
			taken = taken && cc_test(cpu, COND_E << 1);
		else if (op->src == PICK_loop_not_equal)
			taken = taken && !cc_test(cpu, COND_E << 1);
	}
	if (taken && !check_target(cpu, target))
		return false;
	if (op->src != PICK_loop_if_zero)
		set_reg(cpu, GPR_AT(GPR_RCX), op->address_bytes, count);
	if (taken)
		cpu->rip = target;
	return true;
}

op_fn pick_loop(const struct insn *insn, struct op *op, unsigned int which)
{
	op->src = (uint8_t)which;
	op->size = (uint8_t)(insn->info.operand_width / 8);
	return op_loop;
}
