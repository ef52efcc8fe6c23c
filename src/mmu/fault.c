/* SPDX-License-Identifier: MIT */
#include "mmu/fault.h"

#include "mmu/mmio.h"
#include "mmu/notifier.h"
#include "sync/rcu.h"

/* Finds the memory behind the address, if any. */
static enum fault_verdict find_memory(struct mmu_vcpu *v, struct fault *f)
{
	const struct slot_set *set;
	const struct memslot *slot;
	enum fault_verdict verdict = FAULT_FIXED;

	/* GEN_FROM_SAME_SNAPSHOT: before the slots, see mem/slots.h. */
	f->generation = mmio_generation(v->mmu);

	rcu_read_begin();
	set = slots_current(v->mmu->slots);
	f->set_version = set->version;
	slot = slot_set_find_hinted(set, f->gfn, &v->slot_hint);
	if (!slot) {
		verdict = FAULT_MMIO;
	} else if (slot->flags & MEMSLOT_INVALID) {
		/* Being moved or deleted: neither memory nor MMIO yet. */
		verdict = FAULT_RETRY;
	} else if (f->write && (slot->flags & KVM_MEM_READONLY)) {
		verdict = FAULT_MMIO;
		f->generation = GENERATION_IN_PROGRESS; /* reads are not MMIO */
	} else {
		f->slot_version = slot->version;
		f->slot_flags = slot->flags;
		f->hva = memslot_gfn_to_hva(slot, f->gfn);
		if (rule(NO_HUGE_WRITABLE_WHEN_LOGGING) && memslot_is_logged(slot))
			f->max_level = LEVEL_4K;
		else
			f->max_level = MIN(memslot_max_level(slot, f->gfn), f->max_level);
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
		  !mmu_invalidate_retry(v->mmu, f->seq, f->hva, hva_add(f->hva, PAGE_SIZE));
	rcu_read_end();
	if (!current)
		return FAULT_RETRY;
	vcpu_count(v, pf_host_fault);
	v->host_fault = gpa_of_gfn(f->gfn);
	return FAULT_HOST;
}

/* A change of one part of a large page need not delay faults on the others. */
static void avoid_changes(struct mmu *m, const struct fault *f, struct host_page *page)
{
	uint64_t bytes = level_pages(page->level) << PAGE_SHIFT;
	hva_t start = hva_align(f->hva, bytes);

	if (page->level > LEVEL_4K && host_changes_meet(m->changes, start, hva_add(start, bytes)))
		page->level = LEVEL_4K;
}

enum fault_verdict fault_resolve(struct mmu_vcpu *v, struct fault *f, struct host_page *page)
{
	enum fault_verdict verdict;
	int err;

	/* SEQ_BEFORE_PFN: a change that begins after this is seen by fault_still_holds(). */
	f->seq = atomic64_load_acquire(&v->mmu->invalidate_seq);
	verdict = find_memory(v, f);
	/* The change in progress wakes us when it ends. */
	if (verdict == FAULT_RETRY)
		slots_wait_for_next(v->mmu->slots, f->set_version);
	if (verdict != FAULT_FIXED)
		return verdict;
	if (host_changes_meet(v->mmu->changes, f->hva, hva_add(f->hva, PAGE_SIZE))) {
		host_changes_wait(v->mmu->changes, f->hva, hva_add(f->hva, PAGE_SIZE));
		return FAULT_RETRY;
	}
	/*
	 * This can block until another thread provides the page, and that thread may need to
	 * flush this vCPU or unmap memory: outside guest mode, with no lock held.
	 */
	lock_assert_none_from(RANK_SLOTS);
	err = host_resolve(&v->mmu->host, f->hva, f->write, f->max_level, page);
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
	hva_t start = hva_align(f->hva, bytes);
	const struct memslot *slot;

	rwlock_assert_held(&v->mmu->lock);
	slot = slot_set_find_hinted(slots_current(v->mmu->slots), f->gfn, &v->slot_hint);
	if (rule(STALE_ROOT_RETRY) && (!slot || slot->version != f->slot_version))
		return NULL;
	if (rule(RETRY_UNDER_LOCK) &&
	    mmu_invalidate_retry(v->mmu, f->seq, start, hva_add(start, bytes)))
		return NULL;
	return slot;
}

/*
 * GEN_FROM_SAME_SNAPSHOT: install only if the generation is still current.  A stale one is
 * never trusted, but the truncated field wraps, and the zap that precedes the wrap visits each
 * table once: an entry installed after it would come back to life.  Also, the tables may be
 * about to go.
 */
bool fault_may_keep_mmio(const struct mmu *m, const struct fault *f)
{
	rwlock_assert_held(&m->lock);
	return !mmio_in_flux(f->generation) && mmio_generation(m) == f->generation;
}

void fault_count_verdict(struct mmu_vcpu *v, enum fault_verdict verdict)
{
	if (verdict == FAULT_FIXED)
		vcpu_count(v, pf_fixed);
	else if (verdict == FAULT_SPURIOUS)
		vcpu_count(v, pf_spurious);
	else if (verdict == FAULT_RETRY)
		vcpu_count(v, pf_retry);
}

void mmu_host_fault(struct mmu_vcpu *v, hva_t hva)
{
	struct invalidation inv;
	hva_t start = hva_align(hva, PAGE_SIZE);

	mmu_invalidate_begin(v->mmu, start, hva_add(start, PAGE_SIZE), &inv);
	mmu_invalidate_end(&inv);
}
