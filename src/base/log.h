/* SPDX-License-Identifier: MIT */
/*
 * base/log.h - one line of text to a listener.
 *
 * The library itself never prints: without a listener a line is dropped.  Levels are those of
 * syslog.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <syslog.h>

#include "base/compiler.h"

typedef void (*log_sink_fn)(int level, const char *line);

/* Lines with a level above @max_level are dropped.  Any thread, any time. */
void log_set_sink(log_sink_fn sink, int max_level);
/* True if a line of this level would be delivered. */
bool log_has(int level);
void log_emit(int level, const char *format, ...) PRINTF_LIKE(2, 3);

/*
 * A level by its name (none, error, warning, info, debug) or number; -1: neither.
 * LOG_NOTHING is below every line's.
 */
#define LOG_NOTHING 0
#define LOG_LEVEL_NAMES "none, error, warning, info and debug"
int log_level(const char *name);

#endif
