/* SPDX-License-Identifier: MIT */
/*
 * cpu/event/transfer.h - what far transfers and interrupts have in common.
 *
 * They change CS, SS, the privilege and the stack pointer, use the new ones, and
 * may still fail: then everything is put back.
 */
#ifndef CPU_TRANSFER_H
#define CPU_TRANSFER_H

#include "cpu/state/segment.h"

struct context {
	struct segment cs, ss;
	uint64_t rsp;
	unsigned int cpl;
	uint32_t vm;		/* EFLAGS.VM */
};

struct context context_save(const struct cpu *cpu);
void context_restore(struct cpu *cpu, const struct context *c);

/* Enters @cs at @level (its RPL becomes that). */
void transfer_set_cs(struct cpu *cpu, const struct segment *cs, unsigned int level);
void transfer_set_ss(struct cpu *cpu, const struct segment *ss);
/* May execution go on at @rip of @cs?  #GP(0) if not. */
bool transfer_check_rip(struct cpu *cpu, const struct segment *cs, uint64_t rip);
/* Takes the stack that the TSS has for the inner @level; *sp is its pointer. */
bool transfer_inner_stack(struct cpu *cpu, unsigned int level, uint64_t *sp);
/* After a return to an outer level: registers that it may not hold become null. */
void transfer_drop_segments(struct cpu *cpu);

/* Is the descriptor a code segment to which a return with @selector may go? */
bool transfer_read_return_cs(struct cpu *cpu, uint16_t selector, struct descriptor *d);
/* And a stack segment for it; null is allowed in 64-bit code below level 3. */
bool transfer_read_return_ss(struct cpu *cpu, uint16_t selector, const struct segment *cs,
			     unsigned int level, struct segment *ss);

/* POPF and IRET: replaces the flags of @mask by those of @value. */
void transfer_set_flags(struct cpu *cpu, uint64_t value, uint64_t mask);

#endif
