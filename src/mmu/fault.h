/* SPDX-License-Identifier: MIT */
/* mmu/fault.h - faults on guest physical addresses that our tables do not translate. */
#ifndef MMU_FAULT_H
#define MMU_FAULT_H

#include "mmu/mmu.h"
#include "mmu/paging/paging.h"
#include "mmu/paging/table.h"
#include "mmu/verdict.h"

/* One fault, from the address to its end. */
struct fault {
	/* what is asked */
	gpa_t gpa;
	gfn_t gfn;
	bool write;
	/* what the miss has found in our tables; at the end, the leaf */
	struct table_entry entry;
	int max_level;			/* that our tables allow; then the lowest of all limits */
	/* from its slot; a copy, as the slot may be deleted while we wait */
	uint64_t set_version;
	uint64_t slot_version;
	hva_t hva;
	uint32_t slot_flags;
	/* must be unchanged at the end */
	uint64_t seq;
	uint64_t generation;
};

/* What is asked; nothing was looked for yet.  The rest is found on the way. */
static inline void fault_begin(struct fault *f, gpa_t gpa, enum access access)
{
	f->gpa = gpa;
	f->gfn = gfn_of_gpa(gpa);
	f->write = access == ACCESS_WRITE;
	f->entry = (struct table_entry){ 0 };
}

/*
 * Finds the host page behind f->gfn: FAULT_FIXED, or the reason why there is none.  Outside
 * guest mode, no lock held; may block in the host.
 */
enum fault_verdict fault_resolve(struct mmu_vcpu *v, struct fault *f, struct host_page *page);

/* The slot, if the result of fault_resolve() is still valid; or NULL. In the RCU section in which
 * the translation is installed. */
const struct memslot *fault_still_holds(struct mmu_vcpu *v, const struct fault *f,
					const struct host_page *page)
	REQUIRES_SHARED(v->mmu->lock);

/* True if an MMIO result of f->generation may be cached. */
bool fault_may_keep_mmio(const struct mmu *m, const struct fault *f)
	REQUIRES_SHARED(m->lock);

/*
 * Accounts for the verdict of a fault.  A retry is immediate: the fault sleeps while a change is
 * still open, and need not wait for one that has ended.
 */
void fault_count_verdict(struct mmu_vcpu *v, enum fault_verdict verdict);

/*
 * An access through a translation found no host page: the client changed its mappings unseen.
 * Drops our translations of the page, so that the next access asks the host again.  Outside guest
 * mode.
 */
void mmu_host_fault(struct mmu_vcpu *v, hva_t hva);

#endif
