/* SPDX-License-Identifier: MIT */
#include "sync/clock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

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

/* Two numbers of ns: for how long it has run, for how long it has waited. */
bool clock_run_delay_ns(uint64_t *ns)
{
	char text[64], *end;
	long n;
	int fd;

	if (thread_is_filtered())
		return false;
	fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/thread-self/schedstat",
			  O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = syscall(SYS_read, fd, text, sizeof(text) - 1);
	syscall(SYS_close, fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	/* Where nothing is counted, both are 0. */
	if (!strtoull(text, &end, 10) || *end != ' ')
		return false;
	*ns = strtoull(end, NULL, 10);
	return true;
}
