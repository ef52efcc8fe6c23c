/* SPDX-License-Identifier: MIT */
#include "sync/lock.h"

#include "base/bug.h"
#include "base/log.h"

/* They are held for a moment: waiters spin before they sleep. */
void mutex_init(struct mutex *m, enum lock_rank rank)
{
	pthread_mutexattr_t attr;

	bug_on(pthread_mutexattr_init(&attr));
	bug_on(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP));
	bug_on(pthread_mutex_init(&m->native, &attr));
	pthread_mutexattr_destroy(&attr);
	m->rank = rank;
}

void mutex_destroy(struct mutex *m)
{
	pthread_mutex_destroy(&m->native);
}

void rwlock_init(struct rwlock *l, enum lock_rank rank)
{
	fair_init(&l->native);
	l->rank = rank;
}

void rwlock_destroy(struct rwlock *l)
{
	fair_destroy(&l->native);
}

#ifdef UMBRA_DEBUG_CHECKS

#define MAX_HELD 16

static __thread enum lock_rank held[MAX_HELD];
static __thread int n_held;

void lock_rank_push(enum lock_rank rank)
{
	bug_on(n_held == MAX_HELD);
	if (n_held && held[n_held - 1] >= rank) {
		log_emit(LOG_CRIT, "lock of rank %d taken under one of rank %d", rank,
			 held[n_held - 1]);
		bug_on(held[n_held - 1] >= rank);
	}
	held[n_held++] = rank;
}

void lock_rank_pop(enum lock_rank rank)
{
	bug_on(!n_held);
	bug_on(held[n_held - 1] != rank);
	n_held--;
}

void lock_assert_none_from(enum lock_rank rank)
{
	bug_on(n_held && held[n_held - 1] >= rank);
}

#endif
