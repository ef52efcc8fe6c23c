/* SPDX-License-Identifier: MIT */
#include "mmu/notifier.h"

#include "base/trace.h"
#include "mmu/tlb/flush.h"

struct unmap {
	struct mmu *mmu;
	hva_t start, end;
	struct range left;		/* of a slot; and of the piece for the next slot */
	uint64_t n_zapped;		/* since the debt was last recorded */
};

static void record_debt(struct mmu *m, struct unmap *u) REQUIRES(m->lock)
{
	if (u->n_zapped)
		flush_owe(m);
	u->n_zapped = 0;
}

/*
 * Drops the lock to let faults in.  Faults in the window still retry, but anyone who now finds
 * nothing mapped must be able to see the debt (YIELD_FLUSHES).
 */
static void yield_lock(struct unmap *u) REQUIRES(u->mmu->lock)
{
	if (rule(YIELD_FLUSHES))
		record_debt(u->mmu, u);
	rwlock_wrunlock(&u->mmu->lock);
	rwlock_wrlock(&u->mmu->lock);
}

/* The frames of @slot that have memory in [start, end); the rest of the piece stays. */
static void range_set(struct range *r, const struct memslot *slot, hva_t start, hva_t end)
{
	start = hva_max(start, slot->hva);
	end = hva_min(end, memslot_hva_end(slot));
	r->at = gfn_add(slot->base_gfn, hva_diff(start, slot->hva) >> PAGE_SHIFT);
	r->end = gfn_add(slot->base_gfn, ((hva_diff(end, slot->hva) - 1) >> PAGE_SHIFT) + 1);
}

static void unmap_slot(void *ctx, struct memslot *slot)
{
	struct unmap *u = ctx;

	rwlock_assert_held_write(&u->mmu->lock);
	range_set(&u->left, slot, u->start, u->end);
	for (;;) {
		u->n_zapped += u->mmu->ops->zap_leafs(u->mmu, &u->left);
		if (u->left.left)
			return;
		yield_lock(u);
		range_more(&u->left);
	}
}

static void note_slot(void *ctx, struct memslot *slot UNUSED)
{
	*(bool *)ctx = true;
}

static bool meets_slot(struct mmu *m, hva_t start, hva_t end)
{
	bool meets = false;

	rcu_read_begin();
	slot_tree_visit_hva(slots_current(m->slots)->by_hva, start, end, note_slot, &meets);
	rcu_read_end();
	return meets;
}

/*
 * The slots may be replaced meanwhile, but not freed: that waits for this section.  A new slot
 * does not matter, as it finds the change on record.
 */
static void unmap(struct unmap *u)
{
	struct mmu *m = u->mmu;

	rwlock_wrlock(&m->lock);
	rcu_read_begin();
	slot_tree_visit_hva(slots_current(m->slots)->by_hva, u->start, u->end, unmap_slot, u);
	rcu_read_end();
	record_debt(m, u);
	rwlock_wrunlock(&m->lock);
}

/* NOTIFIER_NEVER_TAKES_SLOTS_LOCK: its holder may be waiting for memory, whose provider may be
 * waiting for this. */
void mmu_withdraw(struct mmu *m, hva_t start, hva_t end)
{
	struct unmap u = {
		.mmu = m, .start = start, .end = end, .left = range_make(gfn_of(0), gfn_of(0)),
	};

	mmu_count(m, mmu_notifier_invalidations);
	if (!meets_slot(m, start, end))
		return;
	mmu_count(m, mmu_notifier_overlaps);
	trace_unmap_hva_range(start.raw, end.raw);
	unmap(&u);
	/*
	 * NO_SPTE_IMPLIES_NO_TLB: even if nothing was mapped.  Another thread may have dropped a
	 * translation of these pages and not flushed yet.
	 */
	if (rule(FLUSH_BEFORE_FREE))
		flush_settle(m);
	m->ops->reap(m, REAP_IF_MANY);
}

void mmu_restore(struct mmu *m, hva_t start, hva_t end)
{
	/* A slot created after this check finds the change done. */
	if (rule(SEQ_INC_BEFORE_COUNT_DEC) && meets_slot(m, start, end))
		atomic64_fetch_add(&m->invalidate_seq, 1);
}

/*
 * OPEN_BEFORE_ZAP: a fault that has already resolved the page either finds the change on record,
 * or its translation is dropped here: it installs under the MMU lock.  OPEN_WITHOUT_SLOT: a slot
 * created over the range meanwhile must find it.
 */
void mmu_invalidate_begin(struct mmu *m, hva_t start, hva_t end, struct invalidation *inv)
{
	*inv = (struct invalidation){ .mmu = m, .change = { .start = start, .end = end } };
	host_change_open(m->changes, &inv->change, start, end);
	mmu_withdraw(m, start, end);
}

void mmu_invalidate_end(struct invalidation *inv)
{
	struct mmu *m = inv->mmu;

	/* SEQ_INC_BEFORE_COUNT_DEC: a fault that does not see it on record must see that the
	 * sequence has changed. */
	mmu_restore(m, inv->change.start, inv->change.end);
	/* BEGIN_END_BALANCED: whatever slots there are now. */
	host_change_close(m->changes, &inv->change);
}

/* The record first: see mmu_invalidate_end(). */
bool mmu_invalidate_retry(const struct mmu *m, uint64_t seq, hva_t start, hva_t end)
{
	return host_changes_meet(m->changes, start, end) ||
	       atomic64_load_acquire(&m->invalidate_seq) != seq;
}

struct ageing {
	struct mmu *mmu;
	hva_t start, end;
	enum age how;
	bool young, flush;
};

/*
 * AGE_LEAVES_DEBT.  Without a flush TLBs keep entries whose A was cleared, and whoever clears
 * next finds no young entry although TLBs use the page.  This debt is for ageing alone.  Later
 * debt raises `owed` to at least this, and whoever pays that has flushed after this.
 */
static void leave_age_debt(struct mmu *m) REQUIRES(m->lock)
{
	m->age_debt = atomic64_load_relaxed(&m->owed) + 1;
}

static bool has_age_debt(const struct mmu *m) REQUIRES(m->lock)
{
	return rule(AGE_LEAVES_DEBT) && atomic64_load_acquire(&m->paid) < m->age_debt;
}

/* YIELD_FLUSHES: each piece records what it owes. */
static void age_piece(struct ageing *a, struct range *r)
{
	struct mmu *m = a->mmu;
	bool young;

	rwlock_wrlock(&m->lock);
	young = m->ops->age(m, r, a->how);
	a->young |= young;
	if (a->how == AGE_CLEAR && a->young)
		leave_age_debt(m);
	if (a->how == AGE_CLEAR_FLUSH && (young || has_age_debt(m))) {
		flush_owe(m);
		a->flush = true;
	}
	rwlock_wrunlock(&m->lock);
}

/* In an RCU section: no thread waits for its end while holding the MMU lock. */
static void age_slot(void *ctx, struct memslot *slot)
{
	struct ageing *a = ctx;
	struct range r = { 0 };

	range_set(&r, slot, a->start, a->end);

	while (range_more(&r) && (a->how != AGE_TEST || !a->young))
		age_piece(a, &r);
}

bool mmu_age(struct mmu *m, hva_t start, hva_t end, enum age how)
{
	struct ageing a = { .mmu = m, .start = start, .end = end, .how = how };

	rcu_read_begin();
	slot_tree_visit_hva(slots_current(m->slots)->by_hva, start, end, age_slot, &a);
	rcu_read_end();
	if (a.flush)
		flush_settle(m);
	return a.young;
}
