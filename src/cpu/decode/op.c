/* SPDX-License-Identifier: MIT */
#include "cpu/decode/op.h"

#include "cpu/memory/mmio.h"

void op_abandon(struct cpu *cpu, const struct op *op)
{
	cpu->rip = op_rip(cpu, op);
	cpu->budget -= op->ordinal;
	cpu->stop = true;
	cpu->abandoned = true;
	mmio_drop_writes(cpu);
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
