/* SPDX-License-Identifier: MIT */
#include "fixture.h"

struct world w;

static uint64_t test_now(struct timers *t)
{
	(void)t;
	return w.now;
}

static void count_kick(struct lapic *l)
{
	w.kicks[l - w.lapic]++;
}

static void note_eoi(struct lapic *l, uint8_t vector, bool level)
{
	(void)l;
	w.n_eois++;
	w.eoi_vector = vector;
	w.eoi_level = level;
}

/* Two ticks a nanosecond. */
static uint64_t test_tsc(struct lapic *l)
{
	(void)l;
	return w.now * 2;
}

static uint64_t test_tsc_to_ns(struct lapic *l, uint64_t ticks)
{
	(void)l;
	return ticks / 2;
}

static const struct lapic_ops ops = {
	.kick = count_kick,
	.eoi = note_eoi,
	.tsc = test_tsc,
	.tsc_to_ns = test_tsc_to_ns,
};

int world_setup(void **state)
{
	memset(&w, 0, sizeof(w));
	w.now = 1000000000;
	timers_init(&w.timers);
	w.timers.now = test_now;
	lapics_init(&w.all, w.room, N_LAPICS);
	for (uint32_t i = 0; i < N_LAPICS; i++) {
		lapic_init(&w.lapic[i], &w.all, &w.timers, &ops, i, i == 0);
		assert_true(lapics_add(&w.all, &w.lapic[i]));
		world_write(&w.lapic[i], LAPIC_SVR, 0x1ff);
	}
	*state = &w;
	return 0;
}

int world_teardown(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < N_LAPICS; i++)
		lapic_destroy(&w.lapic[i]);
	timers_destroy(&w.timers);
	return 0;
}

void world_pass(uint64_t ns)
{
	w.now += ns;
	timers_expire(&w.timers, w.now);
}

uint32_t world_read(struct lapic *l, unsigned int offset)
{
	uint32_t value = 0;

	assert_true(lapic_read(l, LAPIC_BASE_DEFAULT + offset, &value, sizeof(value)));
	return value;
}

void world_write(struct lapic *l, unsigned int offset, uint32_t value)
{
	assert_true(lapic_write(l, LAPIC_BASE_DEFAULT + offset, &value, sizeof(value)));
}

int world_vector(struct lapic *l)
{
	lapic_poll(l);
	return lapic_pending_vector(l);
}
