/* SPDX-License-Identifier: MIT */
/* mmu/tdp/translate.c - a TLB miss: the guest's tables, then ours. */
#include "mmu/translate.h"

#include "mmu/guest/walk.h"
#include "mmu/mmio.h"
#include "mmu/tdp/internal.h"
#include "mmu/tlb/request.h"
#include "mmu/tlb/tlb.h"

/* Outside guest mode and back.  MMU_OK: translate again. */
static enum mmu_verdict fault_in(struct mmu_vcpu *v, gpa_t gpa, bool write)
{
	enum fault_verdict verdict;

	guest_leave(v);
	verdict = tdp_fault(v, gpa, write);
	guest_enter(v);
	return mmu_verdict_of_fault(verdict);
}

/* A guest table, or a bit in it, could not be accessed. */
static enum mmu_verdict walk_missed(struct mmu_vcpu *v, struct walk *w)
{
	enum mmu_verdict verdict;

	if (w->absent)
		mmu_access_faulted(v, w->absent);
	verdict = fault_in(v, w->missing, w->missing_write);
	if (verdict != MMU_MMIO)
		return verdict;
	/* In a read-only slot A and D are not set; otherwise there is no table. */
	if (!w->missing_write)
		return MMU_BAD_TABLES;
	w->read_only[w->missing_step] = walk_read_only_mark(w->missing);
	return MMU_OK;
}

static bool is_mmio_now(struct mmu_vcpu *v, gpa_t gpa)
{
	spte_t spte;

	guest_pin(v);
	spte = tdp_lookup(v->mmu, gpa >> PAGE_SHIFT).spte;
	guest_unpin(v);
	return spte_kind(spte) == SPTE_MMIO && mmio_spte_is_current(v->mmu, spte);
}

static bool find_host(struct mmu_vcpu *v, gva_t gva, enum access access, const struct walk *w,
		      bool write, struct mmu_result *result)
{
	result->gpa = w->gpa;
	result->epoch = w->stamp.epoch;
	result->host = walk_gpa(v, w->stamp, w->gpa, write);
	if (result->host)
		result->was_code = tlb_fill(v, gva, access, result->host, write, w->level > 1,
					    w->stamp);
	return result->host;
}

enum mmu_verdict tdp_translate(struct mmu_vcpu *v, gva_t gva, enum access access,
			       struct mmu_result *result)
{
	struct walk w = { .gva = gva, .access = access };
	enum mmu_verdict verdict;
	uint64_t generation;

	for (int i = 0; i < MAX_FAULTS; i++) {
		switch (walk_guest(v, &w)) {
		case WALK_RACED:
			if (epoch_read(&v->epoch) != w.stamp.epoch)
				continue;
			return MMU_RETRY;
		case WALK_BLOCKED:
			return MMU_RETRY;
		case WALK_FAULT:
			result->error_code = w.error_code;
			return MMU_GUEST_FAULT;
		case WALK_MISS:
			verdict = walk_missed(v, &w);
			if (verdict != MMU_OK)
				return verdict;
			continue;
		case WALK_OK:
			break;
		}

		/* On a read the TLB entry is writable only if our entry already is: reading must
		 * not dirty the page. */
		generation = mmio_generation(v->mmu);
		if (find_host(v, gva, access, &w, access != ACCESS_EXEC && w.writable, result) ||
		    (access != ACCESS_WRITE && find_host(v, gva, access, &w, false, result)))
			return MMU_OK;
		if (is_mmio_now(v, w.gpa)) {
			if (access != ACCESS_EXEC)
				mmio_cache_add(v, gva, access, w.gpa, generation);
			return MMU_MMIO;
		}
		verdict = fault_in(v, w.gpa, access == ACCESS_WRITE);
		if (verdict != MMU_OK)
			return verdict;
	}
	return MMU_RETRY;
}

enum mmu_verdict tdp_prefault(struct mmu_vcpu *v, gpa_t gpa, uint64_t *bytes)
{
	enum mmu_verdict verdict = mmu_verdict_of_fault(tdp_fault(v, gpa, false));
	uint64_t whole;

	if (verdict != MMU_OK)
		return verdict;
	rcu_read_begin();
	whole = level_pages(tdp_lookup(v->mmu, gpa >> PAGE_SHIFT).level) << PAGE_SHIFT;
	rcu_read_end();
	*bytes = whole - (gpa & (whole - 1));
	return MMU_OK;
}
