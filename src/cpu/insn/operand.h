/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/operand.h - operands of instructions that have one handler for all forms.
 *
 * The first operand is a register or memory, the second one of these or an
 * immediate; at most one is memory.  Sizes are op->size unless given.
 */
#ifndef CPU_INSN_OPERAND_H
#define CPU_INSN_OPERAND_H

#include "cpu/decode/op.h"
#include "cpu/memory/access.h"

static inline bool operand_src_sized(struct cpu *cpu, const struct op *op, unsigned int bytes,
				     uint64_t *value)
{
	if (op->flags & OP_IMM_SRC)
		*value = (uint64_t)op->imm & width_mask(bytes);
	else if (op->flags & OP_MEM_SRC)
		return mem_read(cpu, op->seg, op_ea(cpu, op), bytes, value);
	else
		*value = get_reg(cpu, op->src, bytes);
	return true;
}

static inline bool operand_src(struct cpu *cpu, const struct op *op, uint64_t *value)
{
	return operand_src_sized(cpu, op, op->size, value);
}

/* The first operand, which is only read. */
static inline bool operand_dst_sized(struct cpu *cpu, const struct op *op, unsigned int bytes,
				     uint64_t *value)
{
	if (op->flags & OP_MEM_DST)
		return mem_read(cpu, op->seg, op_ea(cpu, op), bytes, value);
	*value = get_reg(cpu, op->dst, bytes);
	return true;
}

static inline bool operand_dst(struct cpu *cpu, const struct op *op, uint64_t *value)
{
	return operand_dst_sized(cpu, op, op->size, value);
}

/* The first operand, which operand_write() will write. */
static inline bool operand_modify(struct cpu *cpu, const struct op *op, uint64_t *value)
{
	if (op->flags & OP_MEM_DST)
		return mem_read_to_modify(cpu, op->seg, op_ea(cpu, op), op->size, value);
	*value = get_reg(cpu, op->dst, op->size);
	return true;
}

static inline bool operand_write(struct cpu *cpu, const struct op *op, uint64_t value)
{
	if (op->flags & OP_MEM_DST)
		return mem_write(cpu, op->seg, op_ea(cpu, op), op->size, value);
	set_reg(cpu, op->dst, op->size, value);
	return true;
}

#endif
