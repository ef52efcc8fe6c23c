/* SPDX-License-Identifier: MIT */
/*
 * cpu/run.c - the loop that runs the guest.
 *
 * Blocks follow each other without anything between them but a look at the
 * budget, the requests and cpu->stop.  Whatever else there is to do sets stop
 * and is done by the outer loop: events, exits, and single instructions where
 * something has to happen after one.
 */
#include "base/log.h"
#include "cpu/block.h"
#include "cpu/charge.h"
#include "cpu/event/event.h"
#include "cpu/event/interrupt.h"
#include "cpu/event/raise.h"
#include "cpu/insn/sse/fp.h"
#include "cpu/insn/x87/x87.h"
#include "cpu/memory/mmio.h"
#include "cpu/state/debug.h"
#include "mmu/tlb/request.h"
#include "mmu/translate.h"

/* Every access of a block that was run to its end has hit the TLB, more or less:
 * the last block stands for the others. */
static void sample_hits(struct cpu *cpu, const struct block *b, int64_t instructions)
{
	vcpu_count_n(&cpu->mmu, VCPU_STAT_tlb_hits_sampled,
		     (uint64_t)instructions * b->n_accesses / b->n_instructions);
}

static void run_blocks(struct cpu *cpu)
{
	int64_t before = cpu->budget;
	const struct block *b;

	do {
		b = block_find_quick(cpu);
		if (unlikely(!b)) {
			b = block_find(cpu, 0);
			if (!b) {
				event_take_fault(cpu);
				return;
			}
		}
		cpu->charged += b->charge;
		cpu->r[GPR_BLOCK] = cpu->rip;
		b->ops->fn(cpu, b->ops);
	} while (likely(!cpu->stop) && likely(!budget_is_spent(cpu)) &&
		 !request_pending(&cpu->mmu));
	event_take_fault(cpu);
	sample_hits(cpu, b, before - cpu->budget);
}

static bool needs_single(const struct cpu *cpu)
{
	return cpu->interrupt_shadow || (cpu->rflags & (X86_EFLAGS_TF | X86_EFLAGS_RF)) ||
	       cpu->debug.enabled;
}

/* One instruction, and what follows it: the end of the interrupt shadow and of RF, the
 * traps of debugging, the end of its MMIO. */
static void run_single(struct cpu *cpu)
{
	uint32_t trap = cpu->rflags & X86_EFLAGS_TF, resume = cpu->rflags & X86_EFLAGS_RF;
	bool injected = cpu->event.pending;
	uint8_t shadow = cpu->interrupt_shadow;
	const struct block *b = block_find(cpu, MODE_SINGLE);

	if (!b) {
		event_take_fault(cpu);
		return;
	}
	cpu->interrupt_shadow = 0;
	cpu->rflags &= ~X86_EFLAGS_RF;
	cpu->debug.seen = 0;
	cpu->abandoned = false;
	cpu->charged += b->charge;
	cpu->r[GPR_BLOCK] = cpu->rip;
	b->ops->fn(cpu, b->ops);
	if (cpu->abandoned) {
		event_take_fault(cpu);
		cpu->interrupt_shadow = shadow;
		cpu->rflags |= resume;
		if (cpu->event.pending)
			mmio_end_instruction(cpu);
		return;
	}
	mmio_end_instruction(cpu);
	/* Of MOV SS after MOV SS only the first holds anything back.  SDM 3A 6.8.3. */
	if (shadow & SHADOW_MOV_SS)
		cpu->interrupt_shadow &= (uint8_t)~SHADOW_MOV_SS;
	/* INT1 has made its own #DB, and takes TF away. */
	debug_trap(cpu, trap && (injected || !cpu->event.pending));
}

/* Services requests.  True if the client must get its turn. */
static bool must_leave(struct cpu *cpu)
{
	if (cpu->leaving)
		return true;
	if (cpu->debug.report.pending) {
		cpu->debug.report.pending = false;
		raise_exit(cpu, CPU_EXIT_DEBUG);
		return true;
	}
	if (mmio_has_writes(cpu)) {
		mmio_next_write(cpu);
		raise_exit(cpu, CPU_EXIT_MMIO);
		return true;
	}
	if (request_pending(&cpu->mmu)) {
		if (atomic32_load_relaxed(&cpu->mmu.requests) & ~(uint32_t)REQUESTS_OF_MMU) {
			raise_exit(cpu, CPU_EXIT_POLL);
			return true;
		}
		guest_leave(&cpu->mmu);
		guest_enter(&cpu->mmu);
		charge(cpu, CHARGE_REQUESTS);
	}
	if (cpu->interrupts.window_wanted && interrupt_can_be_taken(cpu))
		raise_exit(cpu, CPU_EXIT_WINDOW);
	else if (budget_is_spent(cpu))
		raise_exit(cpu, CPU_EXIT_POLL);
	return cpu->leaving;
}

static void report_unimplemented(struct cpu *cpu)
{
	struct cpu_error *e = &cpu->error;
	const uint8_t *b = e->bytes;

	e->n_bytes = (uint8_t)cpu_peek(cpu, cpu_linear_rip(cpu), e->bytes, sizeof(e->bytes));
	log_emit(LOG_WARNING,
		 "not implemented: %s at rip %#llx, bytes %02x %02x %02x %02x %02x %02x %02x %02x",
		 e->what ? e->what : "page tables outside of memory", (unsigned long long)cpu->rip,
		 b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]);
	e->what = NULL;
}

static void run_next(struct cpu *cpu)
{
	/* An event whose delivery had begun may have been taken back. */
	if (cpu->mmio.of_event && !cpu->event.pending) {
		cpu->mmio.of_event = false;
		mmio_end_instruction(cpu);
	}
	interrupt_next(cpu);
	/* A device is not read twice: the instruction is finished before an interrupt that the
	 * client has injected meanwhile. */
	if (cpu->mmio.n_done && !cpu->mmio.of_event)
		run_single(cpu);
	else if (cpu->event.pending)
		event_deliver(cpu);
	else if (!needs_single(cpu))
		run_blocks(cpu);
	else if (!cpu->debug.enabled || !debug_stops_instruction(cpu))
		run_single(cpu);
}

enum cpu_exit cpu_run(struct cpu *cpu, int64_t budget)
{
	cpu->budget = budget;
	cpu->charged = 0;
	cpu->halted = false;
	cpu->leaving = false;
	cpu->fault.pending = false;
	guest_enter(&cpu->mmu);
	while (!must_leave(cpu)) {
		/* A guest that only faults must not keep us. */
		cpu->charged += CHARGE_ROUND;
		cpu->stop = false;
		mmio_begin_instruction(cpu);
		run_next(cpu);
		if (unlikely(cpu->mmu.n_tracked)) {
			mmu_tracked_writes(&cpu->mmu);
			charge(cpu, CHARGE_TRACKED);
		}
	}
	fp_retire(cpu);
	x87_retire(cpu);
	guest_leave(&cpu->mmu);

	vcpu_count_n(&cpu->mmu, VCPU_STAT_instructions,
		     (uint64_t)(budget - cpu->budget));
	if (cpu->exit == CPU_EXIT_MMIO && !cpu->mmio.write)
		cpu->mmio.rip = cpu->rip;
	if (cpu->exit == CPU_EXIT_INTERNAL_ERROR)
		report_unimplemented(cpu);
	return cpu->exit;
}
