/* SPDX-License-Identifier: MIT */
/*
 * embed/embed.h - the objects behind the handles of <umbra/mmu.h>.
 */
#ifndef EMBED_EMBED_H
#define EMBED_EMBED_H

#include <umbra/mmu.h>

#include "mem/host_process.h"
#include "mmu/mmu.h"
#include "mmu/tlb/request.h"
#include "mmu/vcpu.h"
#include "mmu/verdict.h"
#include "sync/thread.h"

/* (c) constant after creation  (a) atomic */
struct umbra_mmu {
	struct mmu mmu;
	struct slots slots;
	struct alloc alloc;
	struct host_process host;
	uint32_t ring_entries;		/* (c) */
	uint8_t physical_bits;		/* (c) */
	bool has_1g_pages;		/* (c) */
	bool interrupts;		/* (c) UMBRA_MMU_INTERRUPT */
	void (*code_written)(void *context, struct umbra_vcpu *vcpu, uint64_t gva, uint64_t gpa);
	void *context;			/* (c) both */
	struct atomic32 n_vcpus;	/* (a) existing ones */
	struct atomic64 vcpu_stats[N_VCPU_STATS]; /* (a) of destroyed ones */
};

/* A vCPU; used by its thread alone except [r]: by whoever takes from the ring. */
struct api_vcpu {
	struct mmu_vcpu mmu;		/* first: its head is the handle's */
	struct umbra_mmu *owner;	/* (c) */
	struct umbra_fault fault;
	struct umbra_paging paging;	/* as it was set */
	uint32_t ring_taken;		/* [r] entries so far */
	thread_sigmask_t saved_mask;	/* in guest mode, with UMBRA_MMU_INTERRUPT */
	bool has_pointer;		/* of umbra_translate()'s: it is pinned */
};

static inline struct api_vcpu *api_vcpu_of(const struct umbra_vcpu *v)
{
	return (struct api_vcpu *)(uintptr_t)v;
}

/* Makes the results of umbra_translate() stale.  Every call that is not inline begins with
 * this. */
static inline void api_drop_pointer(struct api_vcpu *a)
{
	if (a->has_pointer)
		guest_unpin(&a->mmu);
	a->has_pointer = false;
}

static inline struct umbra_vcpu *api_handle_of(struct api_vcpu *a)
{
	return (struct umbra_vcpu *)a;
}

_Static_assert((int)UMBRA_OK == MMU_OK && (int)UMBRA_GUEST_FAULT == MMU_GUEST_FAULT &&
		       (int)UMBRA_MMIO == MMU_MMIO && (int)UMBRA_RETRY == MMU_RETRY &&
		       (int)UMBRA_RING_FULL == MMU_RING_FULL &&
		       (int)UMBRA_HOST_FAULT == MMU_HOST_FAULT &&
		       (int)UMBRA_NO_MEMORY == MMU_NO_MEMORY &&
		       (int)UMBRA_BAD_TABLES == MMU_BAD_TABLES,
	       "a result is a verdict, or more");

static inline enum umbra_result api_result_of(enum mmu_verdict verdict)
{
	return (enum umbra_result)verdict;
}

#endif
