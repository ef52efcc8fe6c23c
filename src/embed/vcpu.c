/* SPDX-License-Identifier: MIT */
/* embed/vcpu.c - <umbra/mmu.h>: vCPUs, guest mode, the paging registers. */
#include <string.h>

#include "embed/embed.h"
#include "mem/reservation.h"
#include "mmu/guest/gpte.h"
#include "mmu/guest/x86.h"
#include "mmu/tlb/request.h"
#include "mmu/tlb/tlb.h"
#include "mmu/translate.h"

/* The public header's view of a vCPU is the head of ours. */
_Static_assert(offsetof(struct api_vcpu, mmu) == 0, "a vCPU begins with its MMU's half");
_Static_assert(offsetof(struct umbra_vcpu, context_) == offsetof(struct mmu_vcpu, tlb_context),
	       "head of a vCPU");
_Static_assert(offsetof(struct umbra_vcpu, tlb_) == offsetof(struct mmu_vcpu, tlb),
	       "head of a vCPU");
_Static_assert(offsetof(struct umbra_vcpu, requests_) == offsetof(struct mmu_vcpu, requests) &&
		       sizeof(struct atomic32) == sizeof(uint32_t),
	       "head of a vCPU");
_Static_assert(sizeof(struct umbra_tlb_entry_) == sizeof(struct tlb_entry), "a TLB entry");
_Static_assert(offsetof(struct tlb_entry, read) == UMBRA_READ * sizeof(uint64_t) &&
		       offsetof(struct tlb_entry, write) == UMBRA_WRITE * sizeof(uint64_t) &&
		       offsetof(struct tlb_entry, exec) == UMBRA_EXEC * sizeof(uint64_t),
	       "a TLB entry");
_Static_assert(offsetof(struct tlb_entry, addend) == offsetof(struct umbra_tlb_entry_, addend),
	       "a TLB entry");
_Static_assert(TLB_ENTRIES == UMBRA_TLB_ENTRIES_, "size of the TLB");

static size_t ring_bytes(const struct umbra_mmu *m)
{
	return m->ring_entries * sizeof(struct kvm_dirty_gfn);
}

int umbra_vcpu_create(struct umbra_mmu *m, struct umbra_vcpu **vcpu)
{
	struct api_vcpu *a = reservation_get(sizeof(*a));
	void *ring = NULL;
	int err = -ENOMEM;

	if (!a)
		return -ENOMEM;
	*a = (struct api_vcpu){ .owner = m };
	a->mmu.paging.maxphyaddr = m->physical_bits;
	a->mmu.paging.has_1g_pages = m->has_1g_pages;
	if (m->ring_entries) {
		ring = alloc_zeroed(&m->alloc, ring_bytes(m));
		if (!ring)
			goto free_vcpu;
		dirty_ring_init(&a->mmu.ring, ring, (uint32_t)ring_bytes(m));
	}
	err = mmu_vcpu_init(&a->mmu, &m->mmu);
	if (err)
		goto free_ring;
	atomic32_fetch_add(&m->n_vcpus, 1);
	*vcpu = api_handle_of(a);
	return 0;

free_ring:
	alloc_free(&m->alloc, ring, ring_bytes(m));
free_vcpu:
	reservation_put(a, sizeof(*a));
	return err;
}

void umbra_vcpu_destroy(struct umbra_vcpu *v)
{
	struct api_vcpu *a = api_vcpu_of(v);
	struct umbra_mmu *m = a->owner;

	mmu_vcpu_destroy(&a->mmu);
	for (unsigned int i = 0; i < N_VCPU_STATS; i++)
		atomic64_fetch_add(&m->vcpu_stats[i], atomic64_load_relaxed(&a->mmu.stats[i]));
	alloc_free(&m->alloc, a->mmu.ring.entries, ring_bytes(m));
	reservation_put(a, sizeof(*a));
	atomic32_fetch_add(&m->n_vcpus, (uint32_t)-1);
}

void umbra_vcpu_enter(struct umbra_vcpu *v)
{
	struct api_vcpu *a = api_vcpu_of(v);

	if (a->owner->interrupts) {
		a->saved_mask = thread_hold_signals();
		window_bind(&a->mmu.line);
	}
	guest_enter(&a->mmu);
}

void umbra_vcpu_leave(struct umbra_vcpu *v)
{
	struct api_vcpu *a = api_vcpu_of(v);

	api_drop_pointer(a);
	guest_leave(&a->mmu);
	if (a->owner->interrupts) {
		window_unbind(&a->mmu.line);
		thread_release_signals(a->saved_mask);
	}
}

bool umbra_vcpu_service_(struct umbra_vcpu *v)
{
	struct mmu_vcpu *mmu = &api_vcpu_of(v)->mmu;

	api_drop_pointer(api_vcpu_of(v));
	if (atomic32_load_relaxed(&mmu->requests) & REQUESTS_OF_MMU) {
		guest_leave(mmu);
		guest_enter(mmu);
	}
	return request_take(mmu, REQUEST_KICK);
}

void umbra_vcpu_kick(struct umbra_vcpu *v)
{
	request_post(&api_vcpu_of(v)->mmu, REQUEST_KICK);
}

/* --- the paging registers ----------------------------------------------------- */

const struct umbra_paging *umbra_vcpu_paging(const struct umbra_vcpu *v)
{
	return &api_vcpu_of(v)->paging;
}

/* Translates what was set into the MMU's own terms. */
static void apply(struct api_vcpu *a)
{
	const struct umbra_paging *from = &a->paging;
	struct paging *to = &a->mmu.paging;

	to->cr0 = from->cr0;
	to->cr3 = from->cr3;
	to->cr4 = from->cr4;
	to->efer = from->efer;
	memcpy(to->pdptr, from->pdptr, sizeof(to->pdptr));
	to->pkru = from->pkru;
	to->cpl = from->cpl;
	to->ac = from->ac;
	mmu_paging_changed(&a->mmu);
}

void umbra_vcpu_set_paging(struct umbra_vcpu *v, const struct umbra_paging *paging)
{
	struct api_vcpu *a = api_vcpu_of(v);

	a->paging = *paging;
	apply(a);
}

void umbra_vcpu_set_cr0(struct umbra_vcpu *v, uint64_t value)
{
	api_vcpu_of(v)->paging.cr0 = value;
	apply(api_vcpu_of(v));
}

void umbra_vcpu_set_cr3(struct umbra_vcpu *v, uint64_t value)
{
	api_vcpu_of(v)->paging.cr3 = value;
	apply(api_vcpu_of(v));
}

void umbra_vcpu_set_cr4(struct umbra_vcpu *v, uint64_t value)
{
	api_vcpu_of(v)->paging.cr4 = value;
	apply(api_vcpu_of(v));
}

void umbra_vcpu_set_efer(struct umbra_vcpu *v, uint64_t value)
{
	api_vcpu_of(v)->paging.efer = value;
	apply(api_vcpu_of(v));
}

void umbra_vcpu_set_pkru(struct umbra_vcpu *v, uint32_t value)
{
	api_vcpu_of(v)->paging.pkru = value;
	apply(api_vcpu_of(v));
}

void umbra_vcpu_set_privilege(struct umbra_vcpu *v, unsigned int cpl, bool ac)
{
	struct api_vcpu *a = api_vcpu_of(v);

	a->paging.cpl = a->mmu.paging.cpl = (uint8_t)cpl;
	a->paging.ac = a->mmu.paging.ac = ac;
	tlb_set_privilege(&a->mmu);
}

void umbra_vcpu_flush(struct umbra_vcpu *v)
{
	mmu_paging_changed(&api_vcpu_of(v)->mmu);
}

void umbra_vcpu_invlpg(struct umbra_vcpu *v, uint64_t gva)
{
	api_drop_pointer(api_vcpu_of(v));
	mmu_invlpg(&api_vcpu_of(v)->mmu, gva_of(gva));
}

static bool is_reserved(const struct api_vcpu *a, uint64_t pdpte)
{
	uint64_t reserved = bit_range(1, 2) | bit_range(5, 8) |
			    bit_range(a->mmu.paging.maxphyaddr, 63);

	return (pdpte & GPTE_P) && (pdpte & reserved);
}

enum umbra_result umbra_vcpu_load_pdptrs(struct umbra_vcpu *v)
{
	struct api_vcpu *a = api_vcpu_of(v);
	uint64_t table = a->paging.cr3 & bit_range(5, 31);
	enum umbra_result result;
	uint64_t pdpte[4];

	/* 32 bytes aligned to 32: within one page. */
	result = umbra_read_physical(v, table, pdpte, sizeof(pdpte));
	if (result != UMBRA_OK)
		return result;
	for (unsigned int i = 0; i < 4; i++) {
		if (is_reserved(a, pdpte[i])) {
			a->fault = (struct umbra_fault){ .gpa = table };
			return UMBRA_GUEST_FAULT;
		}
	}
	memcpy(a->paging.pdptr, pdpte, sizeof(pdpte));
	apply(a);
	return UMBRA_OK;
}
