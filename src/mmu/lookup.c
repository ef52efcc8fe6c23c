/* SPDX-License-Identifier: MIT */
#include "mmu/lookup.h"

#include "mmu/guest/walk.h"

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
	return v->mmu->ops->prefault(v, gpa, bytes);
}
