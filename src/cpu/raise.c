/* SPDX-License-Identifier: MIT */
#include "cpu/raise.h"

#include "cpu/event.h"
#include "cpu/mmio.h"
#include "cpu/op.h"

void note_exception(struct cpu *cpu, uint8_t vector)
{
	cpu->fault = (struct cpu_event){ .pending = true, .vector = vector };
}

void note_with_code(struct cpu *cpu, uint8_t vector, uint32_t error_code)
{
	cpu->fault = (struct cpu_event){ .pending = true, .vector = vector, .has_error = true,
					 .error_code = error_code };
}

void note_page_fault(struct cpu *cpu, gva_t gva, uint32_t error_code)
{
	cpu->cr2 = gva;
	vcpu_count(&cpu->mmu, pf_guest);
	note_with_code(cpu, EXC_PF, error_code);
}

void note_exit(struct cpu *cpu, enum cpu_exit exit)
{
	cpu->stop = true;
	cpu->leaving = true;
	cpu->exit = exit;
}

void note_unimplemented(struct cpu *cpu, const char *what)
{
	cpu->error.what = what;
	note_exit(cpu, CPU_EXIT_INTERNAL_ERROR);
}

void op_abandon(struct cpu *cpu, const struct op *op)
{
	cpu->rip = op_rip(cpu, op);
	cpu->budget -= op->ordinal;
	cpu->stop = true;
	cpu->abandoned = true;
	mmio_drop_writes(cpu);
	event_take_fault(cpu);
}

/* What interrupts it finds RF set: its breakpoint has been seen.  SDM 3B 17.3.1.1. */
void op_suspend(struct cpu *cpu, const struct op *op)
{
	cpu->rflags |= X86_EFLAGS_RF;
	cpu->rip = op_rip(cpu, op);
	cpu->budget -= op->ordinal;
	cpu->stop = true;
}

void op_stop(struct cpu *cpu, const struct op *op)
{
	op_end_at(cpu, op, op_next_rip(cpu, op));
}
