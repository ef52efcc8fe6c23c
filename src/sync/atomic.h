/* SPDX-License-Identifier: MIT */
/*
 * sync/atomic.h - the only door to shared memory.
 *
 * A shared word is a struct, so that it cannot be read by accident, and every
 * access says its order:
 *
 *   _relaxed   no order        _acquire / _release   as in C11
 *   the rest   full barrier before and after (x86: one locked instruction)
 */
#ifndef SYNC_ATOMIC_H
#define SYNC_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

#define DEFINE_ATOMIC(name, type)                                                            \
	struct name {                                                                        \
		type v;                                                                      \
	};                                                                                   \
	static ALWAYS_INLINE type name##_load_relaxed(const struct name *a)                  \
	{                                                                                    \
		return __atomic_load_n(&a->v, __ATOMIC_RELAXED);                             \
	}                                                                                    \
	static ALWAYS_INLINE type name##_load_acquire(const struct name *a)                  \
	{                                                                                    \
		return __atomic_load_n(&a->v, __ATOMIC_ACQUIRE);                             \
	}                                                                                    \
	static ALWAYS_INLINE void name##_store_relaxed(struct name *a, type v)               \
	{                                                                                    \
		__atomic_store_n(&a->v, v, __ATOMIC_RELAXED);                                \
	}                                                                                    \
	static ALWAYS_INLINE void name##_store_release(struct name *a, type v)               \
	{                                                                                    \
		__atomic_store_n(&a->v, v, __ATOMIC_RELEASE);                                \
	}                                                                                    \
	static ALWAYS_INLINE type name##_xchg(struct name *a, type v)                        \
	{                                                                                    \
		return __atomic_exchange_n(&a->v, v, __ATOMIC_SEQ_CST);                      \
	}                                                                                    \
	/* True if it took place; else *old becomes what was there. */                       \
	static ALWAYS_INLINE bool name##_cmpxchg(struct name *a, type *old, type v)          \
	{                                                                                    \
		return __atomic_compare_exchange_n(&a->v, old, v, false, __ATOMIC_SEQ_CST,   \
						   __ATOMIC_SEQ_CST);                        \
	}

#define DEFINE_ATOMIC_MATH(name, type)                                                       \
	/* These return what was there before. */                                            \
	static ALWAYS_INLINE type name##_fetch_add(struct name *a, type v)                   \
	{                                                                                    \
		return __atomic_fetch_add(&a->v, v, __ATOMIC_SEQ_CST);                       \
	}                                                                                    \
	static ALWAYS_INLINE type name##_fetch_or(struct name *a, type v)                    \
	{                                                                                    \
		return __atomic_fetch_or(&a->v, v, __ATOMIC_SEQ_CST);                        \
	}                                                                                    \
	static ALWAYS_INLINE type name##_fetch_and(struct name *a, type v)                   \
	{                                                                                    \
		return __atomic_fetch_and(&a->v, v, __ATOMIC_SEQ_CST);                       \
	}

DEFINE_ATOMIC(atomic32, uint32_t)
DEFINE_ATOMIC_MATH(atomic32, uint32_t)
DEFINE_ATOMIC(atomic64, uint64_t)
DEFINE_ATOMIC_MATH(atomic64, uint64_t)
DEFINE_ATOMIC(atomic_ptr, void *)

/* A counter with one writer: no locked instruction. */
static ALWAYS_INLINE void atomic64_owner_add(struct atomic64 *a, uint64_t n)
{
	atomic64_store_relaxed(a, atomic64_load_relaxed(a) + n);
}

/* Raises *a to at least v. */
static inline void atomic64_raise(struct atomic64 *a, uint64_t v)
{
	uint64_t old = atomic64_load_relaxed(a);

	while (old < v && !atomic64_cmpxchg(a, &old, v))
		;
}

/*
 * Words of structures that are not ours to declare (struct kvm_run, the entries of
 * a dirty ring): the other side is the client, at any moment.  One access each.
 */
static ALWAYS_INLINE uint32_t shared32_load_relaxed(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static ALWAYS_INLINE uint32_t shared32_load_acquire(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static ALWAYS_INLINE void shared32_store_relaxed(uint32_t *p, uint32_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
}

static ALWAYS_INLINE void shared32_store_release(uint32_t *p, uint32_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

/* The kernel's headers spell 64 bits otherwise than the C library's. */
static ALWAYS_INLINE uint64_t shared64_load_relaxed(const void *p)
{
	return __atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED);
}

static ALWAYS_INLINE void shared64_store_relaxed(void *p, uint64_t v)
{
	__atomic_store_n((uint64_t *)p, v, __ATOMIC_RELAXED);
}

static ALWAYS_INLINE uint8_t shared8_load_relaxed(const uint8_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

/* Full barrier.  A locked instruction on the stack is cheaper than mfence. */
static ALWAYS_INLINE void smp_mb(void)
{
	__asm__ __volatile__("lock addl $0, -4(%%rsp)" ::: "memory", "cc");
}

/* Orders loads with loads, stores with stores: on x86 for the compiler only. */
static ALWAYS_INLINE void smp_rmb(void)
{
	__asm__ __volatile__("" ::: "memory");
}

static ALWAYS_INLINE void smp_wmb(void)
{
	__asm__ __volatile__("" ::: "memory");
}

static ALWAYS_INLINE void cpu_relax(void)
{
	__asm__ __volatile__("pause");
}

#endif
