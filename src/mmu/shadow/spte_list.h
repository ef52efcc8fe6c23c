/* SPDX-License-Identifier: MIT */
/*
 * mmu/shadow/spte_list.h - the entries of shadow pages that have something in common:
 * they map the same guest frame (an rmap), or link to the same page (parents).
 *
 * Usually there is one, which is then stored in the head itself.  An entry is named by its page
 * and its index there.  Its page records its place in the list (shadow_page.place), so that it is
 * removed without a search: the guest decides how long a list is, and all this happens under the
 * MMU lock.
 */
#ifndef MMU_SHADOW_SPTE_LIST_H
#define MMU_SHADOW_SPTE_LIST_H

#include "base/types.h"
#include "mem/alloc.h"

struct shadow_page;

struct spte_list {
	uint64_t head;		/* 0: empty; one packed entry; or a node with bit 0 set */
};

struct spte_ref {
	struct shadow_page *sp;
	unsigned int i;
};

struct spte_cursor {
	const struct spte_list_node *node;
	unsigned int next;
	uint64_t single;
};

static inline bool spte_list_is_empty(const struct spte_list *l)
{
	return !l->head;
}

void spte_list_pool_init(struct pool *nodes, struct alloc *a);

/* False: no memory. */
bool spte_list_add(struct pool *nodes, struct spte_list *l, struct spte_ref ref) MUST_CHECK;
/* @ref must be in it (RMAP_BIJECTION). */
void spte_list_remove(struct pool *nodes, struct spte_list *l, struct spte_ref ref);
/* Of a list that is not empty. */
struct spte_ref spte_list_first(const struct spte_list *l);
unsigned int spte_list_length(const struct spte_list *l);
/* For tests: each entry is where its page says. */
bool spte_list_is_valid(const struct spte_list *l);

/* All of them; the list must not change meanwhile. */
void spte_list_begin(const struct spte_list *l, struct spte_cursor *c);
bool spte_list_next(struct spte_cursor *c, struct spte_ref *ref);

#endif
