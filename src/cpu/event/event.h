/* SPDX-License-Identifier: MIT */
/*
 * cpu/event/event.h - exceptions and interrupts on their way through the IDT.
 */
#ifndef CPU_EVENT_H
#define CPU_EVENT_H

#include "cpu/cpu.h"

/*
 * Delivers cpu->event.  If delivery itself faults, the event becomes that fault, or a double
 * fault; a third one is CPU_EXIT_SHUTDOWN.  If delivery must be put off (cpu->leaving, or a
 * race), the event stays pending.
 */
void event_deliver(struct cpu *cpu);

/* Turns the fault that the instruction raised into the event. */
void event_take_fault(struct cpu *cpu);

#endif
