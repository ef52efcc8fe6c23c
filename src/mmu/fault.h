/* SPDX-License-Identifier: MIT */
/* mmu/fault.h - a guest physical address that the tables do not translate yet. */
#ifndef MMU_FAULT_H
#define MMU_FAULT_H

#include "mmu/mmu.h"
#include "mmu/verdict.h"

/* One fault, from the address to its end. */
struct fault {
	/* what is asked */
	gpa_t gpa;
	gfn_t gfn;
	bool write;
	int max_level;			/* at which the tables have a place for it; then of all */
	/* what its slot says; a copy, as the slot may go away while we wait */
	uint64_t set_version;
	uint64_t slot_version;
	hva_t hva;
	uint32_t slot_flags;
	/* what must not have changed at the end */
	uint64_t seq;
	uint64_t generation;
};

/*
 * Finds the host page behind f->gfn: FAULT_FIXED, or why there is none.  Outside
 * guest mode, no lock held; may block in the host.
 */
enum fault_verdict fault_resolve(struct mmu_vcpu *v, struct fault *f, struct host_page *page);

/* The slot, if what fault_resolve() has found still holds; or NULL.  The RCU
 * section in which the translation is made. */
const struct memslot *fault_still_holds(struct mmu_vcpu *v, const struct fault *f,
					const struct host_page *page)
	REQUIRES_SHARED(v->mmu->lock);

/* May what f->generation says of MMIO be kept? */
bool fault_may_keep_mmio(const struct mmu *m, const struct fault *f)
	REQUIRES_SHARED(m->lock);

/*
 * Counts how a fault ended.  Whoever has to try again does so at once: a change that is
 * still open is slept on, and one that has ended is nobody to wait for.
 */
void fault_count(struct mmu_vcpu *v, enum fault_verdict verdict);

/*
 * Makes the direct tables translate @gpa, for reading or writing.  The vCPU's thread,
 * outside guest mode; may block in the host.
 */
enum fault_verdict mmu_fault(struct mmu_vcpu *v, gpa_t gpa, bool write);

/*
 * An access through a translation met a host page that is not there: the client
 * changed its mappings in a way that nobody told us of.  Drops what we know of
 * the page, so that the next access asks the host again.  Outside guest mode.
 */
void mmu_host_fault(struct mmu_vcpu *v, hva_t hva);

#endif
