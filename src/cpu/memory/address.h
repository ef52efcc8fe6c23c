/* SPDX-License-Identifier: MIT */
/*
 * cpu/memory/address.h - segmentation: from an offset to a linear address.
 */
#ifndef CPU_ADDRESS_H
#define CPU_ADDRESS_H

#include "cpu/decode/op.h"
#include "cpu/state/mode.h"

/* May @bytes at @offset be accessed through @seg?  The linear address, or false
 * with #GP(0) or #SS(0). */
bool address_linear(struct cpu *cpu, enum cpu_seg seg, uint64_t offset, unsigned int bytes,
		    enum access access, uint64_t *linear);

/* The offset of the memory operand, with the op's address width. */
static inline uint64_t address_offset(const struct cpu *cpu, const struct op *op, int64_t disp)
{
	return (cpu->r[op->base] + (cpu->r[op->index] << op->scale) + (uint64_t)disp) &
	       width_mask(op->address_bytes);
}

#endif
