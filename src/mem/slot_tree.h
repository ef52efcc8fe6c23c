/* SPDX-License-Identifier: MIT */
/*
 * mem/slot_tree.h - an immutable balanced tree of memory slots.
 *
 * An update creates a new root that shares all but O(log n) nodes with the old one (path copying
 * in an AVL tree); readers of the old root are not disturbed.  The same code serves both orders:
 * by guest frame, and by host address with the highest end of each subtree, which makes it an
 * interval tree.
 */
#ifndef MEM_SLOT_TREE_H
#define MEM_SLOT_TREE_H

#include "base/types.h"
#include "mem/alloc.h"

struct memslot;

enum slot_order { BY_GFN, BY_HVA };

struct slot_node {
	const struct slot_node *left, *right;
	struct memslot *slot;
	hva_t max_end;			/* BY_HVA: highest hva end in this subtree */
	int height;
	/* The writers' own: which update made it; lists of an update's nodes. */
	const struct slot_tree_update *maker;
	struct slot_node *next_made, *next_replaced;
};

/* One update, of one or both trees: its nodes are freed together, the new ones if it is
 * abandoned, the replaced ones a grace period after it. */
struct slot_tree_update {
	struct alloc *alloc;
	struct slot_node *made, *replaced;
	bool failed;			/* out of memory: abandon it */
};

void slot_tree_update_begin(struct slot_tree_update *u, struct alloc *a);
void slot_tree_update_abort(struct slot_tree_update *u);
/* The new roots are in use and no reader is left on the old ones. */
void slot_tree_update_finish(struct slot_tree_update *u);

/* Return the new root; look at u->failed before using it. */
const struct slot_node *slot_tree_insert(struct slot_tree_update *u, enum slot_order order,
					 const struct slot_node *root, struct memslot *slot);
/* @slot must be in the tree. */
const struct slot_node *slot_tree_remove(struct slot_tree_update *u, enum slot_order order,
					 const struct slot_node *root, const struct memslot *slot);

/* Of a BY_GFN tree. */
struct memslot *slot_tree_find(const struct slot_node *root, gfn_t gfn);
bool slot_tree_overlaps(const struct slot_node *root, gfn_t start, gfn_t end);

/* Every slot in order; of a BY_HVA tree, those that meet [start, end). */
typedef void (*slot_visit_fn)(void *ctx, struct memslot *slot);
void slot_tree_visit(const struct slot_node *root, slot_visit_fn visit, void *ctx);
void slot_tree_visit_hva(const struct slot_node *root, hva_t start, hva_t end,
			 slot_visit_fn visit, void *ctx);

/* Frees every node (not the slots): the end of a VM. */
void slot_tree_free(struct alloc *a, const struct slot_node *root);

/* Checks heights, order and interval ends everywhere: for tests. */
bool slot_tree_is_valid(enum slot_order order, const struct slot_node *root);

#endif
