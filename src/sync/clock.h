/* SPDX-License-Identifier: MIT */
/* sync/clock.h - the host's clocks. mem/ and mmu/ use none. */
#ifndef SYNC_CLOCK_H
#define SYNC_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

static inline uint64_t clock_tsc(void)
{
	return __builtin_ia32_rdtsc();
}

/* Its frequency in kHz; measured against the other clock at the first call, which takes a few
 * milliseconds.  Any thread. */
uint32_t clock_tsc_khz(void);

static inline uint64_t clock_monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* For how long this thread could have run and had no processor.  False: the host does not say,
 * or a filter may forbid to ask.  It takes a few microseconds, and opens a file. */
bool clock_run_delay_ns(uint64_t *ns);

static inline uint64_t clock_realtime_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif
