/* SPDX-License-Identifier: MIT */
/*
 * Accesses to guest memory, as accesses to the simulated host's frames.  In the place of
 * src/base/guarded.h, for what mem/ and mmu/ use of it.
 */
#ifndef CHECK_SHIM_BASE_GUARDED_H
#define CHECK_SHIM_BASE_GUARDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

/*
 * Points of the schedule.  @at is in a frame, by a translation of ours: if the host has
 * taken it back that is a failure.  Or it is an address of the host process: then the
 * host translates, and false means that it has no page there.
 */
bool guest_memory_load(const void *at, unsigned int bytes, uint64_t *value);
bool guest_memory_store(void *at, unsigned int bytes, uint64_t value);
/* *old becomes what was there. */
bool guest_memory_cmpxchg(void *at, unsigned int bytes, uint64_t *old, uint64_t value);
bool guest_memory_copy(void *to, const void *from, size_t bytes);

/* Only whether the host lets it be written. */
bool guest_memory_touch(void *at, bool write);

static inline bool guarded_touch_write(void *at)
{
	return guest_memory_touch(at, true);
}

static inline bool guarded_touch_read(const void *at)
{
	return guest_memory_touch((void *)(uintptr_t)at, false);
}

#define GUARDED_CHECKED(bits)                                                                \
	static inline bool guarded_load##bits(const void *from, uint##bits##_t *to)          \
	{                                                                                    \
		uint64_t value;                                                              \
		bool ok = guest_memory_load(from, bits / 8, &value);                         \
		if (ok)                                                                      \
			*to = (uint##bits##_t)value;                                         \
		return ok;                                                                   \
	}                                                                                    \
	static inline bool guarded_store##bits(void *to, uint##bits##_t value)               \
	{                                                                                    \
		return guest_memory_store(to, bits / 8, value);                              \
	}                                                                                    \
	static inline bool guarded_cmpxchg##bits(void *at, uint##bits##_t *old,              \
						 uint##bits##_t value)                       \
	{                                                                                    \
		uint64_t seen = *old;                                                        \
		bool ok = guest_memory_cmpxchg(at, bits / 8, &seen, value);                  \
		*old = (uint##bits##_t)seen;                                                 \
		return ok;                                                                   \
	}

GUARDED_CHECKED(8)
GUARDED_CHECKED(16)
GUARDED_CHECKED(32)
GUARDED_CHECKED(64)

static inline bool guarded_copy(void *to, const void *from, size_t bytes)
{
	return guest_memory_copy(to, from, bytes);
}

#endif
