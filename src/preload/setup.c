/* SPDX-License-Identifier: MIT */
/*
 * preload/setup.c - what `umbra run` says to the library it preloads:
 *
 *	UMBRA_MMU=tdp|shadow   UMBRA_FLUSH=mmu-writable|writable
 *	UMBRA_LOG=LEVEL   UMBRA_STATS=FILE ("-": stderr)
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "base/compiler.h"
#include "kvm/stats.h"
#include "preload/preload.h"
#include "sync/thread.h"

/* Before our constructor a program may open the device from one of its own; where
 * that is too soon for our code to run (see meson.build), it may not. */
#ifdef UMBRA_BEGINS_LATE
static bool off = true;
#else
static bool off;
#endif

bool preload_is_off(void)
{
	return thread_is_in_library || __atomic_load_n(&off, __ATOMIC_RELAXED);
}

/* One write a line, so that lines of different threads do not mix. */
static void log_to_stderr(int level UNUSED, const char *line)
{
	char text[600] = "umbra: ";
	size_t n;

	strncat(text, line, sizeof(text) - 16);
	strcat(text, "\n");
	n = strlen(text);
	if (write(STDERR_FILENO, text, n) != (ssize_t)n)
		return;
}

__attribute__((constructor)) static void begin(void)
{
	const char *level = getenv("UMBRA_LOG"), *mmu = getenv("UMBRA_MMU");
	const char *flush = getenv("UMBRA_FLUSH");

	__atomic_store_n(&off, false, __ATOMIC_RELAXED);
	if (level)
		umbra_set_log(log_to_stderr, atoi(level));
	if (mmu && strcmp(mmu, "shadow") == 0)
		umbra_set_mmu(UMBRA_MMU_SHADOW);
	if (flush && strcmp(flush, "writable") == 0)
		umbra_set_flush_policy(UMBRA_FLUSH_IF_WRITABLE);
}

__attribute__((destructor)) static void end(void)
{
	const char *file = getenv("UMBRA_STATS");
	int fd;

	thread_enter_library();
	if (file && stats_any()) {
		if (strcmp(file, "-") == 0)
			fd = dup(STDERR_FILENO);
		else
			fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
		if (fd >= 0) {
			umbra_stats_write(fd);
			close(fd);
		}
	}
	/* Libraries below us are about to end: their calls are not the program's. */
	__atomic_store_n(&off, true, __ATOMIC_RELAXED);
}
