/* SPDX-License-Identifier: MIT */
#include "sync/wait.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void wait_on(struct atomic32 *word, uint32_t value)
{
	syscall(SYS_futex, &word->v, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

void wait_on_for(struct atomic32 *word, uint32_t value, uint32_t microseconds)
{
	struct timespec t = {
		.tv_sec = microseconds / 1000000,
		.tv_nsec = (long)(microseconds % 1000000) * 1000,
	};

	syscall(SYS_futex, &word->v, FUTEX_WAIT_PRIVATE, value, &t, NULL, 0);
}

void wait_on_until(struct atomic32 *word, uint32_t value, uint64_t ns)
{
	struct timespec t = {
		.tv_sec = (time_t)(ns / 1000000000),
		.tv_nsec = (long)(ns % 1000000000),
	};

	syscall(SYS_futex, &word->v, FUTEX_WAIT_BITSET_PRIVATE, value, &t, NULL,
		FUTEX_BITSET_MATCH_ANY);
}

void wait_wake_all(struct atomic32 *word)
{
	syscall(SYS_futex, &word->v, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
