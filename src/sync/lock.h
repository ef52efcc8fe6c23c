/* SPDX-License-Identifier: MIT */
/*
 * sync/lock.h - mutexes and reader-writer locks with ranks.
 *
 * A lock may be taken only while every lock held has a lower rank; with
 * -Ddebug_checks=true a violation is a bug that names both.  docs/LOCKING.md
 * says what each lock covers.  Clang's -Wthread-safety checks that functions
 * hold what their attributes say.
 */
#ifndef SYNC_LOCK_H
#define SYNC_LOCK_H

#include <pthread.h>
#include <stdbool.h>

#include "base/compiler.h"

enum lock_rank {
	RANK_PROCESS = 1,	/* the process's objects: fds, list of VMs */
	RANK_VM,		/* vm->lock: vCPU creation, capabilities */
	RANK_VCPU,		/* vcpu->lock: one call at a time */
	RANK_SLOTS,		/* slots_lock: who changes the memory slots */
	RANK_MN,		/* count of open invalidations */
	RANK_MMU,		/* mmu->lock */
	RANK_FLUSH,		/* one flush round at a time */
	RANK_ALLOC,		/* free lists */
};

struct CAPABILITY("mutex") mutex {
	pthread_mutex_t native;
	enum lock_rank rank;
};

struct CAPABILITY("rwlock") rwlock {
	pthread_rwlock_t native;
	enum lock_rank rank;
};

void mutex_init(struct mutex *m, enum lock_rank rank);
void mutex_destroy(struct mutex *m);
void rwlock_init(struct rwlock *l, enum lock_rank rank);
void rwlock_destroy(struct rwlock *l);

#ifdef UMBRA_DEBUG_CHECKS
void lock_rank_push(enum lock_rank rank);
void lock_rank_pop(enum lock_rank rank);
/* No lock of this rank or a higher one may be held: the caller is about to wait
 * for somebody who may need them. */
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
	pthread_rwlock_rdlock(&l->native);
}

static inline void rwlock_rdunlock(struct rwlock *l) RELEASES_SHARED(*l) NO_THREAD_SAFETY
{
	pthread_rwlock_unlock(&l->native);
	lock_rank_pop(l->rank);
}

static inline void rwlock_wrlock(struct rwlock *l) ACQUIRES(*l) NO_THREAD_SAFETY
{
	lock_rank_push(l->rank);
	pthread_rwlock_wrlock(&l->native);
}

static inline void rwlock_wrunlock(struct rwlock *l) RELEASES(*l) NO_THREAD_SAFETY
{
	pthread_rwlock_unlock(&l->native);
	lock_rank_pop(l->rank);
}

#endif
