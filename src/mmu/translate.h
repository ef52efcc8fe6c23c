/* SPDX-License-Identifier: MIT */
/*
 * mmu/translate.h - the miss path: what to do when the TLB does not know.
 */
#ifndef MMU_TRANSLATE_H
#define MMU_TRANSLATE_H

#include "mmu/mmu.h"
#include "mmu/verdict.h"

struct mmu_result {
	void *host;		/* MMU_OK */
	uint64_t epoch;		/* .host is to be used in a window with this (sync/window.h) */
	gpa_t gpa;		/* MMU_OK, MMU_MMIO */
	uint32_t error_code;	/* MMU_GUEST_FAULT */
	bool was_code;		/* a write to a page that this TLB held for execution */
	bool tracked;		/* a write to a page that the MMU tracks: call
				 * mmu_track_write() before it, and let the instruction be the
				 * last of its block */
};

/* Faults in a row for one access before requests and signals get their turn. */
#define MAX_FAULTS 32

/*
 * Translates one page for one access and fills the TLB with it.  @gva is as the
 * guest computes it after segmentation, canonical; no access crosses its page.
 *
 * Called in guest mode and returns in it, but may leave it on the way: the epoch is
 * another then, and every host address from before is void.
 *
 * A page is never both executable and writable in a TLB, so that a write to
 * code is noticed; it may be by another address, hence blocks of code verify
 * themselves as well.
 */
enum mmu_verdict mmu_translate(struct mmu_vcpu *v, gva_t gva, enum access access,
			       struct mmu_result *result);

/* Reads within one page of guest physical memory, past all translations.  In and out
 * in guest mode; MMU_OK, MMU_BAD_TABLES if there is no memory, MMU_HOST_FAULT,
 * MMU_RETRY. */
enum mmu_verdict mmu_read_gpa(struct mmu_vcpu *v, gpa_t gpa, void *to, unsigned int bytes);

/*
 * The write of @bytes at @gpa for which a translation said `tracked` is about to be
 * made.  False: too many are open, give the instruction up and do mmu_tracked_writes().
 */
static inline bool mmu_track_write(struct mmu_vcpu *v, gpa_t gpa, unsigned int bytes)
{
	if (v->n_tracked == MAX_TRACKED_WRITES)
		return false;
	v->tracked[v->n_tracked++] = (struct tracked_write){ gpa, bytes };
	return true;
}

/*
 * Tells the MMU of them.  When the instruction that made them is complete, and
 * before the next.  In and out in guest mode.
 */
void mmu_tracked_writes(struct mmu_vcpu *v);

/*
 * An access to @host, which a translation had given, has faulted.  Forgets the
 * translation; the instruction is to be started again.  In and out in guest mode.
 */
void mmu_access_faulted(struct mmu_vcpu *v, const void *host);

#endif
