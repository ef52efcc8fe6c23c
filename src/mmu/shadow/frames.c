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

/* The node below the entry, or NULL. */
static struct frame_node **child_at(const struct range_iter *it)
{
	struct frame_node *node = it->node[it->level];

	return it->level > LEVEL_4K ? &node->child[range_iter_index(it)] : NULL;
}

static void free_nodes(struct frames *f)
{
	struct range r = range_of_tree(ROOT_LEVEL);
	struct range_iter it = range_iter_begin(&r, f->root, ROOT_LEVEL);

	while (range_iter_next(&it)) {
		struct frame_node **child = child_at(&it);

		if (it.after)
			put_node(f, *child, it.level - 1);
		else if (*child && it.level > LEVEL_2M)
			range_iter_enter(&it, *child);
		else if (*child)
			put_node(f, *child, it.level - 1);
	}
	put_node(f, f->root, ROOT_LEVEL);
}

void frames_destroy(struct frames *f)
{
	if (f->root)
		free_nodes(f);
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

static bool is_of_interest(const struct frame_iter *it)
{
	return !spte_list_is_empty(&it->frame->rmap) ||
	       (it->i.level == LEVEL_4K && it->frame->n_tables);
}

static void enter(struct frame_iter *it)
{
	struct frame_node **child = child_at(&it->i);

	if (it->frame && child && *child)
		range_iter_enter(&it->i, *child);
	it->frame = NULL;
}

bool frame_iter_next(struct frame_iter *it)
{
	for (enter(it); range_iter_next(&it->i); enter(it)) {
		struct frame_node *node = it->i.node[it->i.level];

		if (it->i.after)
			continue;
		it->frame = &node->frame[range_iter_index(&it->i)];
		range_charge(it->i.range, spte_list_length(&it->frame->rmap));
		if (is_of_interest(it))
			return true;
	}
	return false;
}

struct frame_iter frame_iter_begin(struct frames *f, struct range *r)
{
	return (struct frame_iter){ .i = range_iter_begin(r, f->root, ROOT_LEVEL) };
}

static bool is_empty(const struct frame_node *node, int level)
{
	for (unsigned int i = 0; i < ENTRIES_PER_TABLE; i++)
		if (!spte_list_is_empty(&node->frame[i].rmap) || node->frame[i].n_tables ||
		    (level > LEVEL_4K && node->child[i]))
			return false;
	return true;
}

void frames_prune(struct frames *f, gfn_t start, gfn_t end)
{
	struct range r = range_whole(start, end);
	struct range_iter it = range_iter_begin(&r, f->root, ROOT_LEVEL);

	while (range_iter_next(&it)) {
		struct frame_node **child = child_at(&it);

		if (!*child)
			continue;
		if (!it.after && it.level > LEVEL_2M) {
			range_iter_enter(&it, *child);
		} else if (is_empty(*child, it.level - 1)) {
			put_node(f, *child, it.level - 1);
			*child = NULL;
		}
	}
}

uint64_t frames_count_tables(const struct frames *f, int level)
{
	struct range r = range_of_tree(ROOT_LEVEL);
	struct range_iter it = range_iter_begin(&r, f->root, ROOT_LEVEL);
	uint64_t n = 0;

	while (range_iter_next(&it)) {
		struct frame_node *node = it.node[it.level];

		if (it.level == level)
			n += node->frame[range_iter_index(&it)].n_tables;
		else if (!it.after && *child_at(&it))
			range_iter_enter(&it, *child_at(&it));
	}
	return n;
}
