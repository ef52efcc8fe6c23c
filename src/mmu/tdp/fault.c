/* SPDX-License-Identifier: MIT */
/* mmu/tdp/fault.c - a guest physical address that the direct tables do not translate yet. */
#include "mmu/fault.h"

#include "base/trace.h"
#include "mmu/dirty.h"
#include "mmu/mmio.h"
#include "mmu/tdp/internal.h"
#include "sync/rcu.h"
#include "sync/thread.h"

/*
 * A write to a page that is only protected for logging: restores W without the lock and without
 * asking the host.  Correct only because the tables are direct: the entry cannot belong to
 * another frame by now (FAST_PF_ONLY_DIRECT).
 */
static bool fix_fast(struct mmu_vcpu *v, struct fault *f, enum fault_verdict *verdict)
{
	struct table_entry *e = &f->entry;
	const struct memslot *slot;
	spte_t old, new;
	bool fixed = false;

	/* As the miss found it. */
	if (!f->write || !(e->spte.raw & SPTE_MMUW))
		return false;

	rcu_read_begin();
	slot = slot_set_find_hinted(slots_current(v->mmu->slots), f->gfn, &v->slot_hint);
	tdp_look_again(v->mmu, e, f->gfn);
	if (!slot || (rule(FAST_PF_REJECTS_MMIO) && !spte_is_leaf(e->spte)) ||
	    spte_is_writable(e->spte) || !(e->spte.raw & SPTE_MMUW))
		goto out;
	/* Split a large page first: one bit of the log covers 4 KiB. */
	if (memslot_is_logged(slot) && e->level > LEVEL_4K && rule(NO_HUGE_WRITABLE_WHEN_LOGGING))
		goto out;
	if (dirty_ring_blocks(v, slot)) {
		*verdict = FAULT_RING_FULL;
		fixed = true;
		goto out;
	}
	old = e->spte;
	new.raw = old.raw | SPTE_W;
	if (sptep_cmpxchg(e->sptep, &e->spte, new)) {
		table_entry_changed(v->mmu, f->gfn, e->level, old, new);
		trace_fast_page_fault(v->index, f->gpa.raw, old.raw, new.raw);
		/* SET_BIT_ORDER_VCPU: not before. */
		dirty_mark(v, slot, f->gfn);
		vcpu_count(v, pf_fast);
		*verdict = FAULT_FIXED;
		fixed = true;
	}
out:
	rcu_read_end();
	return fixed;
}

static enum fault_verdict remember_mmio(struct mmu_vcpu *v, struct fault *f)
{
	if (mmio_in_flux(f->generation) && rule(GEN_FROM_SAME_SNAPSHOT))
		return FAULT_MMIO;
	rwlock_rdlock(&v->mmu->lock);
	rcu_read_begin();
	if (fault_may_keep_mmio(v->mmu, f))
		tdp_map_mmio(v->mmu, f);
	rcu_read_end();
	rwlock_rdunlock(&v->mmu->lock);
	vcpu_count(v, pf_mmio);
	return FAULT_MMIO;
}

/* In a logged slot only a write makes a page writable. */
static uint64_t leaf_bits(const struct fault *f, const struct host_page *page,
			  const struct memslot *slot)
{
	uint64_t bits = SPTE_U;

	if (page->writable)
		bits |= SPTE_HOSTW | SPTE_MMUW;
	if (page->writable && (f->write || !memslot_is_logged(slot)))
		bits |= SPTE_W;
	return bits;
}

static enum fault_verdict install_page(struct mmu_vcpu *v, struct fault *f,
				       const struct host_page *page)
{
	enum fault_verdict verdict = FAULT_RETRY;
	const struct memslot *slot;
	bool lost = false;

	rwlock_rdlock(&v->mmu->lock);
	rcu_read_begin();
	slot = fault_still_holds(v, f, page);
	if (!slot)
		goto out;
	if (f->write && dirty_ring_blocks(v, slot)) {
		verdict = FAULT_RING_FULL;
		goto out;
	}
	verdict = tdp_map(v->mmu, f, page, leaf_bits(f, page, slot));
	if (f->write && verdict == FAULT_FIXED)
		dirty_mark(v, slot, f->gfn);
	lost = verdict == FAULT_RETRY;
out:
	rcu_read_end();
	rwlock_rdunlock(&v->mmu->lock);
	/* The thread that froze the entry may need this CPU to make progress. */
	if (lost)
		thread_yield();
	return verdict;
}

static enum fault_verdict fix_fault(struct mmu_vcpu *v, struct fault *f)
{
	enum fault_verdict verdict;
	struct host_page page;

	if (fix_fast(v, f, &verdict))
		return verdict;
	f->max_level = tdp_max_level(f->entry.level);
	verdict = fault_resolve(v, f, &page);
	if (verdict == FAULT_MMIO)
		return remember_mmio(v, f);
	return verdict == FAULT_FIXED ? install_page(v, f, &page) : verdict;
}

enum fault_verdict tdp_fault_at(struct mmu_vcpu *v, struct fault *f)
{
	enum fault_verdict verdict;

	trace_page_fault(v->index, f->gpa.raw, f->write);
	vcpu_count(v, pf_taken);
	verdict = fix_fault(v, f);
	fault_count_verdict(v, verdict);
	return verdict;
}

enum fault_verdict tdp_fault(struct mmu_vcpu *v, gpa_t gpa, enum access access)
{
	struct fault f;

	fault_begin(&f, gpa, access);
	rcu_read_begin();
	f.entry = tdp_lookup(v->mmu, f.gfn);
	rcu_read_end();
	return tdp_fault_at(v, &f);
}
