/* SPDX-License-Identifier: MIT */
/*
 * mem/alloc.h - the only way in which mem/ and mmu/ allocate.
 *
 * Behind it is the process's reservation (mem/reservation.h); in the checker an arena.  Every VM
 * has its own struct alloc.  It counts what is in use, so that tests can check for leaks, and can
 * fail the n-th allocation from now.
 */
#ifndef MEM_ALLOC_H
#define MEM_ALLOC_H

#include "base/types.h"
#include "sync/atomic.h"
#include "sync/lock.h"

struct alloc {
	struct atomic64 bytes;		/* (a) in use */
	struct atomic64 fail_in;	/* (a) 0: never; n: the n-th allocation from now fails */
};

void alloc_init(struct alloc *a);
/* Zeroed memory or NULL.  Any thread. */
void *alloc_zeroed(struct alloc *a, size_t bytes) MUST_CHECK;
/* @bytes as passed to the allocation; @p may be NULL. */
void alloc_free(struct alloc *a, void *p, size_t bytes);

/*
 * A pool of objects of one size, aligned to the cache line: page tables.  Its
 * chunks go back to the system only with the pool.
 */
struct pool {
	struct alloc *alloc;		/* (c) */
	size_t object_bytes;		/* (c) */
	struct mutex lock;		/* (c) rank RANK_ALLOC */
	struct pool_free *free;		/* [lock] */
	struct pool_chunk *chunks;	/* [lock] */
	struct atomic64 in_use;		/* (a) objects */
};

void pool_init(struct pool *p, struct alloc *a, size_t object_bytes);
/* Every object must have been freed. */
void pool_destroy(struct pool *p);
/* Zeroed, or NULL. */
void *pool_get(struct pool *p) MUST_CHECK;
void pool_put(struct pool *p, void *object);

#endif
