/* SPDX-License-Identifier: MIT */
/*
 * mmu/shadow/frames.h - guest frames: which shadow entries map them (the rmap), and how
 * many guest tables with a shadow page lie in them.
 *
 * A tree over all guest frames, with an entry for every large frame too: a leaf that maps 2 MiB
 * is in the rmap of the 2 MiB frame.  Everything under the MMU lock for write.
 */
#ifndef MMU_SHADOW_FRAMES_H
#define MMU_SHADOW_FRAMES_H

#include "mmu/paging/range.h"
#include "mmu/shadow/spte_list.h"

/* (c) constant after creation  [l] the MMU lock for write */
struct frame {
	struct spte_list rmap;	/* [l] */
	uint64_t n_tables;	/* [l] guest tables in it that have a shadow page */
};

struct frames {
	struct alloc *alloc;		/* (c) */
	struct pool low, high, nodes;	/* (c) each has its lock */
	struct frame_node *root;	/* (c); what is below it: [l] */
};

/* 0 or -ENOMEM.  If not 0, destroy it all the same. */
int frames_init(struct frames *f, struct alloc *a) MUST_CHECK;
void frames_destroy(struct frames *f);

/* NULL: not recorded, so nothing maps it. */
struct frame *frames_find(const struct frames *f, gfn_t gfn, int level);
/* NULL: no memory. */
struct frame *frames_make(struct frames *f, gfn_t gfn, int level) MUST_CHECK;

/* Every frame of any level with a mapping, and of the lowest with a table, that overlaps a piece of
 * a range.  The frame's rmap may change meanwhile; whoever leaves the iteration begins the next
 * piece at the same frame. */
struct frame_iter {
	struct range_iter i;
	struct frame *frame;
};

struct frame_iter frame_iter_begin(struct frames *f, struct range *r);
bool frame_iter_next(struct frame_iter *it);

/* Frees empty nodes of the tree in [start, end). */
void frames_prune(struct frames *f, gfn_t start, gfn_t end);

/* The sum of n_tables over all frames of @level: for tests. */
uint64_t frames_count_tables(const struct frames *f, int level);

#endif
