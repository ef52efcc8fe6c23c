/* SPDX-License-Identifier: MIT */
/* machine/lapics.h - all local APICs of a machine, and which of them a message goes to. */
#ifndef MACHINE_LAPICS_H
#define MACHINE_LAPICS_H

#include "machine/lapic.h"

/* (c) constant after creation  (a) atomic
 * They are added and never removed before the machine ends; adding is one thread at a time. */
struct lapics {
	struct atomic_ptr *lapic;	/* (c) (a) struct lapic: @room of them */
	unsigned int room;		/* (c) */
	struct atomic32 n;		/* (a) */
	/* (a) KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK: 0xff of a message from a device is no
	 * broadcast to an APIC in x2APIC mode. */
	struct atomic32 no_broadcast_quirk;
	/* (a) KVM_CAP_DISABLE_QUIRKS2: the LINT0 of the bootstrap processor is masked after reset;
	 * where an APIC has no page, there is nothing. */
	struct atomic32 no_virtual_wire, no_page_of_ones;
};

void lapics_init(struct lapics *all, struct atomic_ptr *room, unsigned int n);
/* False: there is no room. */
bool lapics_add(struct lapics *all, struct lapic *l) MUST_CHECK;

/*
 * Any thread: a device's message goes to the APICs that it names.  How many took it,
 * INTERRUPT_COALESCED or INTERRUPT_IGNORED.
 */
int lapics_deliver(struct lapics *all, const struct interrupt *i);
/* To those with the identifiers @first + the bits of @set; the destination of @i is not used. */
int lapics_deliver_to_set(struct lapics *all, uint32_t first, uint64_t set,
			  const struct interrupt *i);
/* The same by an ICR.  The owner of @from. */
void lapics_send_ipi(struct lapic *from, uint32_t icr, uint32_t dest);
/* Is a device's message meant for @l too? */
bool lapics_is_meant(const struct lapics *all, const struct lapic *l, const struct interrupt *i);

#endif
