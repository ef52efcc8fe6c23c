/* SPDX-License-Identifier: MIT */
/*
 * mmu/translate.h - the path of a TLB miss.
 */
#ifndef MMU_TRANSLATE_H
#define MMU_TRANSLATE_H

#include "mmu/mmu.h"
#include "mmu/verdict.h"

struct mmu_result {
	void *host;		/* MMU_OK */
	uint64_t epoch;		/* use .host in a window with this (sync/window.h) */
	gpa_t gpa;		/* MMU_OK, MMU_MMIO */
	uint32_t error_code;	/* MMU_GUEST_FAULT */
	bool was_code;		/* a write to a page that this TLB held for execution */
	bool tracked;		/* a write to a page that the MMU tracks: call
				 * mmu_track_write() before it, and let the instruction be the
				 * last of its block */
};

/* Consecutive faults for one access before requests and signals are checked. */
#define MAX_FAULTS 32

/*
 * Translates one page for one access and fills the TLB with it.  @gva is the guest's linear
 * address, canonical; no access crosses a page boundary.
 *
 * Called in guest mode and returns in it, but may leave it in between: the epoch then changes,
 * and all earlier host addresses are stale.
 *
 * A page is never both executable and writable in a TLB, so that a write to code is noticed; it
 * may be made through another address, so blocks of code verify themselves as well.
 */
enum mmu_verdict mmu_translate(struct mmu_vcpu *v, gva_t gva, enum access access,
			       struct mmu_result *result);

/* Reads within one page of guest physical memory, without translation.  In and out in guest mode;
 * MMU_OK, MMU_BAD_TABLES if there is no memory, MMU_HOST_FAULT, MMU_RETRY. */
enum mmu_verdict mmu_read_gpa(struct mmu_vcpu *v, gpa_t gpa, void *to, unsigned int bytes);

/* A word of the host's own in guest physical memory, aligned; the guest finds it, and logs and
 * shadow tables too.  The vCPU's thread, outside guest mode.  MMU_OK, MMU_BAD_TABLES if there is
 * no memory, MMU_MMIO if it is read-only, MMU_HOST_FAULT, MMU_RING_FULL or MMU_RETRY. */
enum mmu_verdict mmu_load_gpa32(struct mmu_vcpu *v, gpa_t gpa, uint32_t *value);
enum mmu_verdict mmu_store_gpa32(struct mmu_vcpu *v, gpa_t gpa, uint32_t value);

/*
 * A write of @bytes at @gpa whose translation said `tracked` is about to be made.  False: too
 * many are pending, abandon the instruction and call mmu_tracked_writes().
 */
static inline bool mmu_track_write(struct mmu_vcpu *v, gpa_t gpa, unsigned int bytes)
{
	if (v->n_tracked == MAX_TRACKED_WRITES)
		return false;
	v->tracked[v->n_tracked++] = (struct tracked_write){ gpa, bytes };
	return true;
}

/*
 * Reports them to the MMU. Call it when the instruction that made them is complete, before the
 * next.  In and out in guest mode.
 */
void mmu_tracked_writes(struct mmu_vcpu *v);

/*
 * An access to @host, from a translation, has faulted.  Drops the translation; restart the
 * instruction.  In and out in guest mode.
 */
void mmu_access_faulted(struct mmu_vcpu *v, const void *host);

#endif
