/* SPDX-License-Identifier: MIT */
#include "mmu/spte_list.h"

#include "base/bug.h"

#define MANY 1ull
#define INDEX_SHIFT 48
#define ENTRIES_PER_NODE 6

struct spte_list_node {
	struct spte_list_node *next;
	uint64_t n;
	uint64_t entry[ENTRIES_PER_NODE];
};

_Static_assert(sizeof(struct spte_list_node) == CACHE_LINE, "a node is a cache line");

/* The addresses of this process need 47 bits, and pages are aligned to 64 bytes. */
static uint64_t pack(struct spte_ref ref)
{
	return (uint64_t)(uintptr_t)ref.sp | (uint64_t)ref.i << INDEX_SHIFT;
}

static struct spte_ref unpack(uint64_t entry)
{
	return (struct spte_ref){
		.sp = (struct shadow_page *)(uintptr_t)(entry & ((1ull << INDEX_SHIFT) - 1)),
		.i = (unsigned int)(entry >> INDEX_SHIFT),
	};
}

static struct spte_list_node *first_node(const struct spte_list *l)
{
	return l->head & MANY ? (struct spte_list_node *)(uintptr_t)(l->head & ~MANY) : NULL;
}

static void set_first_node(struct spte_list *l, struct spte_list_node *node)
{
	l->head = node ? (uint64_t)(uintptr_t)node | MANY : 0;
}

void spte_list_pool_init(struct pool *nodes, struct alloc *a)
{
	pool_init(nodes, a, sizeof(struct spte_list_node));
}

bool spte_list_add(struct pool *nodes, struct spte_list *l, struct spte_ref ref)
{
	struct spte_list_node *node = first_node(l);

	if (!l->head) {
		l->head = pack(ref);
		return true;
	}
	if (!node || node->n == ENTRIES_PER_NODE) {
		node = pool_get(nodes);
		if (!node)
			return false;
		node->next = first_node(l);
		if (!node->next)
			node->entry[node->n++] = l->head;
		set_first_node(l, node);
	}
	node->entry[node->n++] = pack(ref);
	return true;
}

/* The last entry of the first node fills the gap: only that node is ever partly full. */
void spte_list_remove(struct pool *nodes, struct spte_list *l, struct spte_ref ref)
{
	struct spte_list_node *first = first_node(l);
	uint64_t wanted = pack(ref);

	if (!first) {
		bug_on(l->head != wanted);
		l->head = 0;
		return;
	}
	for (struct spte_list_node *node = first;; node = node->next) {
		bug_on(!node);
		for (uint64_t i = 0; i < node->n; i++) {
			if (node->entry[i] != wanted)
				continue;
			node->entry[i] = first->entry[--first->n];
			if (!first->n) {
				set_first_node(l, first->next);
				pool_put(nodes, first);
			}
			return;
		}
	}
}

struct spte_ref spte_list_first(const struct spte_list *l)
{
	const struct spte_list_node *node = first_node(l);

	return unpack(node ? node->entry[0] : l->head);
}

void spte_list_begin(const struct spte_list *l, struct spte_cursor *c)
{
	c->node = first_node(l);
	c->single = c->node ? 0 : l->head;
	c->next = 0;
}

bool spte_list_next(struct spte_cursor *c, struct spte_ref *ref)
{
	if (c->single) {
		*ref = unpack(c->single);
		c->single = 0;
		return true;
	}
	if (!c->node)
		return false;
	*ref = unpack(c->node->entry[c->next]);
	if (++c->next == c->node->n) {
		c->node = c->node->next;
		c->next = 0;
	}
	return true;
}
