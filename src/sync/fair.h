/* SPDX-License-Identifier: MIT */
/*
 * sync/fair.h - a reader-writer lock that starves neither side.  For sync/lock.h only.
 *
 * Phases alternate when both sides want the lock.  A reader that arrives while a writer holds it,
 * or waits for readers to leave, enters when that writer has left, and the next writer waits for
 * it: a reader waits for one writer, a writer for the readers that came before it.  Among
 * themselves writers are as fair as a mutex.
 *
 *	reader                               writer
 *	w = in += READER                     lock writers
 *	w has WRITER: wait until its         before = in += WRITER | phase
 *	   two bits in `in` are others       wait until out == readers of before
 *	...                                  ...
 *	out += READER, wake the writer       in: both bits off; turn++, wake readers
 *	                                     unlock writers
 *
 * A reader counts as in from its first step, so the next writer, whose phase is the other one,
 * waits for it: that it sees the bits change suffices.  A waiter spins for a moment, long enough
 * for the other side's critical section if its thread runs, and then sleeps: readers on `turn`,
 * the writer on `out`.
 */
#ifndef SYNC_FAIR_H
#define SYNC_FAIR_H

#include <pthread.h>

#include "sync/atomic.h"

struct fair_rwlock {
	struct atomic32 in;		/* (a) readers that ever came; WRITER and phase */
	struct atomic32 out;		/* (a) readers that ever left */
	struct atomic32 turn;		/* (a) goes up when a writer leaves */
	struct atomic32 readers_asleep;	/* (a) on turn */
	struct atomic32 writer_asleep;	/* (a) on out */
	pthread_mutex_t writers;	/* (c) one at a time; held while it is in */
	uint32_t phase;			/* [writers] of the next */
};

void fair_init(struct fair_rwlock *l);
void fair_destroy(struct fair_rwlock *l);
void fair_rdlock(struct fair_rwlock *l);
void fair_rdunlock(struct fair_rwlock *l);
void fair_wrlock(struct fair_rwlock *l);
void fair_wrunlock(struct fair_rwlock *l);

#endif
