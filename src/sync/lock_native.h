/* SPDX-License-Identifier: MIT */
/* sync/lock_native.h - locks of the process itself.  For sync/lock.h only. */
#ifndef SYNC_LOCK_NATIVE_H
#define SYNC_LOCK_NATIVE_H

#ifdef UMBRA_DEBUG_CHECKS
void lock_rank_push(enum lock_rank rank);
void lock_rank_pop(enum lock_rank rank);
/* No lock of this rank or a higher one may be held: the caller is about to wait for a thread that
 * may need them. */
void lock_assert_none_from(enum lock_rank rank);
#else
static inline void lock_rank_push(enum lock_rank rank UNUSED)
{
}
static inline void lock_rank_pop(enum lock_rank rank UNUSED)
{
}
static inline void lock_assert_none_from(enum lock_rank rank UNUSED)
{
}
#endif

static inline void mutex_lock(struct mutex *m) ACQUIRES(*m) NO_THREAD_SAFETY
{
	lock_rank_push(m->rank);
	pthread_mutex_lock(&m->native);
}

static inline void mutex_unlock(struct mutex *m) RELEASES(*m) NO_THREAD_SAFETY
{
	pthread_mutex_unlock(&m->native);
	lock_rank_pop(m->rank);
}

static inline void rwlock_rdlock(struct rwlock *l) ACQUIRES_SHARED(*l) NO_THREAD_SAFETY
{
	lock_rank_push(l->rank);
	fair_rdlock(&l->native);
}

static inline void rwlock_rdunlock(struct rwlock *l) RELEASES_SHARED(*l) NO_THREAD_SAFETY
{
	fair_rdunlock(&l->native);
	lock_rank_pop(l->rank);
}

static inline void rwlock_wrlock(struct rwlock *l) ACQUIRES(*l) NO_THREAD_SAFETY
{
	lock_rank_push(l->rank);
	fair_wrlock(&l->native);
}

static inline void rwlock_wrunlock(struct rwlock *l) RELEASES(*l) NO_THREAD_SAFETY
{
	fair_wrunlock(&l->native);
	lock_rank_pop(l->rank);
}

#endif
