/* SPDX-License-Identifier: MIT */
/*
 * cpu/memory/mmio.h - memory-mapped I/O: how an access becomes exits to the client.
 *
 * An access is split at page borders and then at 8 bytes.  Fragments of a load
 * are asked for one exit at a time; the instruction is abandoned for each, and
 * when it is started again it is given those that are already there, in the same
 * order.  Fragments of a store are queued; the instruction is completed and
 * then one exit made for each.
 */
#ifndef CPU_MMIO_H
#define CPU_MMIO_H

#include "cpu/cpu.h"

/* Within a page.  False: abandon the instruction. */
bool mmio_load(struct cpu *cpu, gpa_t gpa, void *to, unsigned int bytes);
bool mmio_store(struct cpu *cpu, gpa_t gpa, const void *from, unsigned int bytes);

/* An instruction begins, perhaps again; fragments of another one are dropped. */
static inline void mmio_begin_instruction(struct cpu *cpu)
{
	if (cpu->mmio.rip != cpu->rip)
		cpu->mmio.n_done = 0;
	cpu->mmio.n_used = 0;
}

/* It is done, or has come as far as it needs no fragment again. */
static inline void mmio_end_instruction(struct cpu *cpu)
{
	cpu->mmio.n_done = 0;
	cpu->mmio.n_used = 0;
}

static inline bool mmio_has_writes(const struct cpu *cpu)
{
	return cpu->mmio.n_writes;
}

static inline void mmio_drop_writes(struct cpu *cpu)
{
	cpu->mmio.n_writes = 0;
	cpu->mmio.next_write = 0;
}

/* Takes the next queued write to the client. */
void mmio_next_write(struct cpu *cpu);

#endif
