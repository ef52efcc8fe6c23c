/* SPDX-License-Identifier: MIT */
/*
 * preload/next.h - what every file of wrappers needs.  Include it first.
 *
 * Each wrapper tests whether the call concerns us; if not, or if our own code makes it, it calls
 * the next definition of the symbol.
 */
#ifndef PRELOAD_NEXT_H
#define PRELOAD_NEXT_H

/* Meson defines it, and then open is open64: here both must be defined. */
#undef _FILE_OFFSET_BITS

#include <errno.h>

#include "preload/preload.h"

#define EXPORT __attribute__((visibility("default")))

/* A symbol and its next definition: NULL before it is looked up, or if there is none. */
struct next_symbol {
	const char *name;
	void *found;
};

/* Looks up all of them, from the constructor: the linker has locks, and a thread that is
 * cancelled, or jumps out of a handler, during a lookup never releases them. */
void next_begin(void);
/* Looks up one, for a wrapper that runs before that. */
void *next_find(struct next_symbol *symbol);

#define NEXT(name)                                                                           \
	({                                                                                   \
		static struct next_symbol symbol_ __attribute__((section("umbra_next"), used)) = { \
			#name, NULL                                                          \
		};                                                                           \
		void *next_ = __atomic_load_n(&symbol_.found, __ATOMIC_RELAXED);             \
		(__typeof__(&name))(next_ ? next_ : next_find(&symbol_));                    \
	})

/* The API's result as the C library gives it. */
static inline int as_libc(long result)
{
	if (result >= 0)
		return (int)result;
	errno = (int)-result;
	return -1;
}

#endif
