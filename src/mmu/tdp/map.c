/* SPDX-License-Identifier: MIT */
/* mmu/tdp/map.c - making direct translations. */
#include "base/trace.h"
#include "mmu/paging/table.h"
#include "mmu/tdp/internal.h"

/* Links @t, unless another thread has changed the entry: then it is freed.  True: linked. */
static bool link_table(struct mmu *m, struct fault *f, struct table *t)
{
	struct table_entry *e = &f->entry;
	spte_t old = e->spte, new = spte_make_link(t);

	if (!sptep_cmpxchg(e->sptep, &e->spte, new)) {
		tdp_table_free(m, t);
		return false;
	}
	table_entry_changed(m, f->gfn, e->level, old, new);
	return true;
}

/* Links a new table into an empty entry.  False: no memory. */
static bool add_table(struct mmu *m, struct fault *f)
{
	struct table *t = tdp_table_new(m, f->entry.level - 1);

	if (t)
		link_table(m, f, t);
	return t;
}

/* The same for a table to remember MMIO in. */
static bool add_table_for_mmio(struct mmu *m, struct fault *f)
{
	struct table *t = tdp_table_new(m, f->entry.level - 1);

	if (!t)
		return false;
	t->for_mmio = true;
	atomic64_fetch_add(&m->n_mmio_tables, 1);
	link_table(m, f, t);
	return true;
}

/*
 * Replaces a large leaf by a table of smaller ones with the same translations, so no TLB needs a
 * flush.
 */
static bool split_leaf(struct mmu *m, struct fault *f)
{
	spte_t old = f->entry.spte;
	int level = f->entry.level - 1;
	uint64_t bits = old.raw & (PAGE_SIZE - 1) & ~(3ull << SPTE_LEVEL_SHIFT) &
			~(SPTE_KIND_MASK | SPTE_LEAF);
	struct table *t = tdp_table_new(m, level);

	if (!t)
		return false;
	for (unsigned int i = 0; i < ENTRIES_PER_TABLE; i++)
		sptep_set(&t->spte[i], spte_make_leaf(spte_pfn(old) + i * level_pages(level),
						      level, bits));
	if (link_table(m, f, t))
		table_count_leafs(m, level, ENTRIES_PER_TABLE);
	return true;
}

static enum fault_verdict set_leaf(struct mmu *m, struct fault *f, const struct host_page *page,
				   uint64_t bits)
{
	struct table_entry *e = &f->entry;
	pfn_t first = page->pfn - (f->gfn.raw & (level_pages(e->level) - 1));
	spte_t old = e->spte, new;

	if (spte_is_leaf(old)) {
		if (!f->write || spte_is_writable(old))
			return FAULT_SPURIOUS;
		bug_on(rule(PFN_CHANGE_GOES_THROUGH_ZERO) && spte_pfn(old) != first);
		new.raw = old.raw | bits;
	} else {
		new = spte_make_leaf(first, e->level, bits);
	}
	/* VOLATILE_RMW: W, A and D of the old value may change at any moment. */
	if (!sptep_cmpxchg(e->sptep, &e->spte, new))
		return FAULT_RETRY;
	e->spte = new;
	table_entry_changed(m, f->gfn, e->level, old, new);
	return FAULT_FIXED;
}

enum fault_verdict tdp_map(struct mmu *m, struct fault *f, const struct host_page *page,
			   uint64_t bits)
{
	struct table_entry *e = &f->entry;

	rwlock_assert_held(&m->lock);
	for (tdp_look_again(m, e, f->gfn);; tdp_descend(e, f->gfn)) {
		/* The thread that froze it is about to flush and empty it. */
		if (rule(FROZEN_SPTE_UNTOUCHED) && spte_kind(e->spte) == SPTE_FROZEN)
			return FAULT_RETRY;
		if (e->level <= page->level)
			return set_leaf(m, f, page, bits);
		if (spte_is_leaf(e->spte)) {
			if (!f->write || spte_is_writable(e->spte))
				return FAULT_SPURIOUS;
			if (!split_leaf(m, f))
				return FAULT_NO_MEMORY;
		} else if (!add_table(m, f)) {
			return FAULT_NO_MEMORY;
		}
	}
}

void tdp_map_mmio(struct mmu *m, struct fault *f)
{
	spte_t old, new = spte_make_mmio(f->gfn, MMIO_ACCESS_MASK, f->generation);
	struct table_entry *e = &f->entry;

	rwlock_assert_held(&m->lock);
	if (f->gfn.raw > MMIO_MAX_GFN)
		return;
	tdp_look_again(m, e, f->gfn);
	for (; e->level > LEVEL_4K; tdp_descend(e, f->gfn))
		if (spte_kind(e->spte) != SPTE_NONE ||
		    atomic64_load_relaxed(&m->n_mmio_tables) >= MAX_TABLES_FOR_MMIO ||
		    !add_table_for_mmio(m, f))
			return;
	if (spte_kind(e->spte) != SPTE_NONE && spte_kind(e->spte) != SPTE_MMIO)
		return;
	old = e->spte;
	if (!sptep_cmpxchg(e->sptep, &e->spte, new))
		return;
	table_entry_changed(m, f->gfn, e->level, old, new);
	trace_mark_mmio_spte(f->gfn.raw, MMIO_ACCESS_MASK, f->generation);
}
