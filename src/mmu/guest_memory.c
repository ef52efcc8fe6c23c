/* SPDX-License-Identifier: MIT */
#include "mmu/guest_memory.h"

#include "base/guarded.h"
#include "mmu/dirty.h"

static enum guest_verdict find(struct mmu_vcpu *v, gpa_t gpa, const struct memslot **slot,
			       void **host)
{
	gfn_t gfn = gpa >> PAGE_SHIFT;

	*slot = slot_set_find_hinted(slots_current(v->mmu->slots), gfn, &v->slot_hint);
	if (!*slot)
		return GUEST_NO_SLOT;
	if ((*slot)->flags & MEMSLOT_INVALID)
		return GUEST_RETRY;
	*host = (void *)(uintptr_t)(memslot_gfn_to_hva(*slot, gfn) | (gpa & PAGE_OFFSET_MASK));
	return GUEST_OK;
}

static bool load(void *to, const void *host, unsigned int bytes)
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

enum guest_verdict guest_read(struct mmu_vcpu *v, gpa_t gpa, void *to, unsigned int bytes)
{
	const struct memslot *slot;
	enum guest_verdict verdict;
	void *host;

	rcu_read_begin();
	verdict = find(v, gpa, &slot, &host);
	rcu_read_end();
	/*
	 * The page may have to be waited for, so not in the RCU section.  If the
	 * slot has gone meanwhile, what is read is void: so is every shadow page
	 * and with it whatever would be derived from this (STALE_ROOT_RETRY).
	 */
	if (verdict == GUEST_OK && !load(to, host, bytes))
		verdict = GUEST_ABSENT;
	return verdict;
}

/*
 * A page that must be waited for before it can be written is waited for here, outside
 * the RCU section.  Nothing is changed, should the memory be the guest's no more.
 */
static enum guest_verdict make_writable(struct mmu_vcpu *v, gpa_t gpa)
{
	const struct memslot *slot;
	enum guest_verdict verdict;
	void *host;

	rcu_read_begin();
	verdict = find(v, gpa, &slot, &host);
	if (verdict == GUEST_OK && (slot->flags & KVM_MEM_READONLY))
		verdict = GUEST_READ_ONLY;
	rcu_read_end();
	if (verdict == GUEST_OK && !guarded_touch_write(host))
		verdict = GUEST_ABSENT;
	return verdict;
}

enum guest_verdict guest_cmpxchg(struct mmu_vcpu *v, gpa_t gpa, unsigned int bytes, uint64_t *old,
				 uint64_t value)
{
	uint32_t narrow = (uint32_t)*old;
	enum guest_verdict verdict = make_writable(v, gpa);
	const struct memslot *slot;
	void *host;
	bool ok;

	if (verdict != GUEST_OK)
		return verdict;
	/* Unlike a read it must not meet memory that is no longer the guest's. */
	rcu_read_begin();
	verdict = find(v, gpa, &slot, &host);
	if (verdict == GUEST_OK && (slot->flags & KVM_MEM_READONLY))
		verdict = GUEST_READ_ONLY;
	if (verdict == GUEST_OK && dirty_ring_blocks(v, slot))
		verdict = GUEST_RING_FULL;
	if (verdict == GUEST_OK) {
		ok = bytes == 8 ? guarded_cmpxchg64(host, old, value) :
				  guarded_cmpxchg32(host, &narrow, (uint32_t)value);
		if (bytes == 4)
			*old = narrow;
		if (ok)
			dirty_mark(v, slot, gpa >> PAGE_SHIFT);
		else
			verdict = GUEST_ABSENT;
	}
	rcu_read_end();
	return verdict;
}
