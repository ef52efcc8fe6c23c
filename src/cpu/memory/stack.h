/* SPDX-License-Identifier: MIT */
/*
 * cpu/memory/stack.h - the stack, by its own width and limit.
 *
 * @sp is a copy of the stack pointer, which an instruction commits when nothing can go
 * wrong any more.
 */
#ifndef CPU_STACK_H
#define CPU_STACK_H

#include "cpu/decode/op.h"
#include "cpu/state/mode.h"

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
