/* SPDX-License-Identifier: MIT */
/*
 * mmu/paging/range.h - iteration over guest frames in pieces.
 *
 * Faults need the MMU lock: whoever iterates over memory drops it after this many entries.
 *
 *	struct range r = range_make(start, end);
 *
 *	while (range_more(&r)) {
 *		rwlock_wrlock(&m->lock);
 *		...visit(..., &r)...	 goes on at r.at, until r.left is 0
 *		flush_owe(m);		 what this piece has taken: YIELD_FLUSHES
 *		rwlock_wrunlock(&m->lock);
 *	}
 *
 * Each piece starts at the root again, by frame number: tables may have been freed meanwhile.
 */
#ifndef MMU_RANGE_H
#define MMU_RANGE_H

#include "base/types.h"
#include "mmu/limits.h"

_Static_assert(TABLES_BEFORE_YIELD >= 1, "each piece comes to a table");
_Static_assert(ENTRIES_BEFORE_YIELD >= LEVEL_256T, "each piece comes to an entry");

struct range {
	gfn_t at, end;		/* what remains */
	uint64_t left;		/* entries that may be visited before the lock is dropped */
};

static inline struct range range_make(gfn_t start, gfn_t end)
{
	return (struct range){ .at = start, .end = end, .left = ENTRIES_BEFORE_YIELD };
}

/* Before the next piece. */
static inline bool range_more(struct range *r)
{
	r->left = ENTRIES_BEFORE_YIELD;
	return gfn_lt(r->at, r->end);
}

/* Accounts for @n more visited entries. */
static inline void range_charge(struct range *r, uint64_t n)
{
	r->left -= MIN(r->left, n);
}

/* Where a visit begins in a table that starts at @base. */
static inline unsigned int range_first_index(const struct range *r, gfn_t base, uint64_t step)
{
	return gfn_le(r->at, base) ? 0 : (unsigned int)(gfn_diff(r->at, base) / step);
}

/* The entry at @base is done. */
static inline void range_pass(struct range *r, gfn_t next)
{
	r->at = gfn_max(r->at, next);
}

#endif
