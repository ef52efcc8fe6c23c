/* SPDX-License-Identifier: MIT */
/*
 * api/api.h - what is behind the handles of <umbra/mmu.h>.
 */
#ifndef API_API_H
#define API_API_H

#include <umbra/mmu.h>

#include "mem/host_process.h"
#include "mmu/mmu.h"
#include "mmu/vcpu.h"

/* (c) constant after creation  (a) atomic */
struct umbra_mmu {
	struct mmu mmu;
	struct slots slots;
	struct alloc alloc;
	struct host_process host;
	uint32_t ring_entries;		/* (c) */
	uint8_t physical_bits;		/* (c) */
	bool has_1g_pages;		/* (c) */
	void (*code_written)(void *context, struct umbra_vcpu *vcpu, uint64_t gva, uint64_t gpa);
	void *context;			/* (c) both */
	struct atomic32 n_vcpus;	/* (a) that there are */
	struct atomic64 vcpu_stats[N_VCPU_STATS]; /* (a) of those that are no more */
};

/* A vCPU; its thread's alone but for [r]: whoever takes from the ring. */
struct api_vcpu {
	struct mmu_vcpu mmu;		/* first: its head is the handle's */
	struct umbra_mmu *owner;	/* (c) */
	struct umbra_fault fault;
	struct umbra_paging paging;	/* as it was set */
	uint32_t ring_taken;		/* [r] entries so far */
};

static inline struct api_vcpu *api_vcpu_of(const struct umbra_vcpu *v)
{
	return (struct api_vcpu *)(uintptr_t)v;
}

static inline struct umbra_vcpu *api_handle_of(struct api_vcpu *a)
{
	return (struct umbra_vcpu *)a;
}

#endif
