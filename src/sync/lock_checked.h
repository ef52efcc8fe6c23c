/* SPDX-License-Identifier: MIT */
/* sync/lock_checked.h - locks under the checker's scheduler.  For sync/lock.h only. */
#ifndef SYNC_LOCK_CHECKED_H
#define SYNC_LOCK_CHECKED_H

static inline void lock_assert_none_from(enum lock_rank rank)
{
	checked_assert_none_from(rank);
}

static inline void lock_assert_held_as(const void *lock, enum lock_rank rank, enum lock_mode mode)
{
	checked_assert_held(lock, rank, mode == LOCKED_FOR_WRITE);
}

static inline void mutex_lock(struct mutex *m) ACQUIRES(*m) NO_THREAD_SAFETY
{
	checked_mutex_lock(m);
}

static inline void mutex_unlock(struct mutex *m) RELEASES(*m) NO_THREAD_SAFETY
{
	checked_mutex_unlock(m);
}

static inline void rwlock_rdlock(struct rwlock *l) ACQUIRES_SHARED(*l) NO_THREAD_SAFETY
{
	checked_rwlock_rdlock(l);
}

static inline void rwlock_rdunlock(struct rwlock *l) RELEASES_SHARED(*l) NO_THREAD_SAFETY
{
	checked_rwlock_rdunlock(l);
}

static inline void rwlock_wrlock(struct rwlock *l) ACQUIRES(*l) NO_THREAD_SAFETY
{
	checked_rwlock_wrlock(l);
}

static inline void rwlock_wrunlock(struct rwlock *l) RELEASES(*l) NO_THREAD_SAFETY
{
	checked_rwlock_wrunlock(l);
}

#endif
