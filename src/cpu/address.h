/* SPDX-License-Identifier: MIT */
/*
 * cpu/address.h - segmentation: from an offset to a linear address, and the stack.
 */
#ifndef CPU_ADDRESS_H
#define CPU_ADDRESS_H

#include "cpu/mode.h"
#include "cpu/op.h"

/* May @bytes at @offset be accessed through @seg?  The linear address, or false
 * with #GP(0) or #SS(0). */
bool address_linear(struct cpu *cpu, enum cpu_seg seg, uint64_t offset, unsigned int bytes,
		    bool write, uint64_t *linear);

/* The offset of the memory operand, with the op's address width. */
static inline uint64_t address_offset(const struct cpu *cpu, const struct op *op, int64_t disp)
{
	return (cpu->r[op->base] + (cpu->r[op->index] << op->scale) + (uint64_t)disp) &
	       width_mask(op->address_bytes);
}

/*
 * The stack, by its own width and limit.  @sp is a copy of the stack pointer,
 * which an instruction commits when nothing can go wrong any more.
 */
static inline uint64_t stack_pointer(const struct cpu *cpu)
{
	return cpu->r[GPR_RSP] & width_mask(mode_stack_bytes(cpu));
}

void stack_commit(struct cpu *cpu, uint64_t sp);
bool stack_push(struct cpu *cpu, uint64_t *sp, uint64_t value, unsigned int bytes);
bool stack_pop(struct cpu *cpu, uint64_t *sp, uint64_t *value, unsigned int bytes);
/* Faults if @bytes at @sp could not be stored. */
bool stack_probe(struct cpu *cpu, uint64_t sp, unsigned int bytes);
/* @bytes at @sp, which stays. */
bool stack_peek(struct cpu *cpu, uint64_t sp, uint64_t *value, unsigned int bytes);

#endif
