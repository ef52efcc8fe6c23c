/* SPDX-License-Identifier: MIT */
/*
 * machine/routes.h - where a global system interrupt (GSI) goes: to a pin of a controller, or as
 * a message to local APICs.
 *
 * The table is immutable and replaced as a whole, behind RCU: raising an interrupt takes no lock
 * but that of its controller.
 */
#ifndef MACHINE_ROUTES_H
#define MACHINE_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/ioapic.h"
#include "machine/lapics.h"
#include "machine/pic.h"

#define ROUTES_MAX_GSIS 4096u

/* Who raises and lowers a line: a pin is up while any of them holds it up. */
enum line_source { LINE_CLIENT, LINE_RESAMPLE, LINE_PIT };

enum controller { CONTROLLER_PIC_1, CONTROLLER_PIC_2, CONTROLLER_IOAPIC, N_CONTROLLERS };

struct route {
	uint32_t gsi;
	bool is_message;
	uint8_t controller, pin;	/* of a pin */
	uint64_t address;		/* of a message */
	uint32_t data;
};
/* More for one GSI there are never: one for each controller. */
#define ROUTES_PER_GSI 3u

struct route_table {
	size_t bytes;			/* of all of it, for whoever frees it */
	unsigned int n;
	struct route route[];		/* by GSI */
};

/* (c) constant after creation  (a) atomic */
struct routes {
	struct atomic_ptr table;	/* (a) struct route_table, RCU; or NULL */
	struct lapics *lapics;		/* (c) */
	struct pic *pic;		/* (c) NULL: the client has them */
	struct ioapic *ioapic;		/* (c) likewise */
	struct atomic32 wide_messages;	/* (a) identifiers in messages have 32 bits */
};

void routes_init(struct routes *r, struct lapics *lapics, struct pic *pic, struct ioapic *ioapic);

/*
 * Before a table is used: every route is possible, and no GSI has two to the same controller or
 * a message beside another.
 */
bool routes_are_valid(const struct routes *r, const struct route_table *t);
/* Puts the routes in the order of a table. */
void routes_sort(struct route_table *t);
/* Makes it the current one; returns the one before for the caller to free, when no reader can
 * use it any more.  One thread at a time; it waits for readers. */
struct route_table *routes_replace(struct routes *r, struct route_table *t) MUST_CHECK;
/* What KVM begins with: GSI 0 to 15 to the PICs, 0 to 23 to the IOAPIC, each to the pin of its
 * number.  On a PC the timer is at pin 2: the client says so. */
#define ROUTES_DEFAULT_ENTRIES (PIC_PINS + IOAPIC_PINS)
void routes_fill_default(struct route_table *t);

/* Any thread: how many took it, INTERRUPT_COALESCED or INTERRUPT_IGNORED. */
int routes_set_line(struct routes *r, uint32_t gsi, unsigned int source, bool level);
/* Up and down again, or a message. */
int routes_pulse(struct routes *r, uint32_t gsi, unsigned int source);
int routes_send_message(struct routes *r, uint64_t address, uint32_t data);

/* The GSI that leads to the pin, or -1. */
int routes_find_gsi(struct routes *r, enum controller controller, unsigned int pin);
/* Does one of the GSIs below @n_gsis lead to a level interrupt of this vector at @l? */
bool routes_has_level_vector(struct routes *r, unsigned int n_gsis, const struct lapic *l,
			     uint8_t vector);

#endif
