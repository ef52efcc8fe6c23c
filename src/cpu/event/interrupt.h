/* SPDX-License-Identifier: MIT */
/*
 * cpu/event/interrupt.h - interrupts and NMIs from outside, until they are delivered.
 *
 * Whoever has an interrupt for the processor asks whether it can be taken now, and if so makes it
 * accept the vector: from then on it is delivered before the next instruction, whatever becomes of
 * IF.  If not, it sets cpu->interrupts.window_wanted, and cpu_run() returns CPU_EXIT_WINDOW at the
 * first boundary between instructions where it can.  An NMI waits here by itself.
 *
 * All of it is the owner's; other threads post a request, and the owner asks them.
 */
#ifndef CPU_INTERRUPT_H
#define CPU_INTERRUPT_H

#include "cpu/cpu.h"

/* Could an interrupt be delivered before the next instruction?  False as well where RIP is at an
 * instruction that is half done, or an event waits already. */
bool interrupt_can_be_taken(const struct cpu *cpu);

/* It will be the next event, after an exception that is pending already; it replaces an
 * earlier one. */
void interrupt_accept(struct cpu *cpu, uint8_t vector);
/* The one that has been accepted and is not delivered yet, or -1. */
int interrupt_accepted(const struct cpu *cpu);

/* One more.  While NMIs are blocked one is kept, else two. */
void interrupt_nmi(struct cpu *cpu);
/* Has one been accepted that is not delivered yet? */
bool interrupt_nmi_accepted(const struct cpu *cpu);

/* Replaces all but window_wanted, and the event if it came from outside. */
void interrupt_restore(struct cpu *cpu, const struct cpu_interrupts *to);

/* True if a halted processor would wake. */
bool interrupt_wakes(const struct cpu *cpu);

/* At a boundary: what waits becomes the event, if there is none. */
void interrupt_next(struct cpu *cpu);

/* IRET is done: NMIs are no longer blocked. */
void interrupt_unblock_nmi(struct cpu *cpu);

#endif
