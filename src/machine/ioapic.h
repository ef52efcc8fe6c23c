/* SPDX-License-Identifier: MIT */
/*
 * machine/ioapic.h - the IOAPIC: 24 pins, each with an entry that says where its interrupt goes.
 * 82093AA data sheet.
 */
#ifndef MACHINE_IOAPIC_H
#define MACHINE_IOAPIC_H

#include <stdbool.h>
#include <stdint.h>

#include "machine/interrupt.h"
#include "machine/timers.h"
#include "sync/lock.h"

#define IOAPIC_PINS 24u
#define IOAPIC_BASE_DEFAULT 0xfec00000ull

/* As a client saves it. */
struct ioapic_state {
	uint64_t base;
	uint32_t select;	/* which register the window shows */
	uint32_t id;
	uint32_t irr;		/* pins with a request that was not yet delivered, or a level */
	uint64_t entry[IOAPIC_PINS];
};

struct ioapic;

struct ioapic_ops {
	/* A message: what lapics_deliver() returns.  With the lock. */
	int (*deliver)(struct ioapic *io, const struct interrupt *i);
	/* A pin is no longer masked.  With the lock. */
	void (*unmasked)(struct ioapic *io, unsigned int pin);
	/* The interrupt of a pin has ended.  Without it. */
	void (*ended)(struct ioapic *io, unsigned int pin);
};

/* (c) constant after creation  [x] under lock x */
struct ioapic {
	struct mutex lock;		/* (c) rank RANK_IOAPIC */
	struct ioapic_state s;		/* [lock] */
	uint32_t delivered;		/* [lock] of irr: edges that are on their way already */
	uint32_t lines[IOAPIC_PINS];	/* [lock] which sources raise the pin */
	uint32_t repeats[IOAPIC_PINS];	/* [lock] EOIs in a row that found the level still up */
	uint32_t held;			/* [lock] pins that wait for the timer */
	struct timer retry;		/* (o) timers.h */
	struct timers *timers;		/* (c) */
	const struct ioapic_ops *ops;	/* (c) */
};

void ioapic_init(struct ioapic *io, struct timers *timers, const struct ioapic_ops *ops);
void ioapic_destroy(struct ioapic *io);

/* One of a pin's sources raises or lowers it: how many took it, INTERRUPT_COALESCED or
 * INTERRUPT_IGNORED. */
int ioapic_set_line(struct ioapic *io, unsigned int pin, unsigned int source, bool level);
/* A local APIC has ended an interrupt of this vector; @level: and tells of it. */
void ioapic_end(struct ioapic *io, uint8_t vector, bool level);

/* True if @gpa is in its page, and the access was made. */
bool ioapic_read(struct ioapic *io, uint64_t gpa, void *data, unsigned int bytes);
bool ioapic_write(struct ioapic *io, uint64_t gpa, const void *data, unsigned int bytes);

void ioapic_get_state(struct ioapic *io, struct ioapic_state *state);
void ioapic_set_state(struct ioapic *io, const struct ioapic_state *state);

#endif
