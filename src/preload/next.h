/* SPDX-License-Identifier: MIT */
/*
 * preload/next.h - what every file of wrappers needs.  To be included before all else.
 *
 * Each wrapper asks whether the call concerns us; if not, or if it is our own code
 * that calls, it goes on to the next definition of the symbol.
 */
#ifndef PRELOAD_NEXT_H
#define PRELOAD_NEXT_H

/* Meson defines it, and then open is open64: here both must be defined. */
#undef _FILE_OFFSET_BITS

#include <dlfcn.h>
#include <errno.h>

#include "preload/preload.h"

#define EXPORT __attribute__((visibility("default")))

/* The next definition of a symbol.  Found on first use: wrappers run before our
 * constructor has. */
#define NEXT(name)                                                                      \
	({                                                                              \
		static __typeof__(&name) found;                                         \
		__typeof__(&name) next = __atomic_load_n(&found, __ATOMIC_RELAXED);     \
		if (!next) {                                                            \
			next = (__typeof__(&name))dlsym(RTLD_NEXT, #name);              \
			__atomic_store_n(&found, next, __ATOMIC_RELAXED);               \
		}                                                                       \
		next;                                                                   \
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
