/* SPDX-License-Identifier: MIT */
#include "cpu/event/raise.h"

void raise_note_exception(struct cpu *cpu, uint8_t vector)
{
	cpu->fault = (struct cpu_event){ .pending = true, .vector = vector };
}

void raise_note_with_code(struct cpu *cpu, uint8_t vector, uint32_t error_code)
{
	cpu->fault = (struct cpu_event){ .pending = true, .vector = vector, .has_error = true,
					 .error_code = error_code };
}

void raise_note_page_fault(struct cpu *cpu, uint64_t gva, uint32_t error_code)
{
	cpu->cr2 = gva;
	vcpu_count(&cpu->mmu, pf_guest);
	raise_note_with_code(cpu, EXC_PF, error_code);
}

void raise_note_exit(struct cpu *cpu, enum cpu_exit exit)
{
	cpu->stop = true;
	cpu->leaving = true;
	cpu->exit = exit;
}

void raise_note_unimplemented(struct cpu *cpu, const char *what)
{
	cpu->error.what = what;
	raise_note_exit(cpu, CPU_EXIT_INTERNAL_ERROR);
}
