/* SPDX-License-Identifier: MIT */
/*
 * cpu/charge.h - the cost of the guest's work, so that no one waits long for it.
 *
 * cpu_run() is given a budget.  Instructions use it up one by one; whatever costs
 * more than one, or is no instruction (a walk, a fault, decoding, an element of REP, an
 * event), is charged beside them, where it is done.  When budget and charges meet,
 * the guest is left at the end of the instruction.
 *
 * The unit is the time of an ordinary instruction, some 5 ns; no instruction of its own
 * takes twice as long.  The numbers need not be exact: tests/fuzz/fuzz_work.c holds that
 * no unit stands for much more work.
 */
#ifndef CPU_CHARGE_H
#define CPU_CHARGE_H

#include "cpu/cpu.h"

/* KVM_RUN looks for signals at least this often: within 100 us of running time. */
#define CPU_BUDGET 8192

enum {
	CHARGE_SPAN = 8,	/* an access that the TLB does not answer at once */
	CHARGE_WALK = 64,	/* a translation */
	CHARGE_FAULT = 512,	/* one that had to leave guest mode: the MMU's work */
	CHARGE_ROUND = 4,	/* between blocks: events, requests, exits */
	CHARGE_EVENT = 96,	/* delivery through the IDT */
	CHARGE_REQUESTS = 64,	/* what the MMU was asked for */
	CHARGE_TRACKED = 512,	/* writes to page tables, of shadow paging */
	CHARGE_FIND = 12,	/* a block that was not at the front of its bucket */
	CHARGE_CROSSING = 24,	/* code across two pages, compared */
	CHARGE_DECODE = 40,	/* an instruction */
	CHARGE_CHUNK = 1024,	/* memory for blocks, or dropping them all */
	CHARGE_ELEMENT = 8,	/* of a string instruction */
	CHARGE_FAR = 64,	/* to other code */
	CHARGE_TASK = 512,	/* to another task */
	CHARGE_DESCRIPTOR = 16,	/* read, and checked */
	CHARGE_DEBUG = 16,	/* breakpoints that are looked for, or change */
	CHARGE_SPLIT_LOCK = CPU_BUDGET, /* across cache lines: the host may sleep for it */
	CHARGE_X87 = 64,	/* registers into the host's, and back */
	CHARGE_PAGING = 512,	/* other tables, an empty TLB */
};

static ALWAYS_INLINE bool budget_is_spent(const struct cpu *cpu)
{
	return cpu->budget <= cpu->charged;
}

/* For work beyond the cost of an instruction.  When the budget is spent, the block is left after
 * the instruction. */
static ALWAYS_INLINE void charge(struct cpu *cpu, uint64_t units)
{
	cpu->charged += (int64_t)units;
	if (unlikely(budget_is_spent(cpu)))
		cpu->stop = true;
}

#endif
