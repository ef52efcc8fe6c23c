/* SPDX-License-Identifier: MIT */
/* sync/atomic_checked.h - shared words under the checker's scheduler.  For sync/atomic.h only. */
#ifndef SYNC_ATOMIC_CHECKED_H
#define SYNC_ATOMIC_CHECKED_H

#include "sync/checked.h"

#define word_load(type, p, order) ((type)(uintptr_t)checked_load(p, sizeof(type), order))
#define word_store(p, v, order) checked_store(p, sizeof(*(p)), (uintptr_t)(v), order)
#define word_xchg(type, p, v) \
	((type)(uintptr_t)checked_rmw(p, sizeof(type), CHECKED_XCHG, (uintptr_t)(v)))
#define word_cmpxchg(type, p, old, v)                                            \
	({                                                                       \
		uint64_t seen_ = (uintptr_t)*(old);                              \
		bool done_ = checked_cmpxchg(p, sizeof(type), &seen_, (uintptr_t)(v)); \
		*(old) = (type)(uintptr_t)seen_;                                 \
		done_;                                                           \
	})
#define word_fetch_add(type, p, v) ((type)checked_rmw(p, sizeof(type), CHECKED_ADD, v))
#define word_fetch_or(type, p, v) ((type)checked_rmw(p, sizeof(type), CHECKED_OR, v))
#define word_fetch_and(type, p, v) ((type)checked_rmw(p, sizeof(type), CHECKED_AND, v))
#define word_count(p, n) checked_count(p, n)

static ALWAYS_INLINE void smp_mb(void)
{
	checked_barrier();
}

/* Loads are not reordered with loads. */
static ALWAYS_INLINE void smp_rmb(void)
{
}

static ALWAYS_INLINE void smp_wmb(void)
{
	checked_store_barrier();
}

/* Handlers run at points only. */
static ALWAYS_INLINE void owner_barrier(void)
{
}

static ALWAYS_INLINE bool owner_swap(uint64_t *at, uint64_t *old, uint64_t value)
{
	if (*at != *old) {
		*old = *at;
		return false;
	}
	*at = value;
	return true;
}

static ALWAYS_INLINE void cpu_relax(void)
{
	checked_relax();
}

#endif
