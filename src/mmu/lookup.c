/* SPDX-License-Identifier: MIT */
#include "mmu/lookup.h"

#include "mmu/fault.h"
#include "mmu/tdp/tdp.h"
#include "mmu/walk.h"
#include "sync/rcu.h"

enum mmu_verdict mmu_lookup(struct mmu_vcpu *v, gva_t gva, gpa_t *gpa)
{
	struct walk w = { .gva = gva, .access = ACCESS_READ };
	struct paging saved = v->paging;
	enum mmu_verdict verdict;

	/* The supervisor may read everything, user pages under SMAP too. */
	v->paging.cpl = 0;
	v->paging.ac = true;
	verdict = walk_guest_slots(v, &w);
	v->paging = saved;
	*gpa = w.gpa;
	return verdict;
}

enum mmu_verdict mmu_prefault(struct mmu_vcpu *v, gpa_t gpa, uint64_t *bytes)
{
	enum mmu_verdict verdict = mmu_verdict_of_fault(mmu_fault(v, gpa, false));
	uint64_t whole;

	if (verdict != MMU_OK)
		return verdict;
	rcu_read_begin();
	whole = level_pages(tdp_lookup(v->mmu, gpa >> PAGE_SHIFT).level) << PAGE_SHIFT;
	rcu_read_end();
	*bytes = whole - (gpa & (whole - 1));
	return MMU_OK;
}
