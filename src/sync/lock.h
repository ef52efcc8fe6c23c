/* SPDX-License-Identifier: MIT */
/*
 * sync/lock.h - mutexes and reader-writer locks with ranks.
 *
 * The reader-writer locks are fair to both sides (sync/fair.h).
 *
 * A lock may be taken only while every lock held has a lower rank; with
 * -Ddebug_checks=true a violation is a bug that names both.  docs/LOCKING.md
 * says what each lock covers.  Clang's -Wthread-safety checks that functions
 * hold what their attributes say.
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
	RANK_PROCESS = 1,	/* the process's objects: fds, list of VMs */
	RANK_VM,		/* vm->lock: vCPU creation, capabilities */
	RANK_VCPU,		/* vcpu->lock: one call at a time */
	RANK_BUS,		/* what is registered on the bus, and its ring */
	RANK_SLOTS,		/* slots_lock: who changes the memory slots */
	RANK_MMU,		/* mmu->lock */
	RANK_CHANGES,		/* the changes of host memory on record */
	RANK_FLUSH,		/* one flush round at a time */
	RANK_MAPPINGS,		/* which files the process maps where */
	RANK_ALLOC,		/* free lists */
	RANK_RESERVATION,	/* our own memory */
};

#ifdef UMBRA_CHECKED
/* Threads by their number; 0 is nobody. */
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

#endif
