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

struct zap {
	struct mmu *mmu;
	uint64_t n;
};

static bool zap_entry(void *ctx, const struct tdp_place *at)
{
	struct zap *z = ctx;
	spte_t old;

	if (!spte_is_leaf(at->spte))
		return true;
	old = sptep_xchg(at->slot, NO_SPTE);
	mmu_count_leafs(z->mmu, at->level, -1);
	trace_spte_changed(at->gfn, at->level, old.raw, 0);
	(void)old;
	z->n++;
	return false;
}

uint64_t tdp_zap_leafs(struct mmu *m, struct range *r)
{
	struct zap z = { .mmu = m };

	tdp_visit(m, r, &(struct tdp_visitor){ .fn = zap_entry, .ctx = &z });
	mmu_count_n(m, VM_STAT_mmu_zapped, z.n);
	return z.n;
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
	struct mmu *mmu;
	gfn_t start, end;
	struct range left;
	bool owes;		/* since the debt was last recorded */
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

static void freeze(struct frozen *f, const struct tdp_place *at)
{
	spte_t old = sptep_xchg(at->slot, FROZEN_SPTE);

	f->owes = true;
	if (spte_is_link(old)) {
		range_charge(&f->left, ENTRIES_PER_TABLE);
		collect_dead(f->mmu, f, spte_link(old));
	} else if (spte_is_leaf(old)) {
		mmu_count_leafs(f->mmu, at->level, -1);
		f->n_leafs++;
	}
}

static bool is_within(const struct frozen *f, const struct tdp_place *at)
{
	return at->gfn >= f->start && at->gfn + level_pages(at->level) <= f->end;
}

/* The first pass: a table at a time, so that the piece is not longer than it may be. */
static bool freeze_entry(void *ctx, const struct tdp_place *at)
{
	struct frozen *f = ctx;

	if (!is_within(f, at) || (spte_is_link(at->spte) && at->level > LEVEL_2M))
		return true;
	freeze(f, at);
	return false;
}

/* All below it is frozen. */
static void freeze_after(void *ctx, const struct tdp_place *at)
{
	if (is_within(ctx, at))
		freeze(ctx, at);
}

/* The second: what is frozen in the range, the first pass has frozen. */
static bool thaw_entry(void *ctx UNUSED, const struct tdp_place *at)
{
	if (spte_kind(at->spte) == SPTE_FROZEN)
		sptep_set(at->slot, NO_SPTE);
	return true;
}

static void freeze_all(struct frozen *f)
{
	const struct tdp_visitor v = { freeze_entry, freeze_after, f };
	struct mmu *m = f->mmu;

	while (range_more(&f->left)) {
		rwlock_rdlock(&m->lock);
		tdp_visit(m, &f->left, &v);
		/* The host takes a page of this piece: it finds it frozen, and the debt. */
		if (f->owes && (rule(YIELD_FLUSHES) || f->left.at >= f->end)) {
			flush_owe(m);
			f->owes = false;
		}
		rwlock_rdunlock(&m->lock);
	}
}

static void thaw_all(struct mmu *m, gfn_t start, gfn_t end)
{
	const struct tdp_visitor v = { .fn = thaw_entry };
	struct range r = range_make(start, end);

	while (range_more(&r)) {
		rwlock_rdlock(&m->lock);
		tdp_visit(m, &r, &v);
		rwlock_rdunlock(&m->lock);
	}
}

void tdp_zap_slot(struct mmu *m, gfn_t start, gfn_t end)
{
	struct frozen f = { .mmu = m, .start = start, .end = end, .left = range_make(start, end) };
	struct table *next;

	freeze_all(&f);
	/*
	 * A vCPU in guest mode may be using what was frozen, in its TLB or on a
	 * walk; after this, none is.
	 */
	if (rule(UNLINK_FLUSH_FREE))
		flush_settle(m);

	thaw_all(m, start, end);

	if (f.dead && rule(WALKER_ANNOUNCE))
		rcu_synchronize();
	for (struct table *t = f.dead; t; t = next) {
		next = t->next_dead;
		tdp_free_table(m, t);
	}
	mmu_count_n(m, VM_STAT_mmu_zapped, f.n_leafs);
}
