/* SPDX-License-Identifier: MIT */
/*
 * base/bug.h - assertions.
 *
 * bug_on() is for what only a mistake of ours can cause, and stays in release
 * builds; debug_on() is for checks that cost something (-Ddebug_checks=true).
 * What a guest or a caller can cause is never a bug_on(): it is an errno, an
 * exit reason or a guest exception.
 */
#ifndef BASE_BUG_H
#define BASE_BUG_H

#include "base/compiler.h"

_Noreturn void bug(const char *file, int line, const char *what);

#define bug_on(cond)                                      \
	do {                                              \
		if (unlikely(cond))                       \
			bug(__FILE__, __LINE__, #cond);   \
	} while (0)

#ifdef UMBRA_DEBUG_CHECKS
#define debug_on(cond) bug_on(cond)
#else
#define debug_on(cond) ((void)sizeof(!(cond)))
#endif

#endif
