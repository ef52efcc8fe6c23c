/* SPDX-License-Identifier: MIT */
#include "machine/lapics.h"

#define BROADCAST_XAPIC 0xffu
#define BROADCAST_X2APIC UINT32_MAX

/* Bits of the ICR. */
#define ICR_LOGICAL (1u << 11)
#define ICR_ASSERT (1u << 14)
#define ICR_LEVEL (1u << 15)
enum shorthand { TO_DEST, TO_SELF, TO_ALL, TO_OTHERS };

#define DFR_FLAT 0xfu

void lapics_init(struct lapics *all, struct atomic_ptr *room, unsigned int n)
{
	all->lapic = room;
	all->room = n;
	atomic32_store_relaxed(&all->n, 0);
	atomic32_store_relaxed(&all->no_broadcast_quirk, 0);
	atomic32_store_relaxed(&all->no_virtual_wire, 0);
	atomic32_store_relaxed(&all->no_page_of_ones, 0);
}

bool lapics_add(struct lapics *all, struct lapic *l)
{
	uint32_t n = atomic32_load_relaxed(&all->n);

	if (n == all->room)
		return false;
	atomic_ptr_store_relaxed(&all->lapic[n], l);
	atomic32_store_release(&all->n, n + 1);
	return true;
}

static struct lapic *lapic_at(const struct lapics *all, uint32_t i)
{
	return atomic_ptr_load_relaxed(&all->lapic[i]);
}

#define for_each_lapic(all, i, l)                                          \
	for (uint32_t i = 0; i < atomic32_load_acquire(&(all)->n) &&       \
			     ((l = lapic_at(all, i)), true); i++)

static bool matches_physical(const struct lapic *l, uint32_t dest)
{
	/* An identifier that 8 bits cannot hold names its APIC in either mode, so that it can
	 * be started. */
	if (lapic_is_x2apic(l))
		return dest == lapic_reg(l, LAPIC_ID);
	return l->id > 0xff ? dest == l->id : dest == lapic_reg(l, LAPIC_ID) >> 24;
}

static bool matches_logical(const struct lapic *l, uint32_t dest)
{
	uint32_t ldr = lapic_reg(l, LAPIC_LDR), name;

	if (lapic_is_x2apic(l))
		return ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff);
	name = ldr >> 24;
	if (lapic_reg(l, LAPIC_DFR) >> 28 == DFR_FLAT)
		return name & dest & 0xff;
	return name >> 4 == (dest >> 4 & 0xf) && (name & dest & 0xf);
}

static bool matches(const struct lapic *l, uint32_t dest, bool logical)
{
	if (dest == (lapic_is_x2apic(l) ? BROADCAST_X2APIC : BROADCAST_XAPIC))
		return true;
	return logical ? matches_logical(l, dest) : matches_physical(l, dest);
}

bool lapics_is_meant(const struct lapics *all, const struct lapic *l, const struct interrupt *i)
{
	uint32_t dest = i->dest;

	if (dest == BROADCAST_XAPIC && lapic_is_x2apic(l) &&
	    !atomic32_load_relaxed(&all->no_broadcast_quirk))
		dest = BROADCAST_X2APIC;
	return lapic_is_on(l) && matches(l, dest, i->logical);
}

/* Of an IPI: @from is the sender, and counts by its shorthand. */
static bool ipi_is_meant(const struct lapic *from, const struct lapic *l, uint32_t dest,
			 bool logical, enum shorthand shorthand)
{
	if (!lapic_is_on(l))
		return false;
	switch (shorthand) {
	case TO_SELF:
		return l == from;
	case TO_ALL:
		return true;
	case TO_OTHERS:
		return l != from;
	default:
		return matches(l, dest, logical);
	}
}

/* Of those meant, collects the one that was chosen least often. */
static void consider(struct lapic **best, struct lapic *l)
{
	uint32_t times = atomic32_load_relaxed(&l->arbitrations);

	if (lapic_is_enabled(l) &&
	    (!*best || times < atomic32_load_relaxed(&(*best)->arbitrations)))
		*best = l;
}

static int deliver_lowest(struct lapic *best, const struct interrupt *i)
{
	if (!best)
		return INTERRUPT_IGNORED;
	atomic32_fetch_add(&best->arbitrations, 1);
	return lapic_accept(best, i);
}

/* A broadcast to physical identifiers means all, whatever the delivery mode. */
static bool is_lowest(const struct interrupt *i)
{
	return (i->lowest || i->delivery == DELIVER_LOWEST) &&
	       (i->logical || (i->dest != BROADCAST_XAPIC && i->dest != BROADCAST_X2APIC));
}

int lapics_deliver(struct lapics *all, const struct interrupt *i)
{
	struct lapic *l, *best = NULL;
	int taken = INTERRUPT_IGNORED;

	for_each_lapic(all, n, l) {
		if (!lapics_is_meant(all, l, i))
			continue;
		if (is_lowest(i))
			consider(&best, l);
		else
			taken = MAX(taken, 0) + lapic_accept(l, i);
	}
	return is_lowest(i) ? deliver_lowest(best, i) : taken;
}

void lapics_send_ipi(struct lapic *from, uint32_t icr, uint32_t dest)
{
	enum shorthand shorthand = icr >> 18 & 3;
	struct interrupt i = {
		.dest = dest,
		.vector = (uint8_t)icr,
		.delivery = icr >> 8 & 7,
		.logical = icr & ICR_LOGICAL,
		.level = icr & ICR_LEVEL,
		.asserted = icr & ICR_ASSERT,
	};
	struct lapic *l, *best = NULL;

	for_each_lapic(from->all, n, l) {
		if (!ipi_is_meant(from, l, dest, i.logical, shorthand))
			continue;
		if (is_lowest(&i))
			consider(&best, l);
		else
			lapic_accept(l, &i);
	}
	if (is_lowest(&i))
		deliver_lowest(best, &i);
}

/* Its own identifier, in either mode. */
static uint32_t id_of(const struct lapic *l)
{
	return lapic_is_x2apic(l) ? lapic_reg(l, LAPIC_ID) : lapic_reg(l, LAPIC_ID) >> 24;
}

int lapics_deliver_to_set(struct lapics *all, uint32_t first, uint64_t set,
			  const struct interrupt *i)
{
	struct lapic *l;
	int taken = 0;

	for_each_lapic(all, n, l) {
		uint32_t at = id_of(l) - first;

		if (at < 64 && (set >> at & 1) && lapic_is_on(l))
			taken += lapic_accept(l, i);
	}
	return taken;
}
