/* SPDX-License-Identifier: MIT */
/*
 * mmu/shadow/hash.h - shadow pages by the guest frame of their table.
 *
 * Each VM has its own key, so that a guest cannot choose frames that collide in one bucket.  The
 * table grows with its pages, a few buckets for each page added, so there is no long pause under
 * the lock.  All under the MMU lock for write.
 */
#ifndef MMU_SHADOW_HASH_H
#define MMU_SHADOW_HASH_H

#include "base/types.h"
#include "mem/alloc.h"

struct shadow_page;

struct shadow_hash {
	struct alloc *alloc;
	uint64_t key[2];
	struct shadow_page **bucket;	/* 1 << bits */
	struct shadow_page **old;	/* half as many, being moved into bucket; or NULL */
	unsigned int bits;
	size_t n_moved;			/* buckets of old that are already moved */
	uint64_t n;			/* pages */
};

/* 0 or -ENOMEM.  If not 0, destroy it all the same. */
int shadow_hash_init(struct shadow_hash *h, struct alloc *a, const uint64_t key[2]) MUST_CHECK;
void shadow_hash_destroy(struct shadow_hash *h);

/* The first in the bucket of @gfn, or NULL; the others follow by shadow_page.next. */
struct shadow_page *shadow_hash_first(const struct shadow_hash *h, gfn_t gfn);
/* Buckets move: pointers from shadow_hash_first() become stale. */
void shadow_hash_add(struct shadow_hash *h, struct shadow_page *sp);
void shadow_hash_remove(struct shadow_hash *h, struct shadow_page *sp);

/* Calls @fn for every page, for tests. */
void shadow_hash_visit(const struct shadow_hash *h,
		       void (*fn)(void *ctx, const struct shadow_page *sp), void *ctx);

#endif
