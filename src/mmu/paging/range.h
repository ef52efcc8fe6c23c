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
 *		...an iteration over r...  goes on at r.at, until r.left is 0
 *		flush_owe(m);		   what this piece has taken: YIELD_FLUSHES
 *		rwlock_wrunlock(&m->lock);
 *	}
 *
 * Each piece starts at the root again, by frame number: tables may have been freed meanwhile.
 *
 * The iteration is the same for every tree over frames, with a node of ENTRIES_PER_TABLE entries
 * for each frame of a higher level.  Entries come in the order of their frames; one whose node was
 * entered comes once more, when all below it is done:
 *
 *	struct range_iter it = range_iter_begin(&r, root, root_level);
 *
 *	while (range_iter_next(&it)) {
 *		entry = &it.node[it.level]->entry[range_iter_index(&it)];
 *		if (it.after)
 *			...it.node[it.level - 1] is the node below, and may be freed...
 *		else if (entry->below)
 *			range_iter_enter(&it, entry->below);
 *	}
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

/* All of the guest's memory at once: where there is no lock to yield, or little to visit. */
static inline struct range range_whole(gfn_t start, gfn_t end)
{
	return (struct range){ .at = start, .end = end, .left = UINT64_MAX };
}

/* All that a tree with a root of this level can hold. */
static inline struct range range_of_tree(int root_level)
{
	return range_whole(gfn_of(0), gfn_of(1ull << root_level * LEVEL_BITS));
}

struct range_iter {
	struct range *range;
	void *node[LEVEL_256T + 1];	/* by level, from the root's to the entry's, or one below */
	int root_level;
	/* of the entry */
	int level;
	gfn_t gfn;			/* its first frame */
	bool after;			/* its node was entered, and is done */

	bool entered;			/* the next entry is the first of a node */
};

static inline struct range_iter range_iter_begin(struct range *r, void *root, int level)
{
	struct range_iter it = {
		.range = r, .root_level = level, .level = level,
		.gfn = level_align(r->at, level), .entered = true,
	};

	it.node[level] = root;
	return it;
}

static inline unsigned int range_iter_index(const struct range_iter *it)
{
	return gfn_index(it->gfn, it->level);
}

/* The node below the entry is visited next. */
static inline void range_iter_enter(struct range_iter *it, void *node)
{
	it->node[--it->level] = node;
	it->gfn = gfn_max(it->gfn, level_align(it->range->at, it->level));
	it->entered = true;
}

/* To the next entry.  False: the piece ends here, at range->at, or the range does. */
static inline bool range_iter_next(struct range_iter *it)
{
	gfn_t next = gfn_add(it->gfn, level_pages(it->level));
	struct range *r = it->range;

	it->after = false;
	if (!it->entered) {
		r->at = gfn_max(r->at, next);
		if (gfn_index(next, it->level) && gfn_lt(next, r->end)) {
			it->gfn = next;
		} else if (it->level < it->root_level) {
			it->gfn = level_align(it->gfn, ++it->level);
			it->after = true;
			return true;
		} else {
			r->at = r->end;
		}
	}
	it->entered = false;
	if (!r->left || gfn_le(r->end, r->at))
		return false;
	r->left--;
	return true;
}

#endif
