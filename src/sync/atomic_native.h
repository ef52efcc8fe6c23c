/* SPDX-License-Identifier: MIT */
/* sync/atomic_native.h - shared words on the CPU itself.  For sync/atomic.h only. */
#ifndef SYNC_ATOMIC_NATIVE_H
#define SYNC_ATOMIC_NATIVE_H

#define word_load(type, p, order) ((type)__atomic_load_n(p, order))
#define word_store(p, v, order) __atomic_store_n(p, v, order)
#define word_xchg(type, p, v) ((type)__atomic_exchange_n(p, v, __ATOMIC_SEQ_CST))
#define word_cmpxchg(type, p, old, v) \
	__atomic_compare_exchange_n(p, old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#define word_fetch_add(type, p, v) ((type)__atomic_fetch_add(p, v, __ATOMIC_SEQ_CST))
#define word_fetch_or(type, p, v) ((type)__atomic_fetch_or(p, v, __ATOMIC_SEQ_CST))
#define word_fetch_and(type, p, v) ((type)__atomic_fetch_and(p, v, __ATOMIC_SEQ_CST))
#define word_count(p, n) \
	__atomic_store_n(p, __atomic_load_n(p, __ATOMIC_RELAXED) + (n), __ATOMIC_RELAXED)

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

/* Orders a thread and its signal handlers: for the compiler only. */
static ALWAYS_INLINE void owner_barrier(void)
{
	__asm__ __volatile__("" ::: "memory");
}

/*
 * Compare and swap of a word that only one thread and its signal handlers change: one
 * instruction, so that a handler runs before or after it; not atomic towards other threads.  True
 * if it took place; otherwise *old is set to the contents found.
 */
static ALWAYS_INLINE bool owner_swap(uint64_t *at, uint64_t *old, uint64_t value)
{
	uint64_t seen = *old;
	bool done;

	__asm__ __volatile__("cmpxchgq %[value], %[at]"
			     : [at] "+m"(*at), "+a"(seen), "=@ccz"(done)
			     : [value] "r"(value)
			     : "memory");
	*old = seen;
	return done;
}

static ALWAYS_INLINE void cpu_relax(void)
{
	__asm__ __volatile__("pause");
}

#endif
