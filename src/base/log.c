/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static log_sink_fn current_sink;
static int current_max = LOG_WARNING;

void log_set_sink(log_sink_fn sink, int max_level)
{
	__atomic_store_n(&current_max, max_level, __ATOMIC_RELAXED);
	__atomic_store_n(&current_sink, sink, __ATOMIC_RELEASE);
}

void log_emit(int level, const char *format, ...)
{
	log_sink_fn sink = __atomic_load_n(&current_sink, __ATOMIC_ACQUIRE);
	char line[512];
	va_list args;

	if (!sink || level > __atomic_load_n(&current_max, __ATOMIC_RELAXED))
		return;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	sink(level, line);
}
