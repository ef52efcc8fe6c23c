/* SPDX-License-Identifier: MIT */
/*
 * tests/check/litmus.h - programs of a few steps, to check the checker's engine with.
 *
 * As text: threads are separated by "||", steps by ";".
 *
 *	st x=1  strel x=1	store, relaxed or release; "x=r+1": plus what was read last
 *	ld x  lda x		load, relaxed or acquire
 *	xchg x=1  add x=1	locked operations
 *	cas x=1			likewise: changes 0 only
 *	count x			adds 1 as the word's one writer
 *	mb  wmb			barriers
 *	relax  spin x		cpu_relax(), once and until x is not 0
 *	lock a  unlock a	a mutex: a or b
 *	wait x  wake x		sleeps while x is 0
 *	rcu  unrcu  sync	a read section; rcu_synchronize()
 *	ask			a question of three alternatives, which is not about threads
 *
 * What is seen of a run is what its threads have read, and what is left in the words.
 */
#ifndef TESTS_CHECK_LITMUS_H
#define TESTS_CHECK_LITMUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "check/engine/explore.h"

#define LITMUS_THREADS 4
#define LITMUS_STEPS 8
#define LITMUS_WORDS 3
#define LITMUS_LOCKS 2

enum step_kind {
	STEP_ST, STEP_STREL, STEP_LD, STEP_LDA, STEP_XCHG, STEP_ADD, STEP_CAS, STEP_COUNT,
	STEP_MB, STEP_WMB, STEP_RELAX, STEP_SPIN, STEP_LOCK, STEP_UNLOCK, STEP_WAIT, STEP_WAKE,
	STEP_RCU, STEP_UNRCU, STEP_SYNC, STEP_ASK,
	STEP_KINDS
};

struct step {
	uint8_t kind;
	uint8_t x;		/* word or lock */
	uint8_t value;
	uint8_t adds_read;	/* plus what was read last */
};

struct litmus {
	unsigned int n_threads;
	struct litmus_thread {
		unsigned int n;
		struct step step[LITMUS_STEPS];
	} thread[LITMUS_THREADS];
};

/* A set of what was seen: 4 bits for each value read, thread by thread, then for each word. */
#define MAX_SEEN 4096
struct seen {
	unsigned int n;
	uint64_t outcome[MAX_SEEN];
	uint8_t cost[MAX_SEEN];	/* the least; of the reference only */
	bool no_progress;	/* some run comes to no end */
	uint8_t no_progress_cost;
	bool complete;
};

void litmus_parse(const char *text, struct litmus *p);
void litmus_print(const struct litmus *p, char *text, size_t bytes);

bool step_reads(const struct step *s);
/* Value @v, once a thread has read @read; and packed. */
uint32_t step_value(const struct step *s, uint32_t read);
/* @values: of each thread its reads, then the words. */
uint64_t litmus_outcome(const struct litmus *p, const uint32_t *reads, const uint32_t *words);
/* "01/2?": 0 and 1 are read, 2 is left in the first word and anything in the second. */
bool litmus_matches(const struct litmus *p, uint64_t outcome, const char *pattern);
bool litmus_saw(const struct litmus *p, const struct seen *s, const char *pattern);

/* On the engine, with at most @max_runs schedules. */
void litmus_explore(const struct litmus *p, enum memory_model memory, unsigned int bound,
		    bool prune, uint64_t max_runs, struct seen *seen);
/* In every order, by an interpreter that knows nothing of the engine. */
void reference_explore(const struct litmus *p, enum memory_model memory, unsigned int bound,
		       struct seen *seen);

#endif
