/* SPDX-License-Identifier: MIT */
/*
 * cpu/state/debug.h - breakpoints, single steps, and when their #DB comes.  SDM 3B 17.2 and
 * 17.3, AMD APM 2 13.1.
 *
 * They cost nothing while DR7 enables none.  With one enabled, instructions run one at
 * a time (cpu/run.c), and the TLB does not hit in a page where data is watched
 * (mmu/tlb/tlb.h): every access there comes by cpu/memory/access.c, which tells us of it.
 *
 * The processor's accesses to its own tables (descriptors, the IDT, the TSS) hit no
 * breakpoint: the manuals leave that open.
 */
#ifndef CPU_DEBUG_H
#define CPU_DEBUG_H

#include "cpu/cpu.h"

#define DR6_FIXED 0xffff0ff0ull
#define DR6_HITS 0xfull		/* B0-B3 */
#define DR6_BD (1ull << 13)
#define DR6_BS (1ull << 14)
#define DR7_GD (1ull << 13)

/* DR0-DR3, DR7 or cpu->debug.client have changed: by the guest, the client, a reset. */
void debug_changed(struct cpu *cpu);

/*
 * The client debugs from now on as @client says, or no longer (NULL).  Single steps are EFLAGS.TF,
 * as in the kernel: whoever delivers an event takes it along, so that a step over an instruction
 * that faults runs the handler too.
 */
void debug_set_client(struct cpu *cpu, const struct cpu_client_debug *client);

/* EFLAGS as the client sees and sets them: without the TF that steps for it. */
uint64_t debug_client_rflags(struct cpu *cpu);
void debug_client_set_rflags(struct cpu *cpu, uint64_t rflags);

/* #DB goes to the client, whatever its cause. */
static inline bool debug_is_clients(const struct cpu *cpu)
{
	return cpu->debug.client.steps || cpu->debug.client.breaks;
}

/* The instruction is abandoned, and the client told of #BP, or of #DB with @bits of DR6: false. */
bool debug_raise_exit(struct cpu *cpu, uint8_t vector, uint64_t bits);

/* An instruction breakpoint at RIP that nothing suppresses: its #DB becomes the event.
 * To be asked while cpu->debug.enabled. */
bool debug_stops_instruction(struct cpu *cpu);

/* An access by the program, or the push of an event's delivery: notes what it hits. */
void debug_note_access(struct cpu *cpu, uint64_t gva, unsigned int bytes, enum access access);

/* The I/O breakpoints of an access to @port: bits of DR6. */
uint8_t debug_io_hits(const struct cpu *cpu, uint16_t port, unsigned int bytes);

/*
 * An instruction is done, or an iteration of a repeated one: what was noted becomes a
 * trap, or is held back.  @step: EFLAGS.TF was set when it began.
 */
void debug_trap(struct cpu *cpu, bool step);

/* An event was delivered: what was held back, or hit by its pushes, becomes the next. */
void debug_event_delivered(struct cpu *cpu);

/* What DR6 says of a #DB.  B0-B3 are of this one alone (SDM 17.2.3: "may clear bits
 * 0-3"); of the others none is ever cleared. */
static inline void debug_report(struct cpu *cpu, uint64_t bits)
{
	cpu->dr6 = (cpu->dr6 & ~DR6_HITS) | bits;
}

static inline bool debug_watches_data(const struct cpu *cpu)
{
	return cpu->mmu.n_watches;
}

#endif
