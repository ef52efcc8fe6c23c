/* SPDX-License-Identifier: MIT */
/*
 * mmu/tdp/zap.c - zapping direct translations.
 *
 * For the host (tdp_zap_leafs): under the MMU lock for write, leaf by leaf, and the
 * tables that are empty then.
 *
 * For large pages to come back (tdp_collapse): under the lock for write, a table as it
 * is.
 *
 * For a slot that goes (tdp_zap_slot): under the lock for read.  Each entry is
 * first frozen, which keeps faults from putting anything in its place; then all
 * is flushed; then the entries are emptied and the tables below them freed.
 */
#include "mmu/paging/table.h"
#include "mmu/tdp/internal.h"
#include "mmu/tlb/flush.h"
#include "sync/rcu.h"

/* --- for the host ------------------------------------------------------------------ */

/* What was looked at to find that out is part of the piece. */
static bool is_empty(const struct table *t, struct range *r)
{
	unsigned int n = 0;

	while (n < ENTRIES_PER_TABLE && spte_kind(sptep_read(&t->spte[n])) == SPTE_NONE)
		n++;
	range_charge(r, n);
	return n == ENTRIES_PER_TABLE;
}

/* No entry is installed meanwhile: that needs the lock. */
static void unlink_table(struct mmu *m, const struct table_place *at) REQUIRES(m->lock)
{
	table_replace(m, at, NO_SPTE);
	tdp_table_bury(m, spte_link(at->spte));
}

uint64_t tdp_zap_leafs(struct mmu *m, struct range *r)
{
	uint64_t n = 0;

	rwlock_assert_held_write(&m->lock);
	tdp_for_each(it, m, r) {
		if (spte_is_leaf(it.at.spte)) {
			table_replace(m, &it.at, NO_SPTE);
			n++;
		} else if (!tdp_iter_is_after(&it)) {
			tdp_iter_enter(&it);
		} else if (is_empty(spte_link(it.at.spte), r)) {
			unlink_table(m, &it.at);
		}
	}
	mmu_count_n(m, VM_STAT_mmu_zapped, n);
	return n;
}

static void forget_mmio(struct mmu *m, struct range *r) REQUIRES(m->lock)
{
	tdp_for_each(it, m, r) {
		if (spte_kind(it.at.spte) == SPTE_MMIO)
			table_replace(m, &it.at, NO_SPTE);
		tdp_iter_enter(&it);
	}
}

/* For write: a fault that read the generation before it was marked is done with the tables when
 * the first piece begins, and one that reads it later installs nothing. */
void tdp_zap_mmio(struct mmu *m)
{
	struct range r = range_make(gfn_of(0), gfn_of(MMIO_MAX_GFN + 1));

	while (range_more(&r)) {
		r.left = TABLES_BEFORE_YIELD * ENTRIES_PER_TABLE;
		rwlock_wrlock(&m->lock);
		forget_mmio(m, &r);
		rwlock_wrunlock(&m->lock);
	}
	mmu_count(m, mmio_generation_wraps);
}

/* The leafs of a table that was unlinked are gone with it; lookups in progress may still read
 * them.  It has no tables below: those went before.  Returns their number. */
static uint64_t count_out_leafs(struct mmu *m, const struct table *t)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < ENTRIES_PER_TABLE; i++) {
		spte_t spte = sptep_read(&t->spte[i]);

		bug_on(spte_is_link(spte));
		n += spte_is_leaf(spte);
	}
	if (n)
		table_count_leafs(m, t->level, -(int64_t)n);
	return n;
}

/* --- for large pages ------------------------------------------------------------------ */

bool tdp_is_split(struct mmu *m, gfn_t gfn, int level)
{
	bool is_split;

	rcu_read_begin();
	is_split = tdp_lookup(m, gfn).level < level;
	rcu_read_end();
	return is_split;
}

static bool has_links(const struct table *t)
{
	for (unsigned int i = 0; i < ENTRIES_PER_TABLE; i++)
		if (spte_is_link(sptep_read(&t->spte[i])))
			return true;
	return false;
}

/*
 * Tables of @level and below, from the lowest up: one that faults have added to while the lock was
 * dropped stays, and so do those above it.  That is rare, and the page is mapped as before then.
 */
static uint64_t collapse_piece(struct mmu *m, struct range *r, int level) REQUIRES(m->lock)
{
	uint64_t n = 0;

	tdp_for_each(it, m, r) {
		if (!spte_is_link(it.at.spte))
			continue;
		if (it.at.level > LEVEL_2M && !tdp_iter_is_after(&it)) {
			tdp_iter_enter(&it);
		} else if (it.at.level <= level && !has_links(spte_link(it.at.spte))) {
			range_charge(r, ENTRIES_PER_TABLE);
			n += count_out_leafs(m, spte_link(it.at.spte));
			unlink_table(m, &it.at);
		}
	}
	return n;
}

void tdp_collapse(struct mmu *m, gfn_t gfn, int level)
{
	struct range r = range_make(gfn, gfn_add(gfn, level_pages(level)));

	while (range_more(&r)) {
		uint64_t n;

		rwlock_wrlock(&m->lock);
		n = collapse_piece(m, &r, level);
		rwlock_wrunlock(&m->lock);
		mmu_count_n(m, VM_STAT_mmu_zapped, n);
	}
}

/* --- for a slot that goes --------------------------------------------------------------- */

/* Unlinked tables, and the number of leafs that are gone. */
struct frozen {
	struct mmu *mmu;
	gfn_t start, end;
	struct range left;
	enum flush_due due;	/* since the debt was last recorded */
	struct table *dead;
	uint64_t n_leafs;
};

static void freeze(struct frozen *f, const struct table_place *at)
{
	spte_t old = sptep_xchg(at->sptep, FROZEN_SPTE);

	flush_raise(&f->due, table_entry_changed(f->mmu, at->gfn, at->level, old, FROZEN_SPTE));
	if (spte_is_link(old)) {
		struct table *t = spte_link(old);

		flush_raise(&f->due, FLUSH_DUE_LATER);
		range_charge(&f->left, ENTRIES_PER_TABLE);
		f->n_leafs += count_out_leafs(f->mmu, t);
		t->next_dead = f->dead;
		f->dead = t;
	}
	f->n_leafs += spte_is_leaf(old);
}

static bool is_within(const struct frozen *f, const struct table_place *at)
{
	gfn_t end = gfn_add(at->gfn, level_pages(at->level));

	return gfn_le(f->start, at->gfn) && gfn_le(end, f->end);
}

/* The first pass: a table at a time, so that the piece is not longer than it may be. */
static void freeze_piece(struct frozen *f)
{
	tdp_for_each(it, f->mmu, &f->left) {
		bool whole = is_within(f, &it.at);

		if (whole && (tdp_iter_is_after(&it) || it.at.level == LEVEL_2M ||
			      !spte_is_link(it.at.spte)))
			freeze(f, &it.at);
		else
			tdp_iter_enter(&it);
	}
}

/* The second: what is frozen in the range, the first pass has frozen. */
static void thaw_piece(struct mmu *m, struct range *r)
{
	tdp_for_each(it, m, r) {
		if (spte_kind(it.at.spte) == SPTE_FROZEN)
			table_replace(m, &it.at, NO_SPTE);
		tdp_iter_enter(&it);
	}
}

static void freeze_all(struct frozen *f)
{
	struct mmu *m = f->mmu;

	while (range_more(&f->left)) {
		rwlock_rdlock(&m->lock);
		freeze_piece(f);
		/* YIELD_FLUSHES: if the host revokes a page of this piece, it finds the entry
		 * frozen, and the debt. */
		flush_record(m, &f->due);
		rwlock_rdunlock(&m->lock);
	}
}

static void thaw_all(struct mmu *m, gfn_t start, gfn_t end)
{
	struct range r = range_make(start, end);

	while (range_more(&r)) {
		rwlock_rdlock(&m->lock);
		thaw_piece(m, &r);
		rwlock_rdunlock(&m->lock);
	}
}

void tdp_zap_slot(struct mmu *m, const struct memslot *slot)
{
	gfn_t start = slot->base_gfn, end = memslot_gfn_end(slot);
	struct frozen f = { .mmu = m, .start = start, .end = end, .left = range_make(start, end) };

	freeze_all(&f);
	/*
	 * A vCPU in guest mode may be using a frozen entry, in its TLB or on a walk; after this,
	 * none is.
	 */
	if (rule(UNLINK_FLUSH_FREE))
		flush_settle(m);

	thaw_all(m, start, end);

	if (f.dead && rule(WALKER_ANNOUNCE))
		rcu_synchronize();
	tdp_table_free_dead(m, f.dead);
	mmu_count_n(m, VM_STAT_mmu_zapped, f.n_leafs);
}
