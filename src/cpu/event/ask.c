/* SPDX-License-Identifier: MIT */
#include "cpu/event/ask.h"

#include "cpu/event/raise.h"
#include "cpu/state/debug.h"
#include "cpu/state/mode.h"

uint64_t ask_linear_rip(const struct cpu *cpu, const struct op *op)
{
	return (cpu->cs_base + op_rip(cpu, op)) & cpu->ea_mask;
}

bool ask_caller(struct cpu *cpu, const struct op *op, struct cpu_asked asked, enum cpu_exit exit)
{
	asked.pending = true;
	asked.length = op->length;
	asked.linear_rip = ask_linear_rip(cpu, op);
	cpu->asked = asked;
	return raise_exit(cpu, exit);
}

void ask_trap(struct cpu *cpu, uint8_t hits)
{
	cpu->interrupt_shadow = 0;
	cpu->debug.seen = hits;
	debug_trap(cpu, cpu->rflags & X86_EFLAGS_TF);
}

void ask_finish(struct cpu *cpu, uint8_t length, uint8_t hits)
{
	cpu->rip = (cpu->rip + length) & cpu->ea_mask;
	cpu->rflags &= ~X86_EFLAGS_RF;
	vcpu_count(&cpu->mmu, instructions);
	ask_trap(cpu, hits);
}

/* The answer is for the instruction that asked. */
static bool take_answer(struct cpu *cpu)
{
	struct cpu_asked *a = &cpu->asked;

	if (!a->pending)
		return false;
	a->pending = false;
	return a->linear_rip == cpu_linear_rip(cpu);
}

void cpu_complete_msr(struct cpu *cpu, bool error, uint64_t value)
{
	if (!take_answer(cpu))
		return;
	if (error) {
		/* What the client has injected meanwhile comes first, and then the access again. */
		if (!cpu->event.pending)
			cpu->event = (struct cpu_event){ .pending = true, .vector = EXC_GP,
							 .has_error = true };
		return;
	}
	if (!cpu->asked.write) {
		cpu->r[GPR_RAX] = (uint32_t)value;
		cpu->r[GPR_RDX] = value >> 32;
	}
	ask_finish(cpu, cpu->asked.length, 0);
}

void cpu_complete_hypercall(struct cpu *cpu, uint64_t result)
{
	if (!take_answer(cpu))
		return;
	set_reg(cpu, GPR_AT(GPR_RAX), mode_is_64bit(cpu) ? 8 : 4, result);
	ask_finish(cpu, cpu->asked.length, 0);
}
