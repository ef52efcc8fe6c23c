/* SPDX-License-Identifier: MIT */
/* machine/interrupt.h - an interrupt message: what an MSI, a pin of the IOAPIC or an IPI says. */
#ifndef MACHINE_INTERRUPT_H
#define MACHINE_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

/* As bits 10:8 of an ICR, of an entry of the IOAPIC and of MSI data have it. */
enum delivery {
	DELIVER_FIXED = 0,
	DELIVER_LOWEST = 1,
	DELIVER_SMI = 2,
	DELIVER_UNHALT = 3,	/* KVM's own: the end of a halt, and nothing else */
	DELIVER_NMI = 4,
	DELIVER_INIT = 5,
	DELIVER_STARTUP = 6,
	DELIVER_EXTINT = 7,
};

struct interrupt {
	uint32_t dest;
	uint8_t vector;
	uint8_t delivery;	/* enum delivery, or a reserved value */
	bool logical;		/* how dest is meant */
	bool level;		/* trigger mode */
	bool asserted;		/* a level's; of an edge it says nothing */
	bool lowest;		/* to one of those that dest names, whatever delivery says */
};

/* What comes of it, as KVM_IRQ_LINE_STATUS says it: the number of local APICs that took it. */
#define INTERRUPT_IGNORED (-1)		/* masked, or nobody is meant */
#define INTERRUPT_COALESCED 0		/* one is already pending */

#endif
