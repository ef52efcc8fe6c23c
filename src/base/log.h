/* SPDX-License-Identifier: MIT */
/*
 * base/log.h - one line of text to whoever listens.
 *
 * The library itself never prints: without a listener a line goes nowhere.
 * Levels are those of syslog.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <syslog.h>

#include "base/compiler.h"

typedef void (*log_sink_fn)(int level, const char *line);

/* Lines with a level above @max_level are dropped.  Any thread, any time. */
void log_set_sink(log_sink_fn sink, int max_level);
void log_emit(int level, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
