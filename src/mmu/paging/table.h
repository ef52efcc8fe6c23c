/* SPDX-License-Identifier: MIT */
/* mmu/paging/table.h - page tables of ours: what one is, how many there are and may be. */
#ifndef MMU_TABLE_H
#define MMU_TABLE_H

#include "base/trace.h"
#include "mmu/mmu.h"
#include "mmu/paging/spte.h"
#include "mmu/tlb/flush.h"

/* One of our page tables, and what we record about it. */
struct table {
	struct spte_word spte[ENTRIES_PER_TABLE];
	struct table *next_dead;	/* [l] or of its zapper: unlinked, not yet freed */
	int level;			/* (c) of its entries */
	bool for_mmio;			/* (c) direct: made to remember MMIO */
};

/* An entry of a table, as it was found where entries of many frames are visited. */
struct table_place {
	struct spte_word *sptep;
	spte_t spte;
	gfn_t gfn;			/* that it maps, or the first of them */
	int level;
};

/* An entry of a table, as it was found on the way to a frame: the lowest that there was. */
struct table_entry {
	struct spte_word *sptep;	/* NULL: none was looked for */
	spte_t spte;
	int level;
	uint64_t unlinks;		/* mmu.unlinks before it was looked for */
};

/*
 * ENTRY_STILL_LINKED.  Whoever finds an entry of the tables may come back to it in another
 * section, if no table was unlinked in between.  The number is raised after the link is gone, and
 * before the flush and the grace period that precede the table's end.  So if it has not changed,
 * either the table is still linked, or its end waits for this section: guest mode, pinned, or
 * RCU.
 */
static inline bool table_entry_holds(const struct mmu *m, const struct table_entry *e)
{
	if (!e->sptep)
		return false;
	if (rule(ENTRY_STILL_LINKED) && atomic64_load_acquire(&m->unlinks) != e->unlinks)
		return false;
	return true;
}

/* There are @n more tables; more leafs of this level. */
static inline void table_count(struct mmu *m, int64_t n)
{
	mmu_count_n(m, VM_STAT_mmu_tables, (uint64_t)n);
}

void table_count_leafs(struct mmu *m, int level, int64_t n);

/*
 * Every change of an entry comes here once it is made, except that a vCPU sets A and D, as a
 * processor would.  Counts the leafs (those of a table that is linked or unlinked as a whole are
 * counted where that is done), notes that a table is unlinked, and traces.  Returns what it owes,
 * for the caller to record; the end of a table that was unlinked owes a flush of its own.
 *
 * The dirty log is not among this: it is of a vCPU's writes, which only a fault knows of
 * (mmu/dirty.h).
 */
static inline enum flush_due table_entry_changed(struct mmu *m, gfn_t gfn UNUSED, int level,
						 spte_t old, spte_t new)
{
	int n = spte_is_leaf(new) - spte_is_leaf(old);

	if (n)
		table_count_leafs(m, level, n);
	if (spte_is_link(old))
		atomic64_fetch_add(&m->unlinks, 1);
	trace_spte_changed(gfn.raw, level, old.raw, new.raw);
	return flush_due_of_change(m, old, new);
}

/* The same for one that the caller replaces here. */
static inline enum flush_due table_replace(struct mmu *m, const struct table_place *at, spte_t new)
{
	return table_entry_changed(m, at->gfn, at->level, sptep_xchg(at->sptep, new), new);
}

#endif
