/* SPDX-License-Identifier: MIT */
#include "mmu/tlb.h"

#include <string.h>

#include "mmu/mmu.h"
#include "mmu/x86.h"

#define TLB_BYTES ((TLB_ENTRIES + GPA_TLB_ENTRIES) * sizeof(struct tlb_entry))

int tlb_init(struct mmu_vcpu *v)
{
	v->tlb = alloc_zeroed(v->mmu->alloc, TLB_BYTES);
	if (!v->tlb)
		return -ENOMEM;
	v->gpa_tlb = v->tlb + TLB_ENTRIES;
	v->tlb_flush_number = 1;
	tlb_set_privilege(v);
	return 0;
}

void tlb_destroy(struct mmu_vcpu *v)
{
	alloc_free(v->mmu->alloc, v->tlb, TLB_BYTES);
}

static enum tlb_privilege privilege_of(const struct paging *p)
{
	if (p->cpl == 3)
		return TLB_USER;
	return (p->cr4 & X86_CR4_SMAP) && p->ac ? TLB_SUPERVISOR_AC : TLB_SUPERVISOR;
}

void tlb_set_privilege(struct mmu_vcpu *v)
{
	v->tlb_context = v->tlb_flush_number << TLB_FLUSH_SHIFT | privilege_of(&v->paging);
}

void tlb_flush_all(struct mmu_vcpu *v)
{
	if (v->tlb_flush_number == TLB_FLUSH_MAX) {
		memset(v->tlb, 0, TLB_BYTES);
		memset(v->mmio_cache, 0, sizeof(v->mmio_cache));
		v->tlb_flush_number = 0;
	}
	v->tlb_flush_number++;
	v->tlb_has_large = false;
	tlb_set_privilege(v);
	vcpu_count(v, tlb_flushes);
}

void tlb_flush_page(struct mmu_vcpu *v, gva_t gva)
{
	/* Entries are 4 KiB each, whatever the guest's page was. */
	if (v->tlb_has_large) {
		tlb_flush_all(v);
		return;
	}
	*tlb_entry_of(v, gva) = (struct tlb_entry){ 0 };
	memset(v->mmio_cache, 0, sizeof(v->mmio_cache));
}
