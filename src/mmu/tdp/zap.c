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

struct zap {
	struct mmu *mmu;
	uint64_t n;
};

static bool zap_entry(void *ctx, const struct table_place *at)
{
	struct zap *z = ctx;

	if (!spte_is_leaf(at->spte))
		return true;
	table_replace(z->mmu, at, NO_SPTE);
	z->n++;
	return false;
}

static bool is_empty(const struct table *t)
{
	for (unsigned int i = 0; i < ENTRIES_PER_TABLE; i++)
		if (spte_kind(sptep_read(&t->spte[i])) != SPTE_NONE)
			return false;
	return true;
}

/* No entry is installed meanwhile: that needs the lock. */
static void zap_table(void *ctx, const struct table_place *at)
{
	struct zap *z = ctx;
	struct table *t = spte_link(at->spte);

	rwlock_assert_held_write(&z->mmu->lock);
	if (!is_empty(t))
		return;
	table_replace(z->mmu, at, NO_SPTE);
	tdp_table_bury(z->mmu, t);
}

uint64_t tdp_zap_leafs(struct mmu *m, struct range *r)
{
	struct zap z = { .mmu = m };

	rwlock_assert_held_write(&m->lock);
	tdp_visit(m, r, &(struct tdp_visitor){ zap_entry, zap_table, &z });
	mmu_count_n(m, VM_STAT_mmu_zapped, z.n);
	return z.n;
}

static bool forget_mmio(void *ctx, const struct table_place *at)
{
	if (spte_kind(at->spte) == SPTE_MMIO)
		table_replace(ctx, at, NO_SPTE);
	return true;
}

/* For write: a fault that read the generation before it was marked is done with the tables when
 * the first piece begins, and one that reads it later installs nothing. */
void tdp_zap_mmio(struct mmu *m)
{
	struct range r = range_make(gfn_of(0), gfn_of(MMIO_MAX_GFN + 1));

	while (range_more(&r)) {
		r.left = TABLES_BEFORE_YIELD * ENTRIES_PER_TABLE;
		rwlock_wrlock(&m->lock);
		tdp_visit(m, &r, &(struct tdp_visitor){ .fn = forget_mmio, .ctx = m });
		rwlock_wrunlock(&m->lock);
	}
	mmu_count(m, mmio_generation_wraps);
}

/* Unlinked tables, and the number of their leafs. */
struct frozen {
	struct mmu *mmu;
	gfn_t start, end;
	struct range left;
	enum flush_due due;	/* since the debt was last recorded */
	struct table *dead;
	uint64_t n_leafs;
};

/* Everything below an unlinked entry; lookups in progress may still read it. */
static void collect_dead(struct mmu *m, struct frozen *f, struct table *t)
{
	for (unsigned int i = 0; i < ENTRIES_PER_TABLE; i++) {
		spte_t spte = sptep_read(&t->spte[i]);

		if (spte_is_link(spte)) {
			collect_dead(m, f, spte_link(spte));
		} else if (spte_is_leaf(spte)) {
			table_count_leafs(m, t->level, -1);
			f->n_leafs++;
		}
	}
	t->next_dead = f->dead;
	f->dead = t;
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

/* The entry of @level for @gfn; NULL: a higher one ends the way. */
static struct spte_word *sptep_at(const struct mmu *m, gfn_t gfn, int level)
{
	struct table *t = m->root;

	for (int at = TDP_ROOT_LEVEL; at > level; at--) {
		spte_t spte = sptep_read(&t->spte[gfn_index(gfn, at)]);

		if (!spte_is_link(spte))
			return NULL;
		t = spte_link(spte);
	}
	return &t->spte[gfn_index(gfn, level)];
}

void tdp_collapse(struct mmu *m, gfn_t gfn, int level)
{
	struct frozen f = { 0 };
	struct table_place at = { .gfn = gfn, .level = level };

	rwlock_wrlock(&m->lock);
	at.sptep = sptep_at(m, gfn, level);
	at.spte = at.sptep ? sptep_read(at.sptep) : NO_SPTE;
	if (spte_is_link(at.spte)) {
		table_replace(m, &at, NO_SPTE);
		collect_dead(m, &f, spte_link(at.spte));
	}
	for (struct table *next; f.dead; f.dead = next) {
		next = f.dead->next_dead;
		tdp_table_bury(m, f.dead);
	}
	rwlock_wrunlock(&m->lock);
	mmu_count_n(m, VM_STAT_mmu_zapped, f.n_leafs);
}

/* --- for a slot that goes --------------------------------------------------------------- */

static void freeze(struct frozen *f, const struct table_place *at)
{
	spte_t old = sptep_xchg(at->sptep, FROZEN_SPTE);

	flush_raise(&f->due, table_entry_changed(f->mmu, at->gfn, at->level, old, FROZEN_SPTE));
	if (spte_is_link(old)) {
		flush_raise(&f->due, FLUSH_DUE_LATER);
		range_charge(&f->left, ENTRIES_PER_TABLE);
		collect_dead(f->mmu, f, spte_link(old));
	}
	f->n_leafs += spte_is_leaf(old);
}

static bool is_within(const struct frozen *f, const struct table_place *at)
{
	gfn_t end = gfn_add(at->gfn, level_pages(at->level));

	return gfn_le(f->start, at->gfn) && gfn_le(end, f->end);
}

/* The first pass: a table at a time, so that the piece is not longer than it may be. */
static bool freeze_entry(void *ctx, const struct table_place *at)
{
	struct frozen *f = ctx;

	if (!is_within(f, at) || (spte_is_link(at->spte) && at->level > LEVEL_2M))
		return true;
	freeze(f, at);
	return false;
}

/* All below it is frozen. */
static void freeze_after(void *ctx, const struct table_place *at)
{
	if (is_within(ctx, at))
		freeze(ctx, at);
}

/* The second: what is frozen in the range, the first pass has frozen. */
static bool thaw_entry(void *ctx, const struct table_place *at)
{
	if (spte_kind(at->spte) == SPTE_FROZEN)
		table_replace(ctx, at, NO_SPTE);
	return true;
}

static void freeze_all(struct frozen *f)
{
	const struct tdp_visitor v = { freeze_entry, freeze_after, f };
	struct mmu *m = f->mmu;

	while (range_more(&f->left)) {
		rwlock_rdlock(&m->lock);
		tdp_visit(m, &f->left, &v);
		/* YIELD_FLUSHES: if the host revokes a page of this piece, it finds the entry
		 * frozen, and the debt. */
		flush_record(m, &f->due);
		rwlock_rdunlock(&m->lock);
	}
}

static void thaw_all(struct mmu *m, gfn_t start, gfn_t end)
{
	const struct tdp_visitor v = { .fn = thaw_entry, .ctx = m };
	struct range r = range_make(start, end);

	while (range_more(&r)) {
		rwlock_rdlock(&m->lock);
		tdp_visit(m, &r, &v);
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
