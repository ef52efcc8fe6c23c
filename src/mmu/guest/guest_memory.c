/* SPDX-License-Identifier: MIT */
#include "mmu/guest/guest_memory.h"

#include "base/guarded.h"
#include "mmu/dirty.h"
#include "mmu/notifier.h"

static enum mmu_verdict find_slot(struct mmu_vcpu *v, gpa_t gpa, const struct memslot **slot,
				  void **host)
{
	gfn_t gfn = gfn_of_gpa(gpa);

	*slot = slot_set_find_hinted(slots_current(v->mmu->slots), gfn, &v->slot_hint);
	if (!*slot)
		return MMU_BAD_TABLES;
	if ((*slot)->flags & MEMSLOT_INVALID)
		return MMU_RETRY;
	*host = hva_pointer(hva_add(memslot_gfn_to_hva(*slot, gfn), gpa_offset(gpa)));
	return MMU_OK;
}

static enum mmu_verdict is_absent(struct mmu_vcpu *v, gpa_t gpa)
{
	v->host_fault = gpa;
	return MMU_HOST_FAULT;
}

static bool load_guarded(void *to, const void *host, unsigned int bytes)
{
	uint32_t narrow;

	switch (bytes) {
	case 4:
		if (!guarded_load32(host, &narrow))
			return false;
		*(uint32_t *)to = narrow;
		return true;
	case 8:
		return guarded_load64(host, to);
	default:
		return guarded_copy(to, host, bytes);
	}
}

static hva_t page_of(const void *host)
{
	return hva_of((uintptr_t)host & PAGE_MASK);
}

/*
 * RETRY_UNDER_LOCK, but for the lock: nothing is installed.
 *
 * True if no invalidation has covered this page since @seq was sampled.  Contents read
 * during an invalidation must not be used as page-table entries.
 */
static bool was_there(struct mmu *m, uint64_t seq, const void *host)
{
	hva_t page = page_of(host);

	smp_rmb();
	return !mmu_invalidate_retry(m, seq, page, hva_add(page, PAGE_SIZE));
}

/* Reading the page during an invalidation is pointless. */
static bool wait_while_it_changes(struct mmu *m, const void *host)
{
	hva_t page = page_of(host);

	if (!host_changes_meet(m->changes, page, hva_add(page, PAGE_SIZE)))
		return false;
	host_changes_wait(m->changes, page, hva_add(page, PAGE_SIZE));
	return true;
}

/* The host address of @gpa.  Waits for a slot that is being moved or deleted: only then is it
 * decided what the guest has there. */
static enum mmu_verdict find_host(struct mmu_vcpu *v, gpa_t gpa, enum access access, void **host)
{
	const struct memslot *slot;
	enum mmu_verdict verdict;
	uint64_t version;

	rcu_read_begin();
	version = slots_current(v->mmu->slots)->version;
	verdict = find_slot(v, gpa, &slot, host);
	if (verdict == MMU_OK && access == ACCESS_WRITE && (slot->flags & KVM_MEM_READONLY))
		verdict = MMU_MMIO;
	rcu_read_end();
	if (verdict == MMU_RETRY)
		slots_wait_for_next(v->mmu->slots, version);
	return verdict;
}

enum mmu_verdict guest_read(struct mmu_vcpu *v, gpa_t gpa, void *to, unsigned int bytes)
{
	uint64_t seq = atomic64_load_acquire(&v->mmu->invalidate_seq);
	enum mmu_verdict verdict;
	void *host;

	verdict = find_host(v, gpa, ACCESS_READ, &host);
	if (verdict == MMU_OK && wait_while_it_changes(v->mmu, host))
		return MMU_RETRY;
	/*
	 * The read can block on the page, so it is not made in the RCU section.  If the slot is
	 * deleted meanwhile, what is read is stale: so are the shadow pages of tables in it, and
	 * whatever is derived from this is retried (STALE_ROOT_RETRY,
	 * RECHECK_GPTE_UNDER_PROTECTION).
	 */
	if (verdict == MMU_OK && !load_guarded(to, host, bytes))
		verdict = is_absent(v, gpa);
	if ((verdict == MMU_OK || verdict == MMU_HOST_FAULT) && !was_there(v->mmu, seq, host))
		verdict = MMU_RETRY;
	return verdict;
}

/*
 * Waits here, outside the RCU section, until the page can be written.  This is harmless if the
 * memory no longer belongs to the guest: the access changes nothing.
 */
static enum mmu_verdict make_writable(struct mmu_vcpu *v, uint64_t seq, gpa_t gpa)
{
	enum mmu_verdict verdict;
	void *host;

	verdict = find_host(v, gpa, ACCESS_WRITE, &host);
	if (verdict != MMU_OK)
		return verdict;
	if (wait_while_it_changes(v->mmu, host))
		return MMU_RETRY;
	if (guarded_touch_write(host))
		return MMU_OK;
	/* Perhaps only for a moment. */
	return was_there(v->mmu, seq, host) ? is_absent(v, gpa) : MMU_RETRY;
}

/* Under the lock, so that no invalidation begins before it is done; the page is already
 * present. */
static enum mmu_verdict cmpxchg_locked(struct mmu_vcpu *v, uint64_t seq, gpa_t gpa,
					 unsigned int bytes, uint64_t *old, uint64_t value)
	REQUIRES_SHARED(v->mmu->lock)
{
	uint32_t narrow = (uint32_t)*old;
	const struct memslot *slot;
	enum mmu_verdict verdict;
	hva_t page;
	void *host;
	bool ok;

	verdict = find_slot(v, gpa, &slot, &host);
	if (verdict != MMU_OK)
		return verdict;
	if (slot->flags & KVM_MEM_READONLY)
		return MMU_MMIO;
	if (dirty_ring_blocks(v, slot))
		return MMU_RING_FULL;
	/* RETRY_UNDER_LOCK. */
	page = page_of(host);
	if (mmu_invalidate_retry(v->mmu, seq, page, hva_add(page, PAGE_SIZE)))
		return MMU_RETRY;
	ok = bytes == 8 ? guarded_cmpxchg64(host, old, value) :
			  guarded_cmpxchg32(host, &narrow, (uint32_t)value);
	if (bytes == 4)
		*old = narrow;
	/* CMPXCHG_EMUL_DIRTIES: whether or not it was as expected. */
	if (ok && rule(CMPXCHG_EMUL_DIRTIES))
		dirty_mark(v, slot, gfn_of_gpa(gpa));
	return ok ? MMU_OK : is_absent(v, gpa);
}

enum mmu_verdict guest_cmpxchg(struct mmu_vcpu *v, gpa_t gpa, unsigned int bytes, uint64_t *old,
				 uint64_t value)
{
	uint64_t seq = atomic64_load_acquire(&v->mmu->invalidate_seq);
	enum mmu_verdict verdict = make_writable(v, seq, gpa);

	if (verdict != MMU_OK)
		return verdict;
	/* Unlike a read it must not touch memory that no longer belongs to the guest. */
	rwlock_rdlock(&v->mmu->lock);
	rcu_read_begin();
	verdict = cmpxchg_locked(v, seq, gpa, bytes, old, value);
	rcu_read_end();
	rwlock_rdunlock(&v->mmu->lock);
	return verdict;
}
