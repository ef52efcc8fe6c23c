/* SPDX-License-Identifier: MIT */
/*
 * mmu/tdp_zap.c - taking direct translations away.
 *
 * For the host (tdp_zap_leafs): under the MMU lock for write, leafs only, as the
 * guest will most likely touch the range again.
 *
 * For a slot that goes (tdp_zap_slot): under the lock for read.  Each entry is
 * first frozen, which keeps faults from putting anything in its place; then all
 * is flushed; then the entries are emptied and the tables below them freed.
 */
#include "base/trace.h"
#include "mmu/flush.h"
#include "mmu/tdp_internal.h"
#include "sync/rcu.h"

static uint64_t zap_leafs(struct mmu *m, struct table *t, gfn_t base, gfn_t start, gfn_t end)
{
	uint64_t step = level_pages(t->level), n = 0;

	for (unsigned int i = tdp_first_index(base, step, start);
	     i < ENTRIES_PER_TABLE && base + i * step < end; i++) {
		spte_t spte = sptep_read(&t->spte[i]);

		if (spte_is_link(spte)) {
			n += zap_leafs(m, spte_link(spte), base + i * step, start, end);
		} else if (spte_is_leaf(spte)) {
			spte = sptep_xchg(&t->spte[i], NO_SPTE);
			mmu_count_leafs(m, t->level, -1);
			trace_spte_changed(base + i * step, t->level, spte.raw, 0);
			n++;
		}
	}
	return n;
}

uint64_t tdp_zap_leafs(struct mmu *m, gfn_t start, gfn_t end)
{
	uint64_t n = zap_leafs(m, m->root, 0, start, end);

	mmu_count_n(m, VM_STAT_mmu_zapped, n);
	return n;
}

static void zap_mmio(struct table *t)
{
	for (unsigned int i = 0; i < ENTRIES_PER_TABLE; i++) {
		spte_t spte = sptep_read(&t->spte[i]);

		if (spte_is_link(spte))
			zap_mmio(spte_link(spte));
		else if (spte_kind(spte) == SPTE_MMIO)
			sptep_xchg(&t->spte[i], NO_SPTE);
	}
}

void tdp_zap_mmio(struct mmu *m)
{
	zap_mmio(m->root);
}

/* Unlinked tables, and what was in them. */
struct frozen {
	struct table *dead;
	uint64_t n_leafs;
};

/* All below an unlinked entry; lookups that are under way may still read it. */
static void collect_dead(struct mmu *m, struct frozen *f, struct table *t)
{
	for (unsigned int i = 0; i < ENTRIES_PER_TABLE; i++) {
		spte_t spte = sptep_read(&t->spte[i]);

		if (spte_is_link(spte)) {
			collect_dead(m, f, spte_link(spte));
		} else if (spte_is_leaf(spte)) {
			mmu_count_leafs(m, t->level, -1);
			f->n_leafs++;
		}
	}
	t->next_dead = f->dead;
	f->dead = t;
}

static void freeze(struct mmu *m, struct frozen *f, struct table *t, unsigned int i)
{
	spte_t old = sptep_xchg(&t->spte[i], FROZEN_SPTE);

	if (spte_is_link(old)) {
		collect_dead(m, f, spte_link(old));
	} else if (spte_is_leaf(old)) {
		mmu_count_leafs(m, t->level, -1);
		f->n_leafs++;
	}
}

static bool is_within(gfn_t first, uint64_t pages, gfn_t start, gfn_t end)
{
	return first >= start && first + pages <= end;
}

/* The first pass. */
static void freeze_range(struct mmu *m, struct frozen *f, struct table *t, gfn_t base, gfn_t start,
			 gfn_t end)
{
	uint64_t step = level_pages(t->level);

	for (unsigned int i = tdp_first_index(base, step, start);
	     i < ENTRIES_PER_TABLE && base + i * step < end; i++) {
		spte_t spte = sptep_read(&t->spte[i]);

		if (spte_kind(spte) == SPTE_NONE)
			continue;
		if (is_within(base + i * step, step, start, end))
			freeze(m, f, t, i);
		else if (spte_is_link(spte))
			freeze_range(m, f, spte_link(spte), base + i * step, start, end);
	}
}

/* The second: what is frozen in the range, the first pass has frozen. */
static void thaw_range(struct table *t, gfn_t base, gfn_t start, gfn_t end)
{
	uint64_t step = level_pages(t->level);

	for (unsigned int i = tdp_first_index(base, step, start);
	     i < ENTRIES_PER_TABLE && base + i * step < end; i++) {
		spte_t spte = sptep_read(&t->spte[i]);

		if (spte_kind(spte) == SPTE_FROZEN)
			sptep_set(&t->spte[i], NO_SPTE);
		else if (spte_is_link(spte))
			thaw_range(spte_link(spte), base + i * step, start, end);
	}
}

void tdp_zap_slot(struct mmu *m, gfn_t start, gfn_t end)
{
	struct frozen f = { 0 };
	struct table *next;

	rwlock_rdlock(&m->lock);
	freeze_range(m, &f, m->root, 0, start, end);
	if (f.n_leafs || f.dead)
		flush_owe(m);
	rwlock_rdunlock(&m->lock);

	/*
	 * A vCPU in guest mode may be using what was frozen, in its TLB or on a
	 * walk; after this, none is.
	 */
	if (rule(UNLINK_FLUSH_FREE))
		flush_settle(m);

	rwlock_rdlock(&m->lock);
	thaw_range(m->root, 0, start, end);
	rwlock_rdunlock(&m->lock);

	if (f.dead && rule(WALKER_ANNOUNCE))
		rcu_synchronize();
	for (struct table *t = f.dead; t; t = next) {
		next = t->next_dead;
		tdp_free_table(m, t);
	}
	mmu_count_n(m, VM_STAT_mmu_zapped, f.n_leafs);
}
