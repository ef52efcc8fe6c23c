/* SPDX-License-Identifier: MIT */
#include "mmu/fault.h"

#include "base/trace.h"
#include "mmu/dirty.h"
#include "mmu/mmio.h"
#include "mmu/notifier.h"
#include "mmu/tdp/tdp.h"
#include "sync/rcu.h"
#include "sync/thread.h"

/*
 * A write to a page that is only protected for logging: restores W without the lock and without
 * asking the host.  Correct only because the tables are direct: the entry cannot belong to
 * another frame by now (FAST_PF_ONLY_DIRECT).
 */
static bool fix_fast(struct mmu_vcpu *v, const struct fault *f, enum fault_verdict *verdict)
{
	const struct memslot *slot;
	struct tdp_entry e;
	spte_t new;
	bool fixed = false;

	if (!f->write)
		return false;

	rcu_read_begin();
	slot = slot_set_find_hinted(slots_current(v->mmu->slots), f->gfn, &v->slot_hint);
	e = tdp_lookup(v->mmu, f->gfn);
	if (!slot || (rule(FAST_PF_REJECTS_MMIO) && !spte_is_leaf(e.spte)) ||
	    spte_is_writable(e.spte) || !(e.spte.raw & SPTE_MMUW))
		goto out;
	/* Split a large page first: one bit of the log covers 4 KiB. */
	if (memslot_is_logged(slot) && e.level > LEVEL_4K && rule(NO_HUGE_WRITABLE_WHEN_LOGGING))
		goto out;
	if (dirty_ring_blocks(v, slot)) {
		*verdict = FAULT_RING_FULL;
		fixed = true;
		goto out;
	}
	new.raw = e.spte.raw | SPTE_W;
	if (!rule(SET_BIT_ORDER_VCPU))
		dirty_mark(v, slot, f->gfn);
	if (sptep_cmpxchg(e.slot, &e.spte, new)) {
		trace_fast_page_fault(v->index, f->gpa, e.spte.raw, new.raw);
		if (rule(SET_BIT_ORDER_VCPU))
			dirty_mark(v, slot, f->gfn);
		vcpu_count(v, pf_fast);
		*verdict = FAULT_FIXED;
		fixed = true;
	}
out:
	rcu_read_end();
	return fixed;
}

/* Finds the memory behind the address, if any. */
static enum fault_verdict find_memory(struct mmu_vcpu *v, struct fault *f)
{
	const struct slot_set *set;
	const struct memslot *slot;
	enum fault_verdict verdict = FAULT_FIXED;

	/* Before the slots: see mem/slots.h. */
	f->generation = mmio_generation(v->mmu);

	rcu_read_begin();
	set = slots_current(v->mmu->slots);
	f->set_version = set->version;
	slot = slot_set_find_hinted(set, f->gfn, &v->slot_hint);
	if (!slot) {
		verdict = FAULT_MMIO;
	} else if (slot->flags & MEMSLOT_INVALID) {
		/* Being moved or deleted: neither memory nor MMIO yet. */
		verdict = mutant(INVALID_SLOT_IS_MMIO) ? FAULT_MMIO : FAULT_RETRY;
	} else if (f->write && (slot->flags & KVM_MEM_READONLY)) {
		verdict = FAULT_MMIO;
		f->generation = GENERATION_IN_PROGRESS; /* reads are not MMIO */
	} else {
		f->slot_version = slot->version;
		f->slot_flags = slot->flags;
		f->hva = memslot_gfn_to_hva(slot, f->gfn);
		if (!memslot_is_logged(slot) || !rule(NO_HUGE_WRITABLE_WHEN_LOGGING))
			f->max_level = MIN(memslot_max_level(slot, f->gfn), f->max_level);
		else
			f->max_level = LEVEL_4K;
	}
	rcu_read_end();
	return verdict;
}

/*
 * The host has no such page; recheck that this was the right page to ask for.  During an
 * invalidation it may be missing for a moment.
 */
static enum fault_verdict host_has_none(struct mmu_vcpu *v, const struct fault *f)
{
	const struct memslot *slot;
	bool current;

	rcu_read_begin();
	slot = slot_set_find(slots_current(v->mmu->slots), f->gfn);
	current = slot && slot->version == f->slot_version &&
		  !mmu_invalidate_retry(v->mmu, f->seq, f->hva, f->hva + PAGE_SIZE);
	rcu_read_end();
	if (!current)
		return FAULT_RETRY;
	vcpu_count(v, pf_host_fault);
	v->host_fault = f->gfn << PAGE_SHIFT;
	return FAULT_HOST;
}

/* A change of one part of a large page need not delay faults on the others. */
static void avoid_changes(struct mmu *m, const struct fault *f, struct host_page *page)
{
	uint64_t bytes = level_pages(page->level) << PAGE_SHIFT;
	hva_t start = ALIGN_DOWN(f->hva, bytes);

	if (page->level > LEVEL_4K && host_changes_meet(m->changes, start, start + bytes))
		page->level = LEVEL_4K;
}

enum fault_verdict fault_resolve(struct mmu_vcpu *v, struct fault *f, struct host_page *page)
{
	enum fault_verdict verdict;
	int err;

	if (rule(SEQ_BEFORE_PFN))
		f->seq = atomic64_load_acquire(&v->mmu->invalidate_seq);
	verdict = find_memory(v, f);
	/* The change in progress wakes us when it ends. */
	if (verdict == FAULT_RETRY)
		slots_wait_for_next(v->mmu->slots, f->set_version);
	if (verdict != FAULT_FIXED)
		return verdict;
	if (host_changes_meet(v->mmu->changes, f->hva, f->hva + PAGE_SIZE)) {
		host_changes_wait(v->mmu->changes, f->hva, f->hva + PAGE_SIZE);
		return FAULT_RETRY;
	}
	/*
	 * This can block until another thread provides the page, and that thread may need to
	 * flush this vCPU or unmap memory: outside guest mode, with no lock held.
	 */
	lock_assert_none_from(RANK_SLOTS);
	err = host_resolve(&v->mmu->host, f->hva, f->write, f->max_level, page);
	if (!rule(SEQ_BEFORE_PFN))
		f->seq = atomic64_load_acquire(&v->mmu->invalidate_seq);
	if (err)
		return host_has_none(v, f);
	avoid_changes(v->mmu, f, page);
	if (f->slot_flags & KVM_MEM_READONLY)
		page->writable = false;
	return FAULT_FIXED;
}

const struct memslot *fault_still_holds(struct mmu_vcpu *v, const struct fault *f,
					const struct host_page *page)
{
	uint64_t bytes = level_pages(page->level) << PAGE_SHIFT;
	hva_t start = ALIGN_DOWN(f->hva, bytes);
	const struct memslot *slot;

	rwlock_assert_held(&v->mmu->lock);
	slot = slot_set_find_hinted(slots_current(v->mmu->slots), f->gfn, &v->slot_hint);
	if (rule(STALE_ROOT_RETRY) && (!slot || slot->version != f->slot_version))
		return NULL;
	if (rule(RETRY_UNDER_LOCK) && mmu_invalidate_retry(v->mmu, f->seq, start, start + bytes))
		return NULL;
	return slot;
}

/*
 * Install only if the generation is still current.  A stale one is never trusted, but the
 * truncated field wraps, and the zap that precedes the wrap visits each table once: an entry
 * installed after it would come back to life.  Also, the tables may be about to go.
 */
bool fault_may_keep_mmio(const struct mmu *m, const struct fault *f)
{
	rwlock_assert_held(&m->lock);
	if (!rule(GEN_FROM_SAME_SNAPSHOT))
		return true;
	return !mmio_in_flux(f->generation) && mmio_generation(m) == f->generation;
}

static enum fault_verdict remember_mmio(struct mmu_vcpu *v, const struct fault *f)
{
	if (mmio_in_flux(f->generation) && rule(GEN_FROM_SAME_SNAPSHOT))
		return FAULT_MMIO;
	rwlock_rdlock(&v->mmu->lock);
	rcu_read_begin();
	if (fault_may_keep_mmio(v->mmu, f))
		tdp_map_mmio(v->mmu, f->gfn, f->generation);
	rcu_read_end();
	rwlock_rdunlock(&v->mmu->lock);
	vcpu_count(v, pf_mmio);
	return FAULT_MMIO;
}

static enum fault_verdict install(struct mmu_vcpu *v, const struct fault *f,
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
	verdict = tdp_map(v->mmu, f->gfn, page, f->write, f->write || !memslot_is_logged(slot));
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

static enum fault_verdict fix(struct mmu_vcpu *v, struct fault *f)
{
	enum fault_verdict verdict;
	struct host_page page;

	if (fix_fast(v, f, &verdict))
		return verdict;
	rcu_read_begin();
	f->max_level = tdp_max_level(v->mmu, f->gfn);
	rcu_read_end();
	verdict = fault_resolve(v, f, &page);
	if (verdict == FAULT_MMIO)
		return remember_mmio(v, f);
	return verdict == FAULT_FIXED ? install(v, f, &page) : verdict;
}

void fault_count(struct mmu_vcpu *v, enum fault_verdict verdict)
{
	if (verdict == FAULT_FIXED)
		vcpu_count(v, pf_fixed);
	else if (verdict == FAULT_SPURIOUS)
		vcpu_count(v, pf_spurious);
	else if (verdict == FAULT_RETRY)
		vcpu_count(v, pf_retry);
}

enum fault_verdict mmu_fault(struct mmu_vcpu *v, gpa_t gpa, bool write)
{
	struct fault f = { .gpa = gpa, .gfn = gpa >> PAGE_SHIFT, .write = write };
	enum fault_verdict verdict;

	trace_page_fault(v->index, gpa, write);
	vcpu_count(v, pf_taken);
	verdict = fix(v, &f);
	fault_count(v, verdict);
	return verdict;
}

void mmu_host_fault(struct mmu_vcpu *v, hva_t hva)
{
	struct invalidation inv;
	hva_t start = hva & PAGE_MASK;

	mmu_invalidate_begin(v->mmu, start, start + PAGE_SIZE, &inv);
	mmu_invalidate_end(&inv);
}
