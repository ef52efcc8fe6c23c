/* SPDX-License-Identifier: MIT */
#include "sync/clock.h"

#include "sync/thread.h"

#define MEASURE_NS 5000000u

struct instant {
	uint64_t tsc, ns;
};

/* Reads both clocks together: of a few readings the one that took the shortest time. */
static struct instant read_both(void)
{
	uint64_t shortest = UINT64_MAX;
	struct instant best = { 0, 0 };

	for (int i = 0; i < 16; i++) {
		uint64_t before = clock_tsc(), ns = clock_monotonic_ns(), after = clock_tsc();

		if (after - before < shortest) {
			shortest = after - before;
			best = (struct instant){ before + shortest / 2, ns };
		}
	}
	return best;
}

static struct thread_once once;
static uint32_t tsc_khz;

static void measure(void)
{
	struct instant start = read_both(), end;

	while (clock_monotonic_ns() - start.ns < MEASURE_NS)
		;
	end = read_both();
	tsc_khz = (uint32_t)((end.tsc - start.tsc) * 1000000u / (end.ns - start.ns));
}

uint32_t clock_tsc_khz(void)
{
	thread_run_once(&once, measure);
	return tsc_khz;
}
