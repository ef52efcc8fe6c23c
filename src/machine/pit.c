/* SPDX-License-Identifier: MIT */
#include "machine/pit.h"

#include "base/compiler.h"

#define PORT_CHANNEL_0 0x40u
#define PORT_CONTROL 0x43u
#define PORT_61 0x61u
#define GATE_2 0x01u
#define SPEAKER 0x02u
#define REFRESH 0x10u
#define OUT_2 0x20u

#define NS_PER_S 1000000000ull
#define MAX_COUNT 0x10000u
#define MAX_COUNT_BCD 10000u
/* A guest cannot make the host work more often. */
#define MIN_PERIOD_NS 200000u

/* How a count is read and written: bits 5:4 of the control word, and what is next. */
enum access { LATCH, LOW, HIGH, BOTH, BOTH_HIGH };

/* --- counting --------------------------------------------------------------------- */

static uint64_t ticks_since_load(struct pit *p, const struct pit_channel *c)
{
	uint64_t ns = timers_now(p->timers) - (uint64_t)c->loaded_at;

	return (uint64_t)((unsigned __int128)ns * PIT_HZ / NS_PER_S);
}

static uint64_t ns_of(uint32_t count)
{
	return (uint64_t)count * NS_PER_S / PIT_HZ;
}

static uint32_t modulus(const struct pit_channel *c)
{
	return c->bcd ? MAX_COUNT_BCD : MAX_COUNT;
}

static uint16_t to_bcd(uint32_t n)
{
	return (uint16_t)(n / 1000 % 10 << 12 | n / 100 % 10 << 8 | n / 10 % 10 << 4 | n % 10);
}

static uint32_t from_bcd(uint16_t n)
{
	return (n >> 12) * 1000u + (n >> 8 & 0xf) * 100u + (n >> 4 & 0xf) * 10u + (n & 0xf);
}

static uint16_t count_now(struct pit *p, const struct pit_channel *c)
{
	uint64_t ticks = ticks_since_load(p, c);
	uint32_t n = c->count;

	switch (c->mode) {
	case 2:
		n -= (uint32_t)(ticks % c->count);
		break;
	case 3:
		/* By two, twice in a period. */
		n -= (uint32_t)(ticks * 2 % c->count);
		break;
	default:
		n = (uint32_t)(n - ticks % modulus(c) + modulus(c)) % modulus(c);
		break;
	}
	return c->bcd ? to_bcd(n) : (uint16_t)n;
}

static bool output_of(struct pit *p, const struct pit_channel *c)
{
	uint64_t ticks = ticks_since_load(p, c);

	switch (c->mode) {
	case 0:
		return ticks >= c->count;
	case 1:
		return ticks < c->count;
	case 2:
		return ticks && ticks % c->count == 0;
	case 3:
		return ticks % c->count < (c->count + 1) / 2;
	default:
		return ticks == c->count;
	}
}

/* --- channel 0's interrupts ------------------------------------------------------- */

/* What nobody takes, nobody ends. */
static void pulse(struct pit *p)
{
	if (atomic32_load_relaxed(&p->drops)) {
		p->ops->pulse(p);
		return;
	}
	if (!atomic32_xchg(&p->in_flight, 1) && p->ops->pulse(p) <= 0)
		pit_forget_interrupts(p);
}

void pit_forget_interrupts(struct pit *p)
{
	atomic32_xchg(&p->pending, 0);
	atomic32_xchg(&p->in_flight, 0);
}

/*
 * The end is noted before the count is read, and the service counts before it looks for an end
 * (pulse): so one of the two finds that another interrupt is due.
 */
void pit_interrupt_ended(struct pit *p)
{
	uint32_t n;

	if (!atomic32_xchg(&p->in_flight, 0))
		return;
	n = atomic32_load_relaxed(&p->pending);
	while (n && !atomic32_cmpxchg(&p->pending, &n, n - 1))
		;
	if (n > 1)
		pulse(p);
}

void pit_set_reinjection(struct pit *p, bool on)
{
	atomic32_store_relaxed(&p->drops, !on);
	pit_forget_interrupts(p);
}

static bool is_periodic(const struct pit_channel *c)
{
	return c->mode == 2 || c->mode == 3;
}

/* How many interrupts are due; arms the timer for the next. */
static uint32_t take_due(struct pit *p)
{
	uint64_t now = timers_now(p->timers), n = 0;

	mutex_lock(&p->lock);
	if (p->target && now >= p->target) {
		n = 1;
		if (p->period) {
			n += (now - p->target) / p->period;
			p->target += n * p->period;
			timer_arm(p->timers, &p->timer, p->target);
		} else {
			p->target = 0;
		}
	}
	mutex_unlock(&p->lock);
	return (uint32_t)MIN(n, 1000u);
}

static void expire(struct timer *timer)
{
	struct pit *p = container_of(timer, struct pit, timer);
	uint32_t n = take_due(p);

	if (!n)
		return;
	atomic32_fetch_add(&p->pending, n);
	pulse(p);
}

static void stop(struct pit *p) REQUIRES(p->lock)
{
	timer_disarm(p->timers, &p->timer);
	p->target = p->period = 0;
	pit_forget_interrupts(p);
}

/* In modes 1 and 5 it waits for a gate that channel 0 does not have. */
static void start_count(struct pit *p) REQUIRES(p->lock)
{
	const struct pit_channel *c = &p->channel[0];
	uint64_t ns = ns_of(c->count);

	stop(p);
	if (p->hpet_legacy || c->mode == 1 || c->mode >= 5)
		return;
	if (is_periodic(c))
		p->period = MAX(ns, MIN_PERIOD_NS);
	p->target = (uint64_t)c->loaded_at + MAX(ns, p->period);
	timer_arm(p->timers, &p->timer, p->target);
}

/* --- registers -------------------------------------------------------------------- */

static void restart(struct pit *p, struct pit_channel *c) REQUIRES(p->lock)
{
	c->loaded_at = (int64_t)timers_now(p->timers);
	if (c == &p->channel[0])
		start_count(p);
}

static void load_count(struct pit *p, struct pit_channel *c, uint16_t value) REQUIRES(p->lock)
{
	uint32_t count = c->bcd ? from_bcd(value) % MAX_COUNT_BCD : value;

	c->count = count ? count : modulus(c);
	restart(p, c);
}

static void write_count(struct pit *p, struct pit_channel *c, uint8_t value) REQUIRES(p->lock)
{
	switch (c->write_state) {
	case LOW:
		load_count(p, c, value);
		break;
	case HIGH:
		load_count(p, c, (uint16_t)(value << 8));
		break;
	case BOTH:
		c->write_latch = value;
		c->write_state = BOTH_HIGH;
		break;
	case BOTH_HIGH:
		load_count(p, c, (uint16_t)(c->write_latch | value << 8));
		c->write_state = BOTH;
		break;
	}
}

static void latch_count(struct pit *p, struct pit_channel *c)
{
	if (c->count_latched)
		return;
	c->latched_count = count_now(p, c);
	c->count_latched = c->rw_mode;
}

static void latch_status(struct pit *p, struct pit_channel *c)
{
	if (c->status_latched)
		return;
	c->status = (uint8_t)(output_of(p, c) << 7 | (c->rw_mode & 3) << 4 | (c->mode & 7) << 1 |
			      (c->bcd & 1));
	c->status_latched = 1;
}

static void write_read_back(struct pit *p, uint8_t value) REQUIRES(p->lock)
{
	for (unsigned int i = 0; i < PIT_CHANNELS; i++) {
		if (!(value & 2u << i))
			continue;
		if (!(value & 0x20))
			latch_count(p, &p->channel[i]);
		if (!(value & 0x10))
			latch_status(p, &p->channel[i]);
	}
}

static void write_control(struct pit *p, uint8_t value) REQUIRES(p->lock)
{
	unsigned int n = value >> 6, access = value >> 4 & 3;
	struct pit_channel *c;

	if (n == PIT_CHANNELS) {
		write_read_back(p, value);
		return;
	}
	c = &p->channel[n];
	if (access == LATCH) {
		latch_count(p, c);
		return;
	}
	c->rw_mode = c->read_state = c->write_state = (uint8_t)access;
	c->mode = value >> 1 & 7;
	/* The uppermost bit of modes 2 and 3 is free. */
	if (c->mode > 5)
		c->mode -= 4;
	c->bcd = value & 1;
	if (n == 0)
		stop(p);
}

static uint8_t read_latch(struct pit_channel *c)
{
	bool is_high = c->count_latched == HIGH;

	c->count_latched = c->count_latched == BOTH ? HIGH : 0;
	return (uint8_t)(c->latched_count >> (is_high ? 8 : 0));
}

static uint8_t read_count(struct pit *p, struct pit_channel *c)
{
	uint16_t count;

	if (c->status_latched) {
		c->status_latched = 0;
		return c->status;
	}
	if (c->count_latched)
		return read_latch(c);
	count = count_now(p, c);
	switch (c->read_state) {
	case HIGH:
		return (uint8_t)(count >> 8);
	case BOTH:
		c->read_state = BOTH_HIGH;
		return (uint8_t)count;
	case BOTH_HIGH:
		c->read_state = BOTH;
		return (uint8_t)(count >> 8);
	default:
		return (uint8_t)count;
	}
}

/* Where a rising gate starts the count anew. */
static void set_gate(struct pit *p, struct pit_channel *c, bool gate) REQUIRES(p->lock)
{
	bool rises = gate && !c->gate;

	c->gate = gate;
	if (rises && c->mode != 0 && c->mode != 4)
		restart(p, c);
}

static uint8_t read_port_61(struct pit *p) REQUIRES(p->lock)
{
	const struct pit_channel *c = &p->channel[2];
	uint8_t value = 0;

	if (c->gate)
		value |= GATE_2;
	if (p->speaker_on)
		value |= SPEAKER;
	/* The refresh of memory, some 15 microseconds: guests wait for it to change. */
	if (timers_now(p->timers) >> 14 & 1)
		value |= REFRESH;
	if (output_of(p, c))
		value |= OUT_2;
	return value;
}

static bool has_port(const struct pit *p, uint16_t port)
{
	return (port >= PORT_CHANNEL_0 && port <= PORT_CONTROL) ||
	       (p->has_port_61 && port == PORT_61);
}

bool pit_read_port(struct pit *p, uint16_t port, uint8_t *value)
{
	if (!has_port(p, port))
		return false;
	mutex_lock(&p->lock);
	if (port == PORT_61)
		*value = read_port_61(p);
	else if (port == PORT_CONTROL)
		*value = 0;
	else
		*value = read_count(p, &p->channel[port - PORT_CHANNEL_0]);
	mutex_unlock(&p->lock);
	return true;
}

bool pit_write_port(struct pit *p, uint16_t port, uint8_t value)
{
	if (!has_port(p, port))
		return false;
	mutex_lock(&p->lock);
	if (port == PORT_61) {
		p->speaker_on = value & SPEAKER;
		set_gate(p, &p->channel[2], value & GATE_2);
	} else if (port == PORT_CONTROL) {
		write_control(p, value);
	} else {
		write_count(p, &p->channel[port - PORT_CHANNEL_0], value);
	}
	mutex_unlock(&p->lock);
	return true;
}

/* --- life, and the client --------------------------------------------------------- */

void pit_init(struct pit *p, struct timers *timers, const struct pit_ops *ops, bool has_port_61)
{
	*p = (struct pit){ .timers = timers, .ops = ops, .has_port_61 = has_port_61 };
	mutex_init(&p->lock, RANK_PIT);
	timer_init(&p->timer, expire);
	for (unsigned int i = 0; i < PIT_CHANNELS; i++)
		p->channel[i] = (struct pit_channel){
			.count = MAX_COUNT,
			.mode = PIT_NO_MODE,
			.gate = i != 2,
			.loaded_at = (int64_t)timers_now(timers),
		};
}

void pit_destroy(struct pit *p)
{
	timer_disarm(p->timers, &p->timer);
	mutex_destroy(&p->lock);
}

struct pit_state pit_get_state(struct pit *p)
{
	struct pit_state state;

	mutex_lock(&p->lock);
	for (unsigned int i = 0; i < PIT_CHANNELS; i++)
		state.channel[i] = p->channel[i];
	state.hpet_legacy = p->hpet_legacy;
	state.speaker_on = p->speaker_on;
	mutex_unlock(&p->lock);
	return state;
}

/* What is divided by or shifted by is in its range from here on. */
static struct pit_channel made_valid(struct pit_channel c)
{
	if (!c.count || c.count > MAX_COUNT)
		c.count = MAX_COUNT;
	if (c.mode > 5)
		c.mode = PIT_NO_MODE;
	c.bcd &= 1;
	c.rw_mode &= 3;
	return c;
}

void pit_set_state(struct pit *p, const struct pit_state *state)
{
	mutex_lock(&p->lock);
	for (unsigned int i = 0; i < PIT_CHANNELS; i++)
		p->channel[i] = made_valid(state->channel[i]);
	p->hpet_legacy = state->hpet_legacy;
	p->speaker_on = state->speaker_on;
	restart(p, &p->channel[0]);
	mutex_unlock(&p->lock);
}
