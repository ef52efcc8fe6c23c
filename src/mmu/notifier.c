/* SPDX-License-Identifier: MIT */
#include "mmu/notifier.h"

#include "base/trace.h"
#include "mmu/flush.h"

/* Faults elsewhere need the MMU lock too: it is not held for longer than it takes
 * to drop this many translations, and those of 1 GiB more. */
#ifndef ZAPS_BEFORE_YIELD
#define ZAPS_BEFORE_YIELD 4096
#endif

struct unmap {
	struct mmu *mmu;
	hva_t start, end;
	bool overlaps;
	uint64_t n_zapped;		/* since the debt was last recorded */
	bool any_zapped;
};

static void note_overlap(void *ctx, struct memslot *slot UNUSED)
{
	((struct unmap *)ctx)->overlaps = true;
}

static void record_debt(struct mmu *m, struct unmap *u) REQUIRES(m->lock)
{
	if (u->n_zapped)
		flush_owe(m);
	u->any_zapped |= u->n_zapped;
	u->n_zapped = 0;
}

/*
 * Lets faults in.  Those in the window still retry; but who finds nothing mapped
 * here any more must find the debt (YIELD_FLUSHES).
 */
static void yield_lock(struct unmap *u) REQUIRES(u->mmu->lock)
{
	if (rule(YIELD_FLUSHES))
		record_debt(u->mmu, u);
	rwlock_wrunlock(&u->mmu->lock);
	rwlock_wrlock(&u->mmu->lock);
}

static void unmap_slot(void *ctx, struct memslot *slot) NO_THREAD_SAFETY
{
	struct unmap *u = ctx;
	hva_t start = MAX(u->start, slot->hva), end = MIN(u->end, memslot_hva_end(slot));
	gfn_t first = slot->base_gfn + ((start - slot->hva) >> PAGE_SHIFT);
	gfn_t last = slot->base_gfn + ((end - 1 - slot->hva) >> PAGE_SHIFT);
	gfn_t next;

	for (; first <= last; first = next) {
		next = MIN(level_align(first, LEVEL_1G) + level_pages(LEVEL_1G), last + 1);
		if (mutant(FLUSH_OVERWRITTEN))
			u->n_zapped = 0;
		u->n_zapped += u->mmu->ops->zap_leafs(u->mmu, first, next);
		if (u->n_zapped >= ZAPS_BEFORE_YIELD)
			yield_lock(u);
	}
}

/* WINDOW_UNION: the hull of all that are open; it shrinks only to nothing. */
static void open_window(struct mmu *m, hva_t start, hva_t end) REQUIRES(m->lock)
{
	atomic32_fetch_add(&m->invalidations_open, 1);
	/* WINDOW_UNITS: what it is compared with are addresses. */
	if (!rule(WINDOW_UNITS)) {
		start >>= PAGE_SHIFT;
		end >>= PAGE_SHIFT;
	}
	if (m->invalidate_count++ == 0 || !rule(WINDOW_UNION)) {
		m->invalidate_start = start;
		m->invalidate_end = end;
		return;
	}
	m->invalidate_start = MIN(m->invalidate_start, start);
	m->invalidate_end = MAX(m->invalidate_end, end);
}

/*
 * No RCU section: the slots stay as they are until the end.  And no slots_lock: who has
 * it may be waiting for that end (NOTIFIER_NEVER_TAKES_SLOTS_LOCK).
 */
static const struct slot_set *slots_until_end(struct mmu *m) NO_THREAD_SAFETY
{
	const struct slot_set *set;

	if (rule(NOTIFIER_NEVER_TAKES_SLOTS_LOCK))
		return slots_current(m->slots);
	mutex_lock(&m->slots->lock);
	set = slots_current(m->slots);
	mutex_unlock(&m->slots->lock);
	return set;
}

void mmu_invalidate_begin(struct mmu *m, hva_t start, hva_t end, struct invalidation *inv)
{
	struct unmap u = { .mmu = m, .start = start, .end = end };
	const struct slot_set *set;

	mmu_count(m, mmu_notifier_invalidations);
	slots_invalidate_begin(m->slots);
	set = slots_until_end(m);
	slot_tree_visit_hva(set->by_hva, start, end, note_overlap, &u);
	*inv = (struct invalidation){ .mmu = m, .overlaps = u.overlaps };
	if (!u.overlaps)
		return;
	mmu_count(m, mmu_notifier_overlaps);
	trace_unmap_hva_range(start, end);

	/*
	 * COUNT_INC_THEN_ZAP_SAME_CS: a fault that has resolved the page
	 * already finds the count raised, or its translation is dropped here.
	 */
	rwlock_wrlock(&m->lock);
	if (rule(COUNT_INC_THEN_ZAP_SAME_CS))
		open_window(m, start, end);
	if (mutant(FLUSH_BEFORE_CLEAR)) {
		flush_owe(m);
		flush_settle(m);
	}
	slot_tree_visit_hva(set->by_hva, start, end, unmap_slot, &u);
	record_debt(m, &u);
	if (!rule(COUNT_INC_THEN_ZAP_SAME_CS)) {
		rwlock_wrunlock(&m->lock);
		rwlock_wrlock(&m->lock);
		open_window(m, start, end);
	}
	rwlock_wrunlock(&m->lock);

	/*
	 * Also if nothing was mapped: somebody else may have dropped a
	 * translation of these pages and not have flushed yet.
	 */
	if ((u.any_zapped || rule(NO_SPTE_IMPLIES_NO_TLB)) && rule(FLUSH_BEFORE_FREE) &&
	    !mutant(FLUSH_BEFORE_CLEAR))
		flush_settle(m);
}

void mmu_invalidate_end(struct invalidation *inv)
{
	struct mmu *m = inv->mmu;

	if (inv->overlaps) {
		rwlock_wrlock(&m->lock);
		/* A fault that sees the count gone must see the sequence moved. */
		if (rule(SEQ_INC_BEFORE_COUNT_DEC))
			atomic64_store_release(&m->invalidate_seq,
					       atomic64_load_relaxed(&m->invalidate_seq) + 1);
		bug_on(!m->invalidate_count);
		m->invalidate_count--;
		atomic32_fetch_add(&m->invalidations_open, (uint32_t)-1);
		rwlock_wrunlock(&m->lock);
	}
	/* BEGIN_END_BALANCED: also if no slot was met. */
	if (inv->overlaps || rule(BEGIN_END_BALANCED))
		slots_invalidate_end(m->slots);
}

bool mmu_invalidate_retry(const struct mmu *m, uint64_t seq, hva_t start, hva_t end)
{
	if (m->invalidate_count && start < m->invalidate_end && end > m->invalidate_start)
		return true;
	return atomic64_load_acquire(&m->invalidate_seq) != seq;
}

struct ageing {
	struct mmu *mmu;
	hva_t start, end;
	bool clear, young;
};

static void age_slot(void *ctx, struct memslot *slot) NO_THREAD_SAFETY
{
	struct ageing *a = ctx;
	hva_t start = MAX(a->start, slot->hva), end = MIN(a->end, memslot_hva_end(slot));
	gfn_t first = slot->base_gfn + ((start - slot->hva) >> PAGE_SHIFT);
	gfn_t last = slot->base_gfn + ((end - 1 - slot->hva) >> PAGE_SHIFT);

	a->young |= a->mmu->ops->age(a->mmu, first, last + 1, a->clear);
}

bool mmu_age(struct mmu *m, hva_t start, hva_t end, enum age how)
{
	struct ageing a = { .mmu = m, .start = start, .end = end, .clear = how != AGE_TEST };

	rwlock_wrlock(&m->lock);
	rcu_read_begin();
	slot_tree_visit_hva(slots_current(m->slots)->by_hva, start, end, age_slot, &a);
	rcu_read_end();
	if (a.young && how == AGE_CLEAR_FLUSH)
		flush_owe(m);
	rwlock_wrunlock(&m->lock);
	if (a.young && how == AGE_CLEAR_FLUSH)
		flush_settle(m);
	return a.young;
}
