/* SPDX-License-Identifier: MIT */
/*
 * check/engine/buffer.h - stores that are not visible to others yet.
 *
 * Each thread has a buffer.  What it reads comes from there first.  A store enters it if it may
 * not become visible at once, or is chosen to be late.  Which entries may become visible next is
 * what a memory model says:
 *
 *	tso	the oldest
 *	weak	a relaxed store once none before it is of the same memory, or of before a store
 *		barrier; a release store when it is the oldest
 *
 * Only stores to shared words are ever late: of others nobody can tell.
 */
#ifndef CHECK_ENGINE_BUFFER_H
#define CHECK_ENGINE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_BUFFERED 8

/* How a store becomes visible. */
enum store_kind {
	STORE_RELAXED,
	STORE_RELEASE,
	/* A lock is dropped: a release store of the sum of what is there and the value ... */
	STORE_UNLOCK,
	/* ... which commutes with those of other threads: readers leave in any order. */
	STORE_UNLOCK_READ,
};

struct buffered {
	void *at;
	uint64_t value;
	uint64_t hash;		/* of the thread when it stored: the store's name */
	uint8_t bytes;
	uint8_t kind;		/* enum store_kind */
	uint8_t group;		/* store barriers before it */
};

void buffer_begin_run(void);

/* Of all threads; of one; two of them have the same memory in theirs. */
bool buffer_any(void);
bool buffer_is_empty(int t);
bool buffers_meet(void);

/* Must a store of thread @t be late, as an earlier one is? */
bool buffer_holds_back(int t, const struct buffered *e);
bool buffer_has_room(int t);
void buffer_put(int t, struct buffered e);
/* A store barrier. */
void buffer_barrier(int t);

/* May become visible next: how many, and the number of the i-th. */
unsigned int buffer_n_committable(int t);
unsigned int buffer_committable(int t, unsigned int i);
struct buffered buffer_take(int t, unsigned int entry);

/* What thread @t sees of @old, which is in memory; @hash becomes the name of the last store. */
uint64_t buffer_view(int t, const void *at, unsigned int bytes, uint64_t old, uint64_t *hash);
/* Some of these bytes, but not all, are in its buffer: up to which entry; -1 if not. */
int buffer_overlap(int t, const void *at, unsigned int bytes);
/* Nobody will ever see them. */
void buffer_drop(int t, const void *start, size_t bytes);

/* Part of the state that thread @t is in. */
uint64_t buffer_hash(int t);

#endif
