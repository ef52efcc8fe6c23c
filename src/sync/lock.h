/* SPDX-License-Identifier: MIT */
/*
 * sync/lock.h - mutexes and reader-writer locks with ranks.
 *
 * The reader-writer locks are fair to both sides (sync/fair.h).
 *
 * A lock may be taken only while every lock held has a lower rank (sync/ranks.def).  With
 * -Ddebug_checks=true a violation is a bug that names both.  docs/LOCKING.md says what each
 * lock covers.
 *
 * Clang's -Wthread-safety checks that functions hold what their attributes say.  Where it
 * cannot see who calls (another file's function, a callback), the function says so again by
 * an assertion: mutex_assert_held(), rwlock_assert_held(), rwlock_assert_held_write().
 * Those are checked in the same builds, and by the checker; elsewhere they are nothing.
 */
#ifndef SYNC_LOCK_H
#define SYNC_LOCK_H

#include <stdbool.h>

#include "base/compiler.h"

#ifdef UMBRA_CHECKED
#include "sync/checked.h"
#else
#include <pthread.h>

#include "sync/fair.h"
#endif

enum lock_rank {
	RANK_NONE,
#define RANK(NAME, name) RANK_##NAME,
#include "sync/ranks.def"
#undef RANK
};
/* A set of ranks has this bit for one. */
#define RANK_BIT(rank) (1u << (rank))

enum lock_mode {
	LOCKED_FOR_READ,
	LOCKED_FOR_WRITE,	/* a mutex always */
};

static inline const char *lock_rank_name(enum lock_rank rank)
{
	static const char *const names[] = {
		"no lock",
#define RANK(NAME, name) name,
#include "sync/ranks.def"
#undef RANK
	};

	return names[rank];
}

#ifdef UMBRA_CHECKED
/* Thread numbers; 0 is no thread. */
struct CAPABILITY("mutex") mutex {
	int owner;
	enum lock_rank rank;
};

struct CAPABILITY("rwlock") rwlock {
	int writer, readers;
	enum lock_rank rank;
};
#else
struct CAPABILITY("mutex") mutex {
	pthread_mutex_t native;
	enum lock_rank rank;
};

struct CAPABILITY("rwlock") rwlock {
	struct fair_rwlock native;
	enum lock_rank rank;
};
#endif

void mutex_init(struct mutex *m, enum lock_rank rank);
void mutex_destroy(struct mutex *m);
void rwlock_init(struct rwlock *l, enum lock_rank rank);
void rwlock_destroy(struct rwlock *l);

#ifdef UMBRA_CHECKED
#include "sync/lock_checked.h"
#else
#include "sync/lock_native.h"
#endif

static inline void mutex_assert_held(const struct mutex *m) ASSERTS(*m)
{
	lock_assert_held_as(m, m->rank, LOCKED_FOR_WRITE);
}

/* For read or for write. */
static inline void rwlock_assert_held(const struct rwlock *l) ASSERTS_SHARED(*l)
{
	lock_assert_held_as(l, l->rank, LOCKED_FOR_READ);
}

static inline void rwlock_assert_held_write(const struct rwlock *l) ASSERTS(*l)
{
	lock_assert_held_as(l, l->rank, LOCKED_FOR_WRITE);
}

#endif
