/* SPDX-License-Identifier: MIT */
/*
 * sync/window_checked.h - windows under the checker's scheduler.  For sync/window.h only.
 *
 * The access begins with a scheduling point.  If the thread's handler has run there, the window
 * restarts: the closure is the code between begin and again.
 */
#ifndef SYNC_WINDOW_CHECKED_H
#define SYNC_WINDOW_CHECKED_H

#include <emmintrin.h>

#include "sync/checked.h"

#define WINDOW_CLOSURE(is_current, access)           \
	bool ok_;                                    \
						     \
	do {                                         \
		checked_window_begin();              \
		ok_ = (is_current) && (access);      \
	} while (checked_window_again());            \
	return ok_

#define WINDOW_DEFINE(bits)                                                                  \
	static inline bool window_load##bits(const struct epoch *e, uint64_t epoch,          \
					     const void *from, uint##bits##_t *to)           \
	{                                                                                    \
		WINDOW_CLOSURE(e->number == epoch, guarded_load##bits(from, to));            \
	}                                                                                    \
	static inline bool window_store##bits(const struct epoch *e, uint64_t epoch,         \
					      void *to, uint##bits##_t value)                \
	{                                                                                    \
		WINDOW_CLOSURE(e->number == epoch, guarded_store##bits(to, value));          \
	}                                                                                    \
	static inline bool window_cmpxchg##bits(const struct epoch *e, uint64_t epoch,       \
						void *at, uint##bits##_t *old,               \
						uint##bits##_t value)                        \
	{                                                                                    \
		WINDOW_CLOSURE(e->number == epoch, guarded_cmpxchg##bits(at, old, value));   \
	}                                                                                    \
	static inline bool window_hit_load_at##bits(                                         \
		const uint64_t *context, const uint64_t *tag, const uint64_t *addend,        \
		uint64_t page, uint64_t gva, void **host, uint##bits##_t *to)                \
	{                                                                                    \
		WINDOW_CLOSURE((page | *context) == *tag,                                    \
			       (*host = (void *)(uintptr_t)(gva + *addend),                  \
				guarded_load##bits(*host, to)));                             \
	}                                                                                    \
	static inline bool window_hit_store##bits(                                           \
		const uint64_t *context, const uint64_t *tag, const uint64_t *addend,        \
		uint64_t page, uint64_t gva, uint##bits##_t value)                           \
	{                                                                                    \
		WINDOW_CLOSURE((page | *context) == *tag,                                    \
			       guarded_store##bits((void *)(uintptr_t)(gva + *addend), value)); \
	}

WINDOW_DEFINE(8)
WINDOW_DEFINE(16)
WINDOW_DEFINE(32)
WINDOW_DEFINE(64)

static inline bool window_copy(const struct epoch *e, uint64_t epoch, void *to, const void *from,
			       size_t bytes)
{
	WINDOW_CLOSURE(e->number == epoch, guarded_copy(to, from, bytes));
}

static inline bool window_load128(const struct epoch *e, uint64_t epoch, const void *from,
				  __m128i *to)
{
	return window_copy(e, epoch, to, from, sizeof(*to));
}

static inline bool window_store128(const struct epoch *e, uint64_t epoch, void *to, __m128i value)
{
	return window_copy(e, epoch, to, &value, sizeof(value));
}

static inline bool window_touch_write(const struct epoch *e, uint64_t epoch, void *at)
{
	WINDOW_CLOSURE(e->number == epoch, guarded_touch_write(at));
}

#endif
