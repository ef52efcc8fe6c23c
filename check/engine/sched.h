/* SPDX-License-Identifier: MIT */
/*
 * check/engine/sched.h - one run of a program of a few threads, every step decided by us.
 *
 * The threads are fibers of this process; exactly one runs.  Whatever may matter to
 * another thread begins with a point, where the chooser may let another go on.
 * Points are numbered by the tick; given the same choices at the same ticks a run is
 * the same run, to the byte.
 *
 * What has happened is a partial order: two accesses of one word are ordered if one
 * of them writes, those of one thread always.  Each thread carries a hash of its place
 * in that order.  As the threads do nothing but what they have read tells them, runs
 * with equal hashes are in equal states, however they came there: the explorer goes
 * on from each only once.  So every step after which a thread is not where it was
 * changes its hash, be it an access or not.
 */
#ifndef CHECK_ENGINE_SCHED_H
#define CHECK_ENGINE_SCHED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "check/engine/buffer.h"

#define MAX_THREADS 6

/* What a thread that may not go on waits for. */
enum wait_kind {
	WAIT_NOTHING,
	WAIT_MUTEX,
	WAIT_RDLOCK,
	WAIT_WRLOCK,
	WAIT_WOKEN,	/* wait_on() */
	WAIT_READERS,	/* rcu_synchronize() */
	WAIT_DONE,	/* for ever: it has ended */
};

/* How a run went. */
enum verdict {
	VERDICT_HOLDS,
	VERDICT_PRUNED,		/* came to a state from which all has been explored */
	VERDICT_FREED_PAGE,	/* O1 */
	VERDICT_LOST_DIRTY,	/* O2 */
	VERDICT_STALE_RIGHT,	/* O3 */
	VERDICT_MMIO_RAM,	/* O4 */
	VERDICT_MEMORY,		/* O5: use after free, a bug_on(), a crash */
	VERDICT_NO_PROGRESS,	/* O6: deadlock, lost wake-up, endless loop */
	VERDICT_WRONG,		/* what the program itself asserts */
};
const char *verdict_name(enum verdict v);

/* How stores become visible to others. */
enum memory_model {
	MEMORY_SC,	/* at once */
	MEMORY_TSO,	/* late, in order (x86) */
	MEMORY_WEAK,	/* late; relaxed ones to different words in any order */
};

/* What may be chosen at a point: a thread that goes on, or one whose oldest (or
 * another) delayed store becomes visible; or one of the alternatives of a question. */
#define CHOICE_COMMIT 0x10u	/* | thread | entry << 5 */
#define MAX_CHOICES (MAX_THREADS * (1 + MAX_BUFFERED))

struct choices {
	uint64_t tick;
	unsigned int n;
	uint8_t what[MAX_CHOICES];	/* [0] is what happens if nobody cares: it is free */
	uint8_t cost[MAX_CHOICES];	/* counts against the bound */
	bool is_question;		/* sched_ask(): not about threads */
	bool stays;			/* the thread that runs can go on, and did not yield */
	bool matters;			/* else only a token being replayed may choose */
};

/* Who decides.  Returns an index. */
typedef unsigned int (*choose_fn)(void *ctx, const struct choices *c);
/* For it, if it asks: a hash of the partial order, of who runs, and of what is asked. */
uint64_t sched_state(const struct choices *c);

/* What was chosen in a run that is to be made again, up to a point: until then nobody is asked, and
 * between the choices the first offered is taken. */
struct scripted {
	uint64_t tick;
	uint8_t what;
};
void sched_follow(const struct scripted *script, unsigned int n);

struct program {
	const char *name;
	/* Builds the world; nothing is a point yet. */
	void (*setup)(void);
	unsigned int n_threads;
	struct {
		const char *name;
		void (*fn)(void);
	} thread[MAX_THREADS];
	/* When all threads have ended, again in one thread: the last look.  After
	 * sched_at_end()'s. */
	void (*finish)(void);
	enum memory_model memory;
	uint64_t max_ticks;		/* 0: DEFAULT_MAX_TICKS */
};
#define DEFAULT_MAX_TICKS 20000u

struct run_result {
	enum verdict verdict;
	char sentence[400];		/* what went wrong, in one sentence */
	int thread;			/* who noticed; -1: nobody in particular */
	uint64_t ticks;
	bool new_shared_word;		/* a word turned out to be shared: points were missed */
};

/* Of a run that is replayed: where its next choice falls, at a point that the explorer
 * might not be asked at. */
extern uint64_t sched_forced_tick;

/*
 * What the scheduler asks for, of those that are built on it: it calls none of them itself.
 */
struct sched_parts {
	/* check/engine/memory.h */
	uint64_t (*memory_state)(int t);
	void (*commit)(int t, unsigned int entry);
	/* check/engine/locks.h */
	bool (*allow)(int t, enum wait_kind kind, const void *on);
	const char *(*describe)(enum wait_kind kind, const void *on);
	void (*at_exit)(int t);
	/* check/engine/window.h */
	uint64_t (*signal_state)(int t);
	void (*deliver)(void);
};

/* The steps of a run, in this order (check/engine/run.c). */
void sched_begin(const struct program *p, const struct sched_parts *parts, choose_fn choose,
		 void *ctx, struct run_result *result);
void sched_run_setup(void);
void sched_run_threads(void);
void sched_run_finish(void);
void sched_end(void);

/* --- for what is built on it: atomics, locks, the machine, oracles ---------- */

/* Of the threads: which runs, -1 in setup and finish; and their places in the partial order. */
extern struct sched_now {
	int self;
	uint64_t hash[MAX_THREADS];
} sched_now;

/* From begin to end, and in one of the threads. */
bool sched_is_in_run(void);
static inline bool sched_is_running(void)
{
	return sched_now.self >= 0;
}

static inline int sched_self(void)
{
	return sched_now.self;
}

const char *sched_thread_name(int t);
unsigned int sched_n_threads(void);
uint64_t sched_tick(void);
/* As long as it stays the same, nobody but the thread that runs has done anything. */
uint64_t sched_turns(void);
enum memory_model sched_memory(void);

/* A point; with @matters the explorer is asked.  Returns when the thread may go on. */
void sched_point(bool matters);
/* The same for a thread that can go on only when what it waits for has come. */
void sched_wait(enum wait_kind kind, void *on, bool matters);
/*
 * Others get a turn first: every thread that can run now, and one late store if there is any.
 * To go on before they did costs as much as a preemption, so a loop that waits for them is not
 * run for ever, and nothing that can happen is left out: with a bound high enough it is seen.
 */
void sched_yield_turn(void);
/* Called in setup(): what to look at when all threads have ended. */
void sched_at_end(void (*look)(void));
/* A question to the explorer, of @n alternatives of which 0 is free. */
unsigned int sched_ask(unsigned int n, unsigned int cost, bool matters);
/* The same, where what follows shows the answer in the state; if it does not matter, cheap. */
unsigned int sched_choose(unsigned int n, unsigned int cost, bool matters);

/* Ends the run.  Does not return while it is running; in finish() it does. */
void sched_fail(enum verdict v, const char *format, ...) PRINTF_LIKE(2, 3);
bool sched_has_failed(void);

/* Steps that change a thread's place in the partial order by themselves. */
enum { STEP_BARRIER = 1, STEP_YIELD, STEP_WOKEN, STEP_SIGNAL, STEP_ANSWER };
/* Somebody's memory changed: a thread that waits in a loop looks again. */
void sched_progress(void);
/* Who sleeps on a word. */
struct sleeper {
	void *on;
	bool woken;
};
struct sleeper *sched_sleeper(int t);
bool sched_is_asleep_on(int t, const void *on);

static inline uint64_t hash_mix(uint64_t a, uint64_t b)
{
	uint64_t x = a ^ (b + 0x9e3779b97f4a7c15ull + (a << 6) + (a >> 2));

	x *= 0xff51afd7ed558ccdull;
	return (x ^ (x >> 32)) * 0xc4ceb9fe1a85ec53ull;
}

#endif
