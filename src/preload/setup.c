/* SPDX-License-Identifier: MIT */
/*
 * preload/setup.c - what `umbra run` says to the library it preloads:
 *
 *	UMBRA_MMU=tdp|shadow   UMBRA_FLUSH=mmu-writable|writable
 *	UMBRA_LOG=LEVEL   UMBRA_STATS=FILE ("-": stderr)   UMBRA_REPORT: report.c
 */
#include "preload/next.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/log.h"
#include "kvm/process.h"
#include "kvm/stats.h"
#include "preload/preload.h"
#include "preload/signals/defer.h"
#include "sync/thread.h"

/* A program may open the device from a constructor that runs before ours, except where that is
 * too early for our code to run (see meson.build). */
#ifdef UMBRA_BEGINS_LATE
static bool off = true;
#else
static bool off;
#endif

bool preload_is_off(void)
{
	return thread_is_in_library || __atomic_load_n(&off, __ATOMIC_RELAXED);
}

/* One write per line, so that lines of different threads do not mix. */
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

/* One of two words; any other value is warned about and counts as the first. */
static bool is_second(const char *variable, const char *first, const char *second)
{
	const char *value = getenv(variable);

	if (!value || !*value || strcmp(value, first) == 0)
		return false;
	if (strcmp(value, second) == 0)
		return true;
	log_emit(LOG_WARNING, "%s=%s: the choices are %s and %s; it is %s", variable, value, first,
		 second, first);
	return false;
}

static void begin_log(void)
{
	const char *value = getenv("UMBRA_LOG");
	int level = value && *value ? log_level(value) : LOG_WARNING;

	umbra_set_log(log_to_stderr, level < 0 ? LOG_WARNING : level);
	if (level < 0)
		log_emit(LOG_WARNING, "UMBRA_LOG=%s: the levels are %s; it is warning", value,
			 LOG_LEVEL_NAMES);
}

static bool stats_failed;

/* Last of all: after the program's output, and its own failure takes precedence. */
static void fail_without_stats(int status, void *unused UNUSED)
{
	if (!stats_failed || status)
		return;
	fflush(NULL);
	_exit(EXIT_FAILURE);
}

__attribute__((constructor)) static void begin(void)
{
	bool was = thread_enter_library();

	next_begin();
	__atomic_store_n(&off, false, __ATOMIC_RELAXED);
	/* ThreadSanitizer defers signals too, in ways of its own. */
#ifndef UMBRA_BEGINS_LATE
	defer_begin();
#endif
	begin_log();
	if (thread_around_fork(NULL, NULL, process_unlock_child))
		log_emit(LOG_ERR, "no memory to prepare for fork()");
	if (is_second("UMBRA_MMU", "tdp", "shadow"))
		umbra_set_mmu(UMBRA_MMU_SHADOW);
	if (is_second("UMBRA_FLUSH", "mmu-writable", "writable"))
		umbra_set_flush_policy(UMBRA_FLUSH_IF_WRITABLE);
	if (getenv("UMBRA_STATS"))
		on_exit(fail_without_stats, NULL);
	report_begin();
	thread_leave_library(was);
}

static void write_stats(const char *file)
{
	int fd, err;

	if (strcmp(file, "-") == 0)
		fd = dup(STDERR_FILENO);
	else
		fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	err = fd < 0 ? -errno : umbra_stats_write(fd);
	if (fd >= 0)
		close(fd);
	if (!err)
		return;
	log_emit(LOG_ERR, "statistics: %s: %s", file, strerror(-err));
	stats_failed = true;
}

__attribute__((destructor)) static void end(void)
{
	const char *file = getenv("UMBRA_STATS");
	bool was = thread_enter_library();

	if (file && *file && stats_any())
		write_stats(file);
	/*
	 * Other threads, and their calls, go on until the process is gone.  This thread only runs
	 * the destructors of other libraries.
	 */
	thread_leave_library(was);
}
