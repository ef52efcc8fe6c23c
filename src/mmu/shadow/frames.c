/* SPDX-License-Identifier: MIT */
#include "mmu/shadow/frames.h"

#include "mmu/mmu.h"

#define ROOT_LEVEL LEVEL_256T

/* A node for 512 frames of a level, with links to the nodes below it above the lowest. */
struct frame_node {
	struct frame frame[ENTRIES_PER_TABLE];
	struct frame_node *child[];
};

int frames_init(struct frames *f, struct alloc *a)
{
	f->alloc = a;
	pool_init(&f->low, a, sizeof(struct frame_node));
	pool_init(&f->high, a, sizeof(struct frame_node) +
				       ENTRIES_PER_TABLE * sizeof(struct frame_node *));
	spte_list_pool_init(&f->nodes, a);
	f->root = pool_get(&f->high);
	return f->root ? 0 : -ENOMEM;
}

static void put_node(struct frames *f, struct frame_node *node, int level)
{
	pool_put(level == LEVEL_4K ? &f->low : &f->high, node);
}

static void free_tree(struct frames *f, struct frame_node *node, int level)
{
	for (unsigned int i = 0; level > LEVEL_4K && i < ENTRIES_PER_TABLE; i++)
		if (node->child[i])
			free_tree(f, node->child[i], level - 1);
	put_node(f, node, level);
}

void frames_destroy(struct frames *f)
{
	if (f->root)
		free_tree(f, f->root, ROOT_LEVEL);
	pool_destroy(&f->nodes);
	pool_destroy(&f->high);
	pool_destroy(&f->low);
}

struct frame *frames_find(const struct frames *f, gfn_t gfn, int level)
{
	struct frame_node *node = f->root;

	for (int at = ROOT_LEVEL; node && at > level; at--)
		node = node->child[gfn_index(gfn, at)];
	return node ? &node->frame[gfn_index(gfn, level)] : NULL;
}

struct frame *frames_make(struct frames *f, gfn_t gfn, int level)
{
	struct frame_node *node = f->root;

	for (int at = ROOT_LEVEL; at > level; at--) {
		struct frame_node **child = &node->child[gfn_index(gfn, at)];

		if (!*child)
			*child = pool_get(at - 1 == LEVEL_4K ? &f->low : &f->high);
		if (!*child)
			return NULL;
		node = *child;
	}
	return &node->frame[gfn_index(gfn, level)];
}

struct visit {
	frame_visit_fn fn;
	void *ctx;
};

static bool is_of_interest(const struct frame *frame, int level)
{
	return !spte_list_is_empty(&frame->rmap) || (level == LEVEL_4K && frame->n_tables);
}

/* False: the piece ends here, at r->at. */
static bool visit_node(const struct visit *v, struct range *r, struct frame_node *node, int level,
		       gfn_t base)
{
	uint64_t step = level_pages(level);

	for (unsigned int i = range_first_index(r, base, step);
	     i < ENTRIES_PER_TABLE && gfn_lt(gfn_add(base, i * step), r->end); i++) {
		struct frame *frame = &node->frame[i];
		gfn_t gfn = gfn_add(base, i * step);

		if (!r->left)
			return false;
		r->left--;
		range_charge(r, spte_list_length(&frame->rmap));
		if (is_of_interest(frame, level) && !v->fn(v->ctx, gfn, level, frame))
			return false;
		if (level > LEVEL_4K && node->child[i] &&
		    !visit_node(v, r, node->child[i], level - 1, gfn))
			return false;
		range_pass(r, gfn_add(gfn, step));
	}
	return true;
}

void frames_visit(struct frames *f, struct range *r, frame_visit_fn visit, void *ctx)
{
	struct visit v = { .fn = visit, .ctx = ctx };

	if (visit_node(&v, r, f->root, ROOT_LEVEL, gfn_of(0)))
		r->at = r->end;
}

static bool is_empty(const struct frame_node *node, int level)
{
	for (unsigned int i = 0; i < ENTRIES_PER_TABLE; i++)
		if (!spte_list_is_empty(&node->frame[i].rmap) || node->frame[i].n_tables ||
		    (level > LEVEL_4K && node->child[i]))
			return false;
	return true;
}

static void prune(struct frames *f, struct frame_node *node, int level, gfn_t base,
		  const struct range *r)
{
	uint64_t step = level_pages(level);

	if (level == LEVEL_4K)
		return;
	for (unsigned int i = range_first_index(r, base, step);
	     i < ENTRIES_PER_TABLE && gfn_lt(gfn_add(base, i * step), r->end); i++) {
		if (!node->child[i])
			continue;
		prune(f, node->child[i], level - 1, gfn_add(base, i * step), r);
		if (is_empty(node->child[i], level - 1)) {
			put_node(f, node->child[i], level - 1);
			node->child[i] = NULL;
		}
	}
}

void frames_prune(struct frames *f, gfn_t start, gfn_t end)
{
	struct range r = range_make(start, end);

	prune(f, f->root, ROOT_LEVEL, gfn_of(0), &r);
}

static uint64_t count_tables(const struct frame_node *node, int at, int level)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < ENTRIES_PER_TABLE; i++) {
		if (at == level)
			n += node->frame[i].n_tables;
		else if (node->child[i])
			n += count_tables(node->child[i], at - 1, level);
	}
	return n;
}

uint64_t frames_count_tables(const struct frames *f, int level)
{
	return count_tables(f->root, ROOT_LEVEL, level);
}
