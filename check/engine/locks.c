/* SPDX-License-Identifier: MIT */
#include "check/engine/locks.h"

#include <stdio.h>

#include "check/engine/buffer.h"
#include "check/engine/memory.h"
#include "check/engine/timeline.h"
#include "sync/checked.h"
#include "sync/lock.h"
#include "sync/rcu.h"
#include "sync/thread.h"
#include "sync/wait.h"

#define MAX_HELD 8

static struct holder {
	struct {
		const void *lock;
		enum lock_rank rank;
		bool for_write;
	} held[MAX_HELD];
	int n_held;
	int rcu_depth;
	uint32_t rcu_ended;	/* read sections */
	/* synchronize: the sections that it found, by their number */
	bool waits_for[MAX_THREADS];
	uint32_t section[MAX_THREADS];
} holders[MAX_THREADS];

/* Stands for "the read sections" where accesses are ordered. */
#define RCU_WORD ((void *)(uintptr_t)ARENA_BASE)

void locks_begin_run(void)
{
	for (int t = 0; t < MAX_THREADS; t++)
		holders[t] = (struct holder){ 0 };
}

static struct holder *me(void)
{
	return &holders[sched_self()];
}

/* --- ranks -------------------------------------------------------------------- */

static enum lock_rank highest_rank(void)
{
	const struct holder *h = me();

	return h->n_held ? h->held[h->n_held - 1].rank : RANK_NONE;
}

static void note_take(const void *lock, enum lock_rank rank, bool for_write)
{
	struct holder *h = me();

	if (highest_rank() >= rank)
		sched_fail(VERDICT_NO_PROGRESS,
			   "%s takes %s under %s: in the other order elsewhere, both wait for ever",
			   sched_thread_name(sched_self()), lock_rank_name(rank),
			   lock_rank_name(highest_rank()));
	if (h->n_held == MAX_HELD)
		sched_fail(VERDICT_MEMORY, "more than %d locks held", MAX_HELD);
	h->held[h->n_held].lock = lock;
	h->held[h->n_held].rank = rank;
	h->held[h->n_held].for_write = for_write;
	h->n_held++;
}

static void note_drop(const void *lock, enum lock_rank rank)
{
	struct holder *h = me();

	for (int i = h->n_held; i-- > 0;) {
		if (h->held[i].lock != lock)
			continue;
		for (h->n_held--; i < h->n_held; i++)
			h->held[i] = h->held[i + 1];
		return;
	}
	sched_fail(VERDICT_MEMORY, "%s is dropped and was not held", lock_rank_name(rank));
}

void checked_assert_none_from(int rank)
{
	if (sched_is_running() && (int)highest_rank() >= rank)
		sched_fail(VERDICT_NO_PROGRESS, "%s would wait while it holds %s",
			   sched_thread_name(sched_self()), lock_rank_name(highest_rank()));
}

void checked_assert_held(const void *lock, int rank, bool for_write)
{
	if (!sched_is_running())
		return;
	for (int i = 0; i < me()->n_held; i++)
		if (me()->held[i].lock == lock && me()->held[i].for_write >= for_write)
			return;
	sched_fail(VERDICT_MEMORY, "%s does what needs %s%s and does not hold it",
		   sched_thread_name(sched_self()), lock_rank_name((enum lock_rank)rank),
		   for_write ? " for write" : "");
}

void locks_at_exit(int t)
{
	if (holders[t].n_held || holders[t].rcu_depth)
		sched_fail(VERDICT_MEMORY, "%s ends with a lock held or in a read section",
			   sched_thread_name(t));
}

/* --- locks -------------------------------------------------------------------- */

bool locks_allow(int t, enum wait_kind kind, const void *on)
{
	const struct holder *h = &holders[t];

	switch (kind) {
	case WAIT_MUTEX:
		return !memory_lock_word(t, &((const struct mutex *)on)->owner);
	case WAIT_RDLOCK:
		return !memory_lock_word(t, &((const struct rwlock *)on)->writer);
	case WAIT_WRLOCK:
		return !memory_lock_word(t, &((const struct rwlock *)on)->writer) &&
		       !memory_lock_word(t, &((const struct rwlock *)on)->readers);
	case WAIT_READERS:
		for (int i = 0; i < MAX_THREADS; i++)
			if (h->waits_for[i] && holders[i].rcu_ended == h->section[i])
				return false;
		return true;
	default:
		return true;
	}
}

const char *locks_describe(enum wait_kind kind, const void *on)
{
	static char text[80];

	switch (kind) {
	case WAIT_MUTEX:
	case WAIT_RDLOCK:
	case WAIT_WRLOCK:
		snprintf(text, sizeof(text), "%s", timeline_name(on));
		return text;
	case WAIT_WOKEN:
		snprintf(text, sizeof(text), "a wake-up on %s (now %llu)", timeline_name(on),
			 (unsigned long long)memory_raw_load(on, 4));
		return text;
	case WAIT_READERS:
		return "RCU readers";
	default:
		return "its turn";
	}
}

static void tell(const void *lock, const char *what)
{
	if (timeline_on && memory_is_shared(lock))
		timeline_lock(lock, what);
}

/* A locked operation, once it succeeds; until then earlier stores may be late. */
static void take(enum wait_kind kind, void *lock, const char *what)
{
	memory_check_alive(lock);
	sched_wait(kind, lock, memory_is_late() || memory_is_shared(lock));
	memory_drain(sched_self());
	memory_check_alive(lock);
	tell(lock, what);
}

void checked_mutex_lock(struct mutex *m)
{
	if (!sched_is_running())
		return;
	note_take(m, m->rank, true);
	take(WAIT_MUTEX, m, "lock");
	m->owner = sched_self() + 1;
	memory_note_lock(m);
}

/* A release store: not a barrier. */
void checked_mutex_unlock(struct mutex *m)
{
	if (!sched_is_running())
		return;
	note_drop(m, m->rank);
	tell(m, "unlock");
	memory_unlock(&m->owner, (uint32_t)sched_self() + 1, false);
}

void checked_rwlock_rdlock(struct rwlock *l)
{
	if (!sched_is_running())
		return;
	note_take(l, l->rank, false);
	take(WAIT_RDLOCK, l, "lock for read");
	l->readers++;
	memory_note_read(l);
}

void checked_rwlock_rdunlock(struct rwlock *l)
{
	if (!sched_is_running())
		return;
	note_drop(l, l->rank);
	tell(l, "unlock");
	memory_unlock(&l->readers, 1, true);
}

void checked_rwlock_wrlock(struct rwlock *l)
{
	if (!sched_is_running())
		return;
	note_take(l, l->rank, true);
	take(WAIT_WRLOCK, l, "lock for write");
	l->writer = sched_self() + 1;
	memory_note_lock(l);
}

void checked_rwlock_wrunlock(struct rwlock *l)
{
	if (!sched_is_running())
		return;
	note_drop(l, l->rank);
	tell(l, "unlock");
	memory_unlock(&l->writer, (uint32_t)sched_self() + 1, false);
}

void mutex_init(struct mutex *m, enum lock_rank rank)
{
	*m = (struct mutex){ .rank = rank };
}

void mutex_destroy(struct mutex *m)
{
	(void)m;
}

void rwlock_init(struct rwlock *l, enum lock_rank rank)
{
	*l = (struct rwlock){ .rank = rank };
}

void rwlock_destroy(struct rwlock *l)
{
	(void)l;
}

/* --- RCU ---------------------------------------------------------------------- */

void checked_rcu_begin(void)
{
	if (!sched_is_running() || me()->rcu_depth++)
		return;
	me()->rcu_depth--;
	sched_point(memory_is_shared(RCU_WORD));
	me()->rcu_depth++;
	memory_note_read(RCU_WORD);
	timeline_note("rcu: read section begins");
}

void checked_rcu_end(void)
{
	if (!sched_is_running() || --me()->rcu_depth)
		return;
	me()->rcu_depth++;
	sched_point(memory_is_shared(RCU_WORD));
	me()->rcu_depth--;
	me()->rcu_ended++;
	memory_note_read(RCU_WORD);
	memory_is_seen();
	sched_progress();
	timeline_note("rcu: read section ends");
}

/* When it begins and when it returns every thread has passed a barrier. */
void rcu_synchronize(void)
{
	if (!sched_is_running())
		return;
	if (me()->rcu_depth)
		sched_fail(VERDICT_NO_PROGRESS,
			   "%s waits for readers in a read section: for itself",
			   sched_thread_name(sched_self()));
	checked_assert_none_from(RANK_MMU);
	sched_point(buffer_any() || memory_is_shared(RCU_WORD));
	memory_drain_all();
	for (int t = 0; t < MAX_THREADS; t++) {
		me()->waits_for[t] = holders[t].rcu_depth;
		me()->section[t] = holders[t].rcu_ended;
	}
	memory_note_write(RCU_WORD);
	timeline_note("rcu: waits for the read sections that have begun");
	sched_wait(WAIT_READERS, NULL, buffer_any());
	memory_drain_all();
	memory_note_write(RCU_WORD);
	timeline_note("rcu: they have ended");
}

/* --- sleeping ------------------------------------------------------------------ */

void wait_on(struct atomic32 *word, uint32_t value)
{
	struct sleeper *sleeper;

	if (!sched_is_running())
		return;
	sched_point(memory_is_late() || memory_is_shared(word));
	memory_drain(sched_self());
	memory_check_alive(word);
	memory_note_read(word);
	if (word->v != value)
		return;
	tell(word, "sleep on");
	sleeper = sched_sleeper(sched_self());
	*sleeper = (struct sleeper){ .on = word };
	sched_wait(WAIT_WOKEN, word, true);
	memory_note_step(STEP_WOKEN);
}

/* As if there were no end to it: a wake-up that is lost is to be noticed. */
void wait_on_for(struct atomic32 *word, uint32_t value, uint32_t microseconds)
{
	(void)microseconds;
	wait_on(word, value);
}

void wait_wake_all(struct atomic32 *word)
{
	if (!sched_is_running())
		return;
	sched_point(memory_is_late() || memory_is_shared(word));
	memory_drain(sched_self());
	memory_note_write(word);
	tell(word, "wake");
	for (unsigned int t = 0; t < sched_n_threads(); t++)
		if (sched_is_asleep_on((int)t, word))
			sched_sleeper((int)t)->woken = true;
	sched_progress();
}

/* Signals are stores to the word here. */
void thread_sleep_on(struct atomic32 *word, uint32_t value, struct thread_bell *bell,
		     thread_sigmask_t blocked)
{
	(void)bell;
	(void)blocked;
	wait_on(word, value);
}

void thread_wake(struct atomic32 *word, struct thread_bell *bell)
{
	(void)bell;
	wait_wake_all(word);
}

void thread_bell_destroy(struct thread_bell *bell)
{
	(void)bell;
}

void thread_yield(void)
{
	sched_yield_turn();
}
