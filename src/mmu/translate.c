/* SPDX-License-Identifier: MIT */
#include "mmu/translate.h"

#include "mmu/fault.h"
#include "mmu/guest/guest_memory.h"
#include "mmu/mmio.h"
#include "mmu/tlb/request.h"
#include "mmu/tlb/tlb.h"

void mmu_access_faulted(struct mmu_vcpu *v, const void *host)
{
	guest_leave(v);
	mmu_host_fault(v, hva_of((uintptr_t)host));
	guest_enter(v);
}

enum mmu_verdict mmu_read_gpa(struct mmu_vcpu *v, gpa_t gpa, void *to, unsigned int bytes)
{
	enum mmu_verdict verdict;

	guest_leave(v);
	verdict = guest_read(v, gpa, to, bytes);
	guest_enter(v);
	return verdict;
}

enum mmu_verdict mmu_load_gpa32(struct mmu_vcpu *v, gpa_t gpa, uint32_t *value)
{
	return guest_read(v, gpa, value, sizeof(*value));
}

/* The guest's other vCPUs may write to it at the same time. */
#define MAX_STORE_TRIES 16

enum mmu_verdict mmu_store_gpa32(struct mmu_vcpu *v, gpa_t gpa, uint32_t value)
{
	uint64_t old = 0, seen;
	enum mmu_verdict verdict;

	for (int i = 0; i < MAX_STORE_TRIES; i++) {
		seen = old;
		verdict = guest_cmpxchg(v, gpa, sizeof(value), &seen, value);
		if (verdict != MMU_OK)
			return verdict;
		if (seen == old) {
			if (v->mmu->ops->track_written)
				v->mmu->ops->track_written(v, gpa, sizeof(value));
			return MMU_OK;
		}
		old = seen;
	}
	return MMU_RETRY;
}

void mmu_tracked_writes(struct mmu_vcpu *v)
{
	guest_leave(v);
	for (unsigned int i = 0; i < v->n_tracked; i++)
		v->mmu->ops->track_written(v, v->tracked[i].gpa, v->tracked[i].bytes);
	v->n_tracked = 0;
	guest_enter(v);
}

/*
 * A guess where the page is: as far away as the one whose TLB entry is in the way, which is often
 * of the same slot and mapped alike.  The access that follows the walk then finds the line in the
 * cache.  A wrong guess costs a line; a prefetch never faults.
 */
static void prefetch(const struct mmu_vcpu *v, gva_t gva)
{
	__builtin_prefetch((const void *)(uintptr_t)(gva.raw + tlb_entry_of(v, gva)->addend));
}

enum mmu_verdict mmu_translate(struct mmu_vcpu *v, gva_t gva, enum access access,
			       struct mmu_result *result)
{
	result->was_code = result->tracked = false;
	if (access != ACCESS_EXEC && mmio_cache_find(v, gva, access, &result->gpa))
		return MMU_MMIO;
	prefetch(v, gva);
	return v->mmu->ops->translate(v, gva, access, result);
}
