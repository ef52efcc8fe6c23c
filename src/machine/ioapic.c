/* SPDX-License-Identifier: MIT */
#include "machine/ioapic.h"

#include <string.h>

#include "base/compiler.h"

#define WINDOW_BYTES 0x100u
#define REG_SELECT 0x00u
#define REG_WINDOW 0x10u

/* What the window shows. */
#define INDEX_ID 0u
#define INDEX_VERSION 1u
#define INDEX_ARBITRATION 2u
#define INDEX_ENTRIES 0x10u
#define VERSION (0x11u | (IOAPIC_PINS - 1) << 16)

/* An entry. */
#define ENTRY_LOGICAL (1ull << 11)
#define ENTRY_PENDING (1ull << 12)
#define ENTRY_REMOTE_IRR (1ull << 14)
#define ENTRY_LEVEL (1ull << 15)
#define ENTRY_MASKED (1ull << 16)
#define ENTRY_READ_ONLY (ENTRY_PENDING | ENTRY_REMOTE_IRR)

/* A guest that ends an interrupt without silencing its device would never get on. */
#define MAX_REPEATS 10000u
#define RETRY_NS 10000000u

static int serve_pin(struct ioapic *io, unsigned int pin) REQUIRES(io->lock)
{
	uint64_t *e = &io->s.entry[pin];
	struct interrupt i = {
		.dest = (uint32_t)(*e >> 56),
		.vector = (uint8_t)*e,
		.delivery = *e >> 8 & 7,
		.logical = *e & ENTRY_LOGICAL,
		.level = *e & ENTRY_LEVEL,
		.asserted = true,
	};
	int taken;

	if ((*e & ENTRY_MASKED) || (i.level && (*e & ENTRY_REMOTE_IRR)))
		return INTERRUPT_IGNORED;
	if (!i.level)
		io->delivered |= 1u << pin;
	taken = io->ops->deliver(io, &i);
	/* The local APIC's EOI takes it away. */
	if (i.level && taken != INTERRUPT_COALESCED)
		*e |= ENTRY_REMOTE_IRR;
	return taken;
}

static void serve_held(struct timer *timer)
{
	struct ioapic *io = container_of(timer, struct ioapic, retry);
	uint32_t held;

	mutex_lock(&io->lock);
	held = io->held & io->s.irr;
	io->held = 0;
	for (; held; held &= held - 1)
		serve_pin(io, (unsigned int)__builtin_ctz(held));
	mutex_unlock(&io->lock);
}

void ioapic_init(struct ioapic *io, struct timers *timers, const struct ioapic_ops *ops)
{
	*io = (struct ioapic){ .timers = timers, .ops = ops };
	mutex_init(&io->lock, RANK_IOAPIC);
	timer_init(&io->retry, serve_held);
	io->s.base = IOAPIC_BASE_DEFAULT;
	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++)
		io->s.entry[pin] = ENTRY_MASKED;
}

void ioapic_destroy(struct ioapic *io)
{
	timer_disarm(io->timers, &io->retry);
	mutex_destroy(&io->lock);
}

static int raise(struct ioapic *io, unsigned int pin) REQUIRES(io->lock)
{
	uint32_t bit = 1u << pin, before = io->s.irr;

	io->s.irr |= bit;
	if (!(io->s.entry[pin] & ENTRY_LEVEL)) {
		io->delivered &= ~bit;
		if (before & bit)
			return INTERRUPT_COALESCED;
	}
	return serve_pin(io, pin);
}

int ioapic_set_line(struct ioapic *io, unsigned int pin, unsigned int source, bool level)
{
	int result = 1;

	if (pin >= IOAPIC_PINS || source >= 32)
		return INTERRUPT_IGNORED;
	mutex_lock(&io->lock);
	if (level)
		io->lines[pin] |= 1u << source;
	else
		io->lines[pin] &= ~(1u << source);
	if (io->lines[pin])
		result = raise(io, pin);
	else
		io->s.irr &= ~(1u << pin);
	mutex_unlock(&io->lock);
	return result;
}

/* A level that is still up is a new interrupt. */
static void end_level(struct ioapic *io, unsigned int pin) REQUIRES(io->lock)
{
	uint64_t *e = &io->s.entry[pin];

	*e &= ~ENTRY_REMOTE_IRR;
	if ((*e & ENTRY_MASKED) || !(*e & ENTRY_LEVEL) || !(io->s.irr & 1u << pin)) {
		io->repeats[pin] = 0;
		return;
	}
	if (++io->repeats[pin] < MAX_REPEATS) {
		serve_pin(io, pin);
		return;
	}
	io->repeats[pin] = 0;
	io->held |= 1u << pin;
	timer_arm(io->timers, &io->retry, timers_now(io->timers) + RETRY_NS);
}

void ioapic_end(struct ioapic *io, uint8_t vector, bool level)
{
	mutex_lock(&io->lock);
	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++) {
		if ((uint8_t)io->s.entry[pin] != vector)
			continue;
		/* Whoever is told may lower the line: before it is looked at. */
		mutex_unlock(&io->lock);
		io->ops->ended(io, pin);
		mutex_lock(&io->lock);
		if (level)
			end_level(io, pin);
	}
	mutex_unlock(&io->lock);
}

/* --- registers -------------------------------------------------------------------- */

static uint32_t read_window(const struct ioapic *io) REQUIRES(io->lock)
{
	unsigned int pin = (io->s.select - INDEX_ENTRIES) / 2;

	switch (io->s.select) {
	case INDEX_ID:
	case INDEX_ARBITRATION:
		return (io->s.id & 0xf) << 24;
	case INDEX_VERSION:
		return VERSION;
	default:
		if (io->s.select < INDEX_ENTRIES || pin >= IOAPIC_PINS)
			return UINT32_MAX;
		return (uint32_t)(io->s.entry[pin] >> (io->s.select & 1 ? 32 : 0));
	}
}

static void write_entry(struct ioapic *io, unsigned int pin, bool upper, uint32_t value)
	REQUIRES(io->lock)
{
	uint64_t *e = &io->s.entry[pin], old = *e;

	if (upper)
		*e = (uint32_t)*e | (uint64_t)value << 32;
	else
		*e = (*e & ~(uint64_t)UINT32_MAX) | (value & ~ENTRY_READ_ONLY) |
		     (old & ENTRY_READ_ONLY);
	if (old & ~*e & ENTRY_MASKED)
		io->ops->unmasked(io, pin);
	/* An edge has no remote IRR: guests clear a stuck one by this. */
	if (!(*e & ENTRY_LEVEL))
		*e &= ~ENTRY_REMOTE_IRR;
	else if (io->s.irr & 1u << pin)
		serve_pin(io, pin);
}

static void write_window(struct ioapic *io, uint32_t value) REQUIRES(io->lock)
{
	unsigned int pin = (io->s.select - INDEX_ENTRIES) / 2;

	if (io->s.select == INDEX_ID)
		io->s.id = value >> 24 & 0xf;
	else if (io->s.select >= INDEX_ENTRIES && pin < IOAPIC_PINS)
		write_entry(io, pin, io->s.select & 1, value);
}

bool ioapic_read(struct ioapic *io, uint64_t gpa, void *data, unsigned int bytes)
{
	uint64_t value = 0;
	bool is_mine;

	mutex_lock(&io->lock);
	is_mine = gpa - io->s.base < WINDOW_BYTES;
	if (is_mine && gpa - io->s.base == REG_SELECT)
		value = io->s.select;
	else if (is_mine && gpa - io->s.base == REG_WINDOW)
		value = read_window(io);
	mutex_unlock(&io->lock);
	if (is_mine) {
		memset(data, 0, bytes);
		memcpy(data, &value, MIN(bytes, (unsigned int)sizeof(value)));
	}
	return is_mine;
}

bool ioapic_write(struct ioapic *io, uint64_t gpa, const void *data, unsigned int bytes)
{
	uint32_t value = 0;
	bool is_mine;

	memcpy(&value, data, MIN(bytes, (unsigned int)sizeof(value)));
	mutex_lock(&io->lock);
	is_mine = gpa - io->s.base < WINDOW_BYTES;
	if (is_mine && gpa - io->s.base == REG_SELECT)
		io->s.select = value & 0xff;
	else if (is_mine && gpa - io->s.base == REG_WINDOW)
		write_window(io, value);
	mutex_unlock(&io->lock);
	return is_mine;
}

/* --- by the client ---------------------------------------------------------------- */

/* Edges that were delivered are the local APICs' now. */
void ioapic_get_state(struct ioapic *io, struct ioapic_state *state)
{
	mutex_lock(&io->lock);
	*state = io->s;
	state->irr &= ~io->delivered;
	mutex_unlock(&io->lock);
}

void ioapic_set_state(struct ioapic *io, const struct ioapic_state *state)
{
	uint32_t requests = state->irr & ((1u << IOAPIC_PINS) - 1);

	mutex_lock(&io->lock);
	io->s = *state;
	io->s.irr = 0;
	io->delivered = 0;
	for (; requests; requests &= requests - 1)
		raise(io, (unsigned int)__builtin_ctz(requests));
	mutex_unlock(&io->lock);
}
