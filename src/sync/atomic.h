/* SPDX-License-Identifier: MIT */
/*
 * sync/atomic.h - the only door to shared memory.
 *
 * A shared word is a struct, so that it cannot be read by accident, and every
 * access says its order:
 *
 *   _relaxed   no order        _acquire / _release   as in C11
 *   the rest   full barrier before and after (x86: one locked instruction)
 *
 * There are two implementations of each access: see sync/checked.h.
 */
#ifndef SYNC_ATOMIC_H
#define SYNC_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

#ifdef UMBRA_CHECKED
#include "sync/atomic_checked.h"
#else
#include "sync/atomic_native.h"
#endif

#define DEFINE_ATOMIC(name, type)                                                            \
	struct name {                                                                        \
		type v;                                                                      \
	};                                                                                   \
	static ALWAYS_INLINE type name##_load_relaxed(const struct name *a)                  \
	{                                                                                    \
		return word_load(type, &a->v, __ATOMIC_RELAXED);                             \
	}                                                                                    \
	static ALWAYS_INLINE type name##_load_acquire(const struct name *a)                  \
	{                                                                                    \
		return word_load(type, &a->v, __ATOMIC_ACQUIRE);                             \
	}                                                                                    \
	static ALWAYS_INLINE void name##_store_relaxed(struct name *a, type v)               \
	{                                                                                    \
		word_store(&a->v, v, __ATOMIC_RELAXED);                                      \
	}                                                                                    \
	static ALWAYS_INLINE void name##_store_release(struct name *a, type v)               \
	{                                                                                    \
		word_store(&a->v, v, __ATOMIC_RELEASE);                                      \
	}                                                                                    \
	static ALWAYS_INLINE type name##_xchg(struct name *a, type v)                        \
	{                                                                                    \
		return word_xchg(type, &a->v, v);                                            \
	}                                                                                    \
	/* True if it took place; otherwise *old is set to the contents found. */            \
	static ALWAYS_INLINE bool name##_cmpxchg(struct name *a, type *old, type v)          \
	{                                                                                    \
		return word_cmpxchg(type, &a->v, old, v);                                    \
	}

#define DEFINE_ATOMIC_MATH(name, type)                                                       \
	/* These return the previous contents. */                                            \
	static ALWAYS_INLINE type name##_fetch_add(struct name *a, type v)                   \
	{                                                                                    \
		return word_fetch_add(type, &a->v, v);                                       \
	}                                                                                    \
	static ALWAYS_INLINE type name##_fetch_or(struct name *a, type v)                    \
	{                                                                                    \
		return word_fetch_or(type, &a->v, v);                                        \
	}                                                                                    \
	static ALWAYS_INLINE type name##_fetch_and(struct name *a, type v)                   \
	{                                                                                    \
		return word_fetch_and(type, &a->v, v);                                       \
	}

DEFINE_ATOMIC(atomic32, uint32_t)
DEFINE_ATOMIC_MATH(atomic32, uint32_t)
DEFINE_ATOMIC(atomic64, uint64_t)
DEFINE_ATOMIC_MATH(atomic64, uint64_t)
DEFINE_ATOMIC(atomic_ptr, void *)

/* A counter with one writer: no locked instruction. */
static ALWAYS_INLINE void atomic64_owner_add(struct atomic64 *a, uint64_t n)
{
	word_count(&a->v, n);
}

/*
 * Words of structures that we do not declare (struct kvm_run, the entries of a dirty ring): the
 * client can access them at any moment.  One access each.
 */
static ALWAYS_INLINE uint32_t shared32_load_relaxed(const uint32_t *p)
{
	return word_load(uint32_t, p, __ATOMIC_RELAXED);
}

static ALWAYS_INLINE uint32_t shared32_load_acquire(const uint32_t *p)
{
	return word_load(uint32_t, p, __ATOMIC_ACQUIRE);
}

static ALWAYS_INLINE void shared32_store_relaxed(uint32_t *p, uint32_t v)
{
	word_store(p, v, __ATOMIC_RELAXED);
}

static ALWAYS_INLINE void shared32_store_release(uint32_t *p, uint32_t v)
{
	word_store(p, v, __ATOMIC_RELEASE);
}

/* The kernel's headers and the C library's use different types for 64 bits. */
static ALWAYS_INLINE uint64_t shared64_load_relaxed(const void *p)
{
	return word_load(uint64_t, (const uint64_t *)p, __ATOMIC_RELAXED);
}

static ALWAYS_INLINE void shared64_store_relaxed(void *p, uint64_t v)
{
	word_store((uint64_t *)p, v, __ATOMIC_RELAXED);
}

static ALWAYS_INLINE uint8_t shared8_load_relaxed(const uint8_t *p)
{
	return word_load(uint8_t, p, __ATOMIC_RELAXED);
}

#endif
