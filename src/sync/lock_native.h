/* SPDX-License-Identifier: MIT */
/* sync/lock_native.h - locks of the process itself.  For sync/lock.h only. */
#ifndef SYNC_LOCK_NATIVE_H
#define SYNC_LOCK_NATIVE_H

#ifdef UMBRA_DEBUG_CHECKS
void lock_note_take(const void *lock, enum lock_rank rank, enum lock_mode mode);
void lock_note_drop(const void *lock, enum lock_rank rank);
void lock_assert_held_as(const void *lock, enum lock_rank rank, enum lock_mode mode);
/* No lock of this rank or a higher one may be held: the caller is about to wait for a thread that
 * may need them. */
void lock_assert_none_from(enum lock_rank rank);
/* At the end of a call of the API, whose locks are its own. */
void lock_assert_none(void);
/* In between the thread may take locks of these ranks only (RANK_BIT()). */
void lock_watch_begin(void);
void lock_watch_end(unsigned int allowed);
#else
static inline void lock_note_take(const void *lock UNUSED, enum lock_rank rank UNUSED,
				  enum lock_mode mode UNUSED)
{
}
static inline void lock_note_drop(const void *lock UNUSED, enum lock_rank rank UNUSED)
{
}
static inline void lock_assert_held_as(const void *lock UNUSED, enum lock_rank rank UNUSED,
				       enum lock_mode mode UNUSED)
{
}
static inline void lock_assert_none_from(enum lock_rank rank UNUSED)
{
}
static inline void lock_assert_none(void)
{
}
static inline void lock_watch_begin(void)
{
}
static inline void lock_watch_end(unsigned int allowed UNUSED)
{
}
#endif

static inline void mutex_lock(struct mutex *m) ACQUIRES(*m) NO_THREAD_SAFETY
{
	lock_note_take(m, m->rank, LOCKED_FOR_WRITE);
	pthread_mutex_lock(&m->native);
}

static inline void mutex_unlock(struct mutex *m) RELEASES(*m) NO_THREAD_SAFETY
{
	lock_note_drop(m, m->rank);
	pthread_mutex_unlock(&m->native);
}

static inline void rwlock_rdlock(struct rwlock *l) ACQUIRES_SHARED(*l) NO_THREAD_SAFETY
{
	lock_note_take(l, l->rank, LOCKED_FOR_READ);
	fair_rdlock(&l->native);
}

static inline void rwlock_rdunlock(struct rwlock *l) RELEASES_SHARED(*l) NO_THREAD_SAFETY
{
	lock_note_drop(l, l->rank);
	fair_rdunlock(&l->native);
}

static inline void rwlock_wrlock(struct rwlock *l) ACQUIRES(*l) NO_THREAD_SAFETY
{
	lock_note_take(l, l->rank, LOCKED_FOR_WRITE);
	fair_wrlock(&l->native);
}

static inline void rwlock_wrunlock(struct rwlock *l) RELEASES(*l) NO_THREAD_SAFETY
{
	lock_note_drop(l, l->rank);
	fair_wrunlock(&l->native);
}

#endif
