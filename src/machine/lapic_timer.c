/* SPDX-License-Identifier: MIT */
/*
 * machine/lapic_timer.c - the timer: one-shot, periodic, by the time-stamp counter.
 *
 * The count is never stored: it follows from the time at which it will be 0.  The service only
 * says that the time may have come; the owner looks at the clock, delivers the interrupt and
 * begins the next period.  While nobody runs the vCPU, periods pass and make one interrupt.
 */
#include "base/compiler.h"
#include "machine/lapic_internal.h"

#define BUS_NS 1u			/* of one cycle: 1 GHz */
#define MODE_ONE_SHOT (0u << 17)
#define MODE_PERIODIC (1u << 17)
#define MODE_TSC_DEADLINE (2u << 17)
#define MODE_MASK (3u << 17)
#define LVT_TIMER_KNOWN (0xffu | 1u << 12 | LVT_MASKED)
/* A guest cannot make the host work more often. */
#define MIN_PERIOD_NS 200000u
#define DIVIDE_KNOWN 0xbu
/* No sum of a time and this wraps. */
#define FAR_NS (UINT64_MAX / 4)

static uint32_t timer_mode(const struct lapic *l)
{
	return lapic_reg(l, LAPIC_LVT_TIMER) & MODE_MASK;
}

static void note_expiry(struct timer *timer)
{
	struct lapic *l = container_of(timer, struct lapic, timer);

	atomic32_store_release(&l->timer_due, 1);
	l->ops->kick(l);
}

void lapic_timer_init(struct lapic *l)
{
	timer_init(&l->timer, note_expiry);
}

void lapic_timer_stop(struct lapic *l)
{
	/* What is pending by the client's or the guest's last setting is no longer wanted. */
	if (l->target)
		timer_disarm(l->timers, &l->timer);
	l->target = 0;
	atomic32_store_relaxed(&l->timer_due, 0);
}

/* Bits 3, 1 and 0: 2, 4 ... 128, 1. */
static uint64_t divisor(const struct lapic *l)
{
	uint32_t divide = lapic_reg(l, LAPIC_DIVIDE);
	unsigned int code = (divide & 3) | (divide & 8) >> 1;

	return 1ull << ((code + 1) & 7);
}

static void start_timer(struct lapic *l, uint64_t ns)
{
	/* 0 is "stopped". */
	l->target = timers_now(l->timers) + ns + !ns;
	timer_arm(l->timers, &l->timer, l->target);
}

static void set_period(struct lapic *l)
{
	l->period = (uint64_t)lapic_reg(l, LAPIC_INITIAL_COUNT) * divisor(l) * BUS_NS;
	if (timer_mode(l) == MODE_PERIODIC && l->period && l->period < MIN_PERIOD_NS)
		l->period = MIN_PERIOD_NS;
}

void lapic_timer_set_lvt(struct lapic *l, uint32_t value)
{
	uint32_t modes = l->has_tsc_deadline ? MODE_MASK : MODE_PERIODIC;
	uint32_t old = timer_mode(l);

	if (!(lapic_reg(l, LAPIC_SVR) & LAPIC_SVR_ENABLED))
		value |= LVT_MASKED;
	lapic_set_reg(l, LAPIC_LVT_TIMER, value & (LVT_TIMER_KNOWN | modes));
	if (timer_mode(l) == old)
		return;
	if (timer_mode(l) == MODE_TSC_DEADLINE || old == MODE_TSC_DEADLINE) {
		lapic_timer_stop(l);
		lapic_set_reg(l, LAPIC_INITIAL_COUNT, 0);
		l->tsc_deadline = 0;
	}
	set_period(l);
}

void lapic_timer_set_count(struct lapic *l, uint32_t value)
{
	if (timer_mode(l) == MODE_TSC_DEADLINE)
		return;
	lapic_timer_stop(l);
	lapic_set_reg(l, LAPIC_INITIAL_COUNT, value);
	set_period(l);
	if (l->period)
		start_timer(l, l->period);
}

/* The count that is left takes as much longer or shorter. */
void lapic_timer_set_divide(struct lapic *l, uint32_t value)
{
	uint32_t count = lapic_timer_count(l);
	uint64_t old = divisor(l);

	lapic_set_reg(l, LAPIC_DIVIDE, value & DIVIDE_KNOWN);
	if (divisor(l) == old)
		return;
	set_period(l);
	if (l->target && timer_mode(l) != MODE_TSC_DEADLINE)
		start_timer(l, count * divisor(l) * BUS_NS);
}

uint32_t lapic_timer_count(struct lapic *l)
{
	uint64_t now = timers_now(l->timers), left;

	if (timer_mode(l) == MODE_TSC_DEADLINE || !l->target || !l->period)
		return 0;
	if (l->target > now)
		left = l->target - now;
	else if (timer_mode(l) == MODE_PERIODIC)
		left = l->period - (now - l->target) % l->period;
	else
		left = 0;
	return (uint32_t)(left / (divisor(l) * BUS_NS));
}

/* The count of 0 of a one-shot timer has expired, and perhaps nobody has seen it. */
void lapic_timer_restart(struct lapic *l, uint32_t count)
{
	uint64_t left = count * divisor(l) * BUS_NS;

	lapic_timer_stop(l);
	set_period(l);
	if (timer_mode(l) == MODE_TSC_DEADLINE)
		lapic_set_tsc_deadline(l, l->tsc_deadline);
	else if (l->period && !left && timer_mode(l) == MODE_PERIODIC)
		start_timer(l, l->period);
	else if (l->period)
		start_timer(l, left < l->period ? left : l->period);
}

uint64_t lapic_get_tsc_deadline(struct lapic *l)
{
	return timer_mode(l) == MODE_TSC_DEADLINE ? l->tsc_deadline : 0;
}

void lapic_set_tsc_deadline(struct lapic *l, uint64_t value)
{
	uint64_t now, ns = 0;

	if (timer_mode(l) != MODE_TSC_DEADLINE)
		return;
	lapic_timer_stop(l);
	l->tsc_deadline = value;
	if (!value)
		return;
	now = l->ops->tsc(l);
	if (value > now)
		ns = l->ops->tsc_to_ns(l, value - now);
	start_timer(l, MIN(ns, FAR_NS));
}

void lapic_poll(struct lapic *l)
{
	uint64_t now;

	if (!atomic32_load_relaxed(&l->timer_due) || !atomic32_xchg(&l->timer_due, 0))
		return;
	now = timers_now(l->timers);
	/* It was set again while the service was on its way, and will be back. */
	if (!l->target || now < l->target)
		return;
	lapic_local_event(l, LAPIC_LVT_TIMER);
	if (timer_mode(l) == MODE_PERIODIC && l->period) {
		l->target += ((now - l->target) / l->period + 1) * l->period;
		timer_arm(l->timers, &l->timer, l->target);
		return;
	}
	l->target = 0;
	l->tsc_deadline = 0;
}
