/* SPDX-License-Identifier: MIT */
#include "sync/fair.h"

#include "base/bug.h"
#include "sync/wait.h"

#define WRITER 1u
#define PHASE 2u
#define WRITER_BITS (WRITER | PHASE)
#define READER 4u		/* the rest counts, and may wrap */

/* A few times the length of a critical section. */
#define SPINS 128

void fair_init(struct fair_rwlock *l)
{
	*l = (struct fair_rwlock){ 0 };
	bug_on(pthread_mutex_init(&l->writers, NULL));
}

void fair_destroy(struct fair_rwlock *l)
{
	pthread_mutex_destroy(&l->writers);
}

static bool writer_has_left(const struct fair_rwlock *l, uint32_t writer)
{
	return (atomic32_load_acquire(&l->in) & WRITER_BITS) != writer;
}

/*
 * turn is read before the bits: a writer changes them in the other order, so the reader either
 * sees that it has left, or turn has changed and the reader does not sleep.  The writer looks for
 * sleepers last: one that it misses will see that it has left.
 */
static void wait_for_writer(struct fair_rwlock *l, uint32_t writer)
{
	uint32_t turn;

	for (int i = 0; i < SPINS; i++) {
		if (writer_has_left(l, writer))
			return;
		cpu_relax();
	}
	atomic32_fetch_add(&l->readers_asleep, 1);
	for (;;) {
		turn = atomic32_load_acquire(&l->turn);
		if (writer_has_left(l, writer))
			break;
		wait_on(&l->turn, turn);
	}
	atomic32_fetch_add(&l->readers_asleep, (uint32_t)-1);
}

void fair_rdlock(struct fair_rwlock *l)
{
	uint32_t writer = atomic32_fetch_add(&l->in, READER) & WRITER_BITS;

	if (unlikely(writer & WRITER))
		wait_for_writer(l, writer);
}

void fair_rdunlock(struct fair_rwlock *l)
{
	atomic32_fetch_add(&l->out, READER);
	if (unlikely(atomic32_load_relaxed(&l->writer_asleep)))
		wait_wake_all(&l->out);
}

static void wait_for_readers(struct fair_rwlock *l, uint32_t all_out)
{
	uint32_t out;

	for (int i = 0; i < SPINS; i++) {
		if (atomic32_load_acquire(&l->out) == all_out)
			return;
		cpu_relax();
	}
	/* A full barrier: a reader that leaves now sees it, or is seen to have left. */
	atomic32_xchg(&l->writer_asleep, 1);
	while ((out = atomic32_load_acquire(&l->out)) != all_out)
		wait_on(&l->out, out);
	atomic32_store_relaxed(&l->writer_asleep, 0);
}

void fair_wrlock(struct fair_rwlock *l)
{
	uint32_t before;

	pthread_mutex_lock(&l->writers);
	before = atomic32_fetch_add(&l->in, WRITER | l->phase);
	wait_for_readers(l, before & ~WRITER_BITS);
}

void fair_wrunlock(struct fair_rwlock *l)
{
	l->phase ^= PHASE;
	atomic32_fetch_and(&l->in, ~WRITER_BITS);
	atomic32_fetch_add(&l->turn, 1);
	if (unlikely(atomic32_load_relaxed(&l->readers_asleep)))
		wait_wake_all(&l->turn);
	pthread_mutex_unlock(&l->writers);
}
