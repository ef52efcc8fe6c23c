/* SPDX-License-Identifier: MIT */
#include "mmu/shadow/spte_list.h"

#include "base/bug.h"
#include "mmu/shadow/internal.h"

#define MANY 1ull
#define INDEX_SHIFT 48
#define ENTRIES_PER_NODE 6

struct spte_list_node {
	struct spte_list_node *next;
	uint32_t n;
	uint32_t length;		/* of the first node: of the whole list */
	uint64_t entry[ENTRIES_PER_NODE];
};

_Static_assert(sizeof(struct spte_list_node) == CACHE_LINE, "a node is a cache line");

/* Addresses have 47 bits, and pages are aligned to 64 bytes. */
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

static void put_entry(struct spte_list_node *node, unsigned int at, uint64_t entry)
{
	struct spte_ref ref = unpack(entry);

	node->entry[at] = entry;
	ref.sp->place[ref.i] = &node->entry[at];
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
		node->length = spte_list_length(l);
		if (!node->next)
			put_entry(node, node->n++, l->head);
		set_first_node(l, node);
	}
	put_entry(node, node->n++, pack(ref));
	node->length++;
	return true;
}

/* The node that holds it: a node is aligned to its size. */
static struct spte_list_node *node_of(uint64_t *place)
{
	return (struct spte_list_node *)ALIGN_DOWN((uintptr_t)place, CACHE_LINE);
}

/* The last entry of the first node fills the gap: only that node is ever partly full. */
void spte_list_remove(struct pool *nodes, struct spte_list *l, struct spte_ref ref)
{
	struct spte_list_node *first = first_node(l);
	uint64_t *place = ref.sp->place[ref.i];
	struct spte_list_node *node;

	if (!first) {
		bug_on(l->head != pack(ref));
		l->head = 0;
		return;
	}
	bug_on(*place != pack(ref));
	node = node_of(place);
	put_entry(node, (unsigned int)(place - node->entry), first->entry[--first->n]);
	first->length--;
	if (first->n)
		return;
	if (first->next)
		first->next->length = first->length;
	set_first_node(l, first->next);
	pool_put(nodes, first);
}

unsigned int spte_list_length(const struct spte_list *l)
{
	const struct spte_list_node *node = first_node(l);

	return node ? node->length : l->head != 0;
}

bool spte_list_is_valid(const struct spte_list *l)
{
	const struct spte_list_node *first = first_node(l);
	unsigned int n = l->head && !first;

	for (const struct spte_list_node *node = first; node; node = node->next) {
		n += node->n;
		for (unsigned int i = 0; i < node->n; i++) {
			struct spte_ref ref = unpack(node->entry[i]);

			if (ref.sp->place[ref.i] != &node->entry[i])
				return false;
		}
	}
	return n == spte_list_length(l);
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
