/* SPDX-License-Identifier: MIT */
/*
 * mmu/translate.h - the miss path: what to do when the TLB does not know.
 */
#ifndef MMU_TRANSLATE_H
#define MMU_TRANSLATE_H

#include "mmu/mmu.h"

enum mmu_verdict {
	MMU_OK,			/* .host, until guest mode is next left */
	MMU_GUEST_FAULT,	/* a page fault for the guest: .error_code */
	MMU_MMIO,		/* no memory there: .gpa */
	MMU_RETRY,		/* raced: start the instruction again, but look at
				 * requests and signals before */
	MMU_RING_FULL,		/* start it again when the dirty ring was reset */
	MMU_HOST_FAULT,		/* the client has no memory there: EFAULT */
	MMU_NO_MEMORY,		/* ENOMEM */
	MMU_BAD_TABLES,		/* the guest's page tables lie where no memory is */
};

struct mmu_result {
	void *host;
	gpa_t gpa;
	uint32_t error_code;
	bool was_code;	/* a write to a page that this TLB held for execution */
};

/*
 * Translates one page for one access and fills the TLB with it.  @gva is as the
 * guest computes it after segmentation, canonical; no access crosses its page.
 *
 * Called in guest mode and returns in it, but may leave it on the way: if
 * v->guest_entries has changed, every host address from before is void.
 *
 * A page is never both executable and writable in a TLB, so that a write to
 * code is noticed; it may be by another address, hence blocks of code verify
 * themselves as well.
 */
enum mmu_verdict mmu_translate(struct mmu_vcpu *v, gva_t gva, enum access access,
			       struct mmu_result *result);

/* Likewise by guest physical address, past the guest's tables and the TLB. */
enum mmu_verdict mmu_translate_gpa(struct mmu_vcpu *v, gpa_t gpa, bool write,
				   struct mmu_result *result);

/*
 * An access to @host, which a translation had given, has faulted.  Forgets the
 * translation; the instruction is to be started again.  In and out in guest mode.
 */
void mmu_access_faulted(struct mmu_vcpu *v, const void *host);

#endif
