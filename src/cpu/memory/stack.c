/* SPDX-License-Identifier: MIT */
#include "cpu/memory/stack.h"

#include "cpu/memory/access.h"
#include "cpu/memory/address.h"

void stack_commit(struct cpu *cpu, uint64_t sp)
{
	set_reg(cpu, GPR_AT(GPR_RSP), mode_stack_bytes(cpu), sp);
}

bool stack_push(struct cpu *cpu, uint64_t *sp, uint64_t value, unsigned int bytes)
{
	uint64_t to = (*sp - bytes) & width_mask(mode_stack_bytes(cpu)), linear;

	if (!address_linear(cpu, SEG_SS, to, bytes, ACCESS_WRITE, &linear) ||
	    !mem_write(cpu, SEG_SS, linear, bytes, value))
		return false;
	*sp = to;
	return true;
}

bool stack_peek(struct cpu *cpu, uint64_t sp, uint64_t *value, unsigned int bytes)
{
	uint64_t linear;

	return address_linear(cpu, SEG_SS, sp, bytes, ACCESS_READ, &linear) &&
	       mem_read(cpu, SEG_SS, linear, bytes, value);
}

bool stack_probe(struct cpu *cpu, uint64_t sp, unsigned int bytes)
{
	uint64_t linear;

	return address_linear(cpu, SEG_SS, sp, bytes, ACCESS_WRITE, &linear) &&
	       mem_probe(cpu, SEG_SS, linear, bytes, ACCESS_WRITE);
}

bool stack_pop(struct cpu *cpu, uint64_t *sp, uint64_t *value, unsigned int bytes)
{
	if (!stack_peek(cpu, *sp, value, bytes))
		return false;
	*sp = (*sp + bytes) & width_mask(mode_stack_bytes(cpu));
	return true;
}
