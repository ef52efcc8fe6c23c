/* SPDX-License-Identifier: MIT */
#include "mem/slot_tree.h"

#include "mem/memslot.h"

void slot_tree_update_begin(struct slot_tree_update *u, struct alloc *a)
{
	*u = (struct slot_tree_update){ .alloc = a };
}

void slot_tree_update_abort(struct slot_tree_update *u)
{
	struct slot_node *next;

	for (struct slot_node *n = u->made; n; n = next) {
		next = n->next_made;
		alloc_free(u->alloc, n, sizeof(*n));
	}
}

void slot_tree_update_finish(struct slot_tree_update *u)
{
	struct slot_node *next;

	/* These nodes outlive the update, and the next one may have the same address. */
	for (struct slot_node *n = u->made; n; n = n->next_made)
		n->maker = NULL;
	for (struct slot_node *n = u->replaced; n; n = next) {
		next = n->next_replaced;
		alloc_free(u->alloc, n, sizeof(*n));
	}
}

static bool goes_before(enum slot_order order, const struct memslot *a, const struct memslot *b)
{
	if (order == BY_GFN)
		return gfn_lt(a->base_gfn, b->base_gfn);
	/* Slots may share host memory, so the id decides among equals. */
	return hva_eq(a->hva, b->hva) ? a->id < b->id : hva_lt(a->hva, b->hva);
}

static int height(const struct slot_node *n)
{
	return n ? n->height : 0;
}

static hva_t max_end(const struct slot_node *n)
{
	return n ? n->max_end : hva_of(0);
}

static void refresh_node(struct slot_node *n)
{
	n->height = 1 + MAX(height(n->left), height(n->right));
	n->max_end = hva_max(max_end(n->left), max_end(n->right));
	n->max_end = hva_max(n->max_end, memslot_hva_end(n->slot));
}

static struct slot_node *make_node(struct slot_tree_update *u, struct memslot *slot)
{
	struct slot_node *n = alloc_zeroed(u->alloc, sizeof(*n));

	if (!n) {
		u->failed = true;
		return NULL;
	}
	n->slot = slot;
	n->maker = u;
	n->next_made = u->made;
	u->made = n;
	return n;
}

/* Readers of the old root may still use it. */
static void retire_node(struct slot_tree_update *u, const struct slot_node *n)
{
	struct slot_node *node = (struct slot_node *)n;

	node->next_replaced = u->replaced;
	u->replaced = node;
}

/* A node that this update may write: the node itself if the update created it, otherwise a
 * copy. */
static struct slot_node *own_node(struct slot_tree_update *u, const struct slot_node *n)
{
	struct slot_node *copy;

	if (n->maker == u)
		return (struct slot_node *)n;

	copy = make_node(u, n->slot);
	if (copy) {
		copy->left = n->left;
		copy->right = n->right;
		copy->height = n->height;
		copy->max_end = n->max_end;
		retire_node(u, n);
	}
	return copy;
}

/* @n is owned by the update. */
static struct slot_node *rotate_right(struct slot_tree_update *u, struct slot_node *n)
{
	struct slot_node *top = own_node(u, n->left);

	if (!top)
		return n;
	n->left = top->right;
	refresh_node(n);
	top->right = n;
	refresh_node(top);
	return top;
}

static struct slot_node *rotate_left(struct slot_tree_update *u, struct slot_node *n)
{
	struct slot_node *top = own_node(u, n->right);

	if (!top)
		return n;
	n->right = top->left;
	refresh_node(n);
	top->left = n;
	refresh_node(top);
	return top;
}

static struct slot_node *rebalance(struct slot_tree_update *u, struct slot_node *n)
{
	struct slot_node *child;

	if (height(n->left) > height(n->right) + 1) {
		if (height(n->left->left) < height(n->left->right)) {
			child = own_node(u, n->left);
			if (!child)
				return n;
			n->left = rotate_left(u, child);
		}
		return rotate_right(u, n);
	}
	if (height(n->right) > height(n->left) + 1) {
		if (height(n->right->right) < height(n->right->left)) {
			child = own_node(u, n->right);
			if (!child)
				return n;
			n->right = rotate_right(u, child);
		}
		return rotate_left(u, n);
	}
	refresh_node(n);
	return n;
}

const struct slot_node *slot_tree_insert(struct slot_tree_update *u, enum slot_order order,
					 const struct slot_node *root, struct memslot *slot)
{
	struct slot_node *n;

	if (!root) {
		n = make_node(u, slot);
		if (n)
			refresh_node(n);
		return n;
	}

	n = own_node(u, root);
	if (!n)
		return root;
	if (goes_before(order, slot, n->slot))
		n->left = slot_tree_insert(u, order, n->left, slot);
	else
		n->right = slot_tree_insert(u, order, n->right, slot);
	return u->failed ? n : rebalance(u, n);
}

static const struct slot_node *remove_first(struct slot_tree_update *u,
					    const struct slot_node *root, struct memslot **first)
{
	struct slot_node *n;

	if (!root->left) {
		*first = root->slot;
		retire_node(u, root);
		return root->right;
	}
	n = own_node(u, root);
	if (!n)
		return root;
	n->left = remove_first(u, n->left, first);
	return u->failed ? n : rebalance(u, n);
}

const struct slot_node *slot_tree_remove(struct slot_tree_update *u, enum slot_order order,
					 const struct slot_node *root, const struct memslot *slot)
{
	struct slot_node *n;
	bool found = root->slot == slot;

	if (found && (!root->left || !root->right)) {
		retire_node(u, root);
		return root->left ? root->left : root->right;
	}
	n = own_node(u, root);
	if (!n)
		return root;
	if (found)
		n->right = remove_first(u, n->right, &n->slot);
	else if (goes_before(order, slot, n->slot))
		n->left = slot_tree_remove(u, order, n->left, slot);
	else
		n->right = slot_tree_remove(u, order, n->right, slot);
	return u->failed ? n : rebalance(u, n);
}

struct memslot *slot_tree_find(const struct slot_node *root, gfn_t gfn)
{
	while (root) {
		if (gfn_lt(gfn, root->slot->base_gfn))
			root = root->left;
		else if (memslot_has(root->slot, gfn))
			return root->slot;
		else
			root = root->right;
	}
	return NULL;
}

bool slot_tree_overlaps(const struct slot_node *root, gfn_t start, gfn_t end)
{
	while (root) {
		if (gfn_le(end, root->slot->base_gfn))
			root = root->left;
		else if (gfn_le(memslot_gfn_end(root->slot), start))
			root = root->right;
		else
			return true;
	}
	return false;
}

void slot_tree_visit(const struct slot_node *root, slot_visit_fn visit, void *ctx)
{
	if (!root)
		return;
	slot_tree_visit(root->left, visit, ctx);
	visit(ctx, root->slot);
	slot_tree_visit(root->right, visit, ctx);
}

void slot_tree_visit_hva(const struct slot_node *root, hva_t start, hva_t end,
			 slot_visit_fn visit, void *ctx)
{
	if (!root || hva_le(root->max_end, start))
		return;
	slot_tree_visit_hva(root->left, start, end, visit, ctx);
	if (hva_lt(root->slot->hva, end)) {
		if (hva_lt(start, memslot_hva_end(root->slot)))
			visit(ctx, root->slot);
		slot_tree_visit_hva(root->right, start, end, visit, ctx);
	}
}

void slot_tree_free(struct alloc *a, const struct slot_node *root)
{
	if (!root)
		return;
	slot_tree_free(a, root->left);
	slot_tree_free(a, root->right);
	alloc_free(a, (struct slot_node *)root, sizeof(*root));
}

/* All of it lies between @after and @before, either of which may be NULL. */
static bool is_valid_between(enum slot_order order, const struct slot_node *root,
			     const struct memslot *after, const struct memslot *before)
{
	struct slot_node copy;

	if (!root)
		return true;
	copy = *root;
	refresh_node(&copy);
	return copy.height == root->height && hva_eq(copy.max_end, root->max_end) &&
	       height(root->left) - height(root->right) <= 1 &&
	       height(root->right) - height(root->left) <= 1 &&
	       (!after || goes_before(order, after, root->slot)) &&
	       (!before || goes_before(order, root->slot, before)) &&
	       is_valid_between(order, root->left, after, root->slot) &&
	       is_valid_between(order, root->right, root->slot, before);
}

bool slot_tree_is_valid(enum slot_order order, const struct slot_node *root)
{
	return is_valid_between(order, root, NULL, NULL);
}
