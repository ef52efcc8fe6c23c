/* SPDX-License-Identifier: MIT */
/* mmu/tdp/visit.c - iteration over a range of the direct tables. */
#include "mmu/tdp/internal.h"

/* False: the piece ends here, at r->at. */
static bool visit_table(const struct tdp_visitor *v, struct range *r, struct table *t, gfn_t base)
{
	uint64_t step = level_pages(t->level);

	for (unsigned int i = range_first_index(r, base, step);
	     i < ENTRIES_PER_TABLE && gfn_lt(gfn_add(base, i * step), r->end); i++) {
		struct table_place p = { &t->spte[i], sptep_read(&t->spte[i]),
				       gfn_add(base, i * step), t->level };

		if (!r->left)
			return false;
		r->left--;
		if (spte_kind(p.spte) != SPTE_NONE && v->fn(v->ctx, &p) && spte_is_link(p.spte)) {
			if (!visit_table(v, r, spte_link(p.spte), p.gfn))
				return false;
			if (v->after)
				v->after(v->ctx, &p);
		}
		range_pass(r, gfn_add(p.gfn, step));
	}
	return true;
}

void tdp_visit(struct mmu *m, struct range *r, const struct tdp_visitor *v)
{
	uint64_t left = r->left;

	if (visit_table(v, r, m->root, gfn_of(0)))
		r->at = r->end;
	mmu_count_n(m, VM_STAT_mmu_visited, left - r->left);
}
