/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static log_sink_fn current_sink;
static int current_max = LOG_WARNING;

void log_set_sink(log_sink_fn sink, int max_level)
{
	__atomic_store_n(&current_max, max_level, __ATOMIC_RELAXED);
	__atomic_store_n(&current_sink, sink, __ATOMIC_RELEASE);
}

bool log_has(int level)
{
	return __atomic_load_n(&current_sink, __ATOMIC_ACQUIRE) &&
	       level <= __atomic_load_n(&current_max, __ATOMIC_RELAXED);
}

int log_level(const char *name)
{
	static const char *const names[] = {
		[LOG_NOTHING] = "none", [LOG_ERR] = "error", [LOG_WARNING] = "warning",
		[LOG_INFO] = "info", [LOG_DEBUG] = "debug",
	};

	for (int i = LOG_NOTHING; i <= LOG_DEBUG; i++)
		if ((names[i] && strcmp(names[i], name) == 0) ||
		    (name[0] == '0' + i && !name[1]))
			return i;
	return -1;
}

void log_emit(int level, const char *format, ...)
{
	log_sink_fn sink = __atomic_load_n(&current_sink, __ATOMIC_ACQUIRE);
	char line[512];
	va_list args;

	if (!log_has(level) || !sink)
		return;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	sink(level, line);
}
