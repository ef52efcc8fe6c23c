/* SPDX-License-Identifier: MIT */
#include "mmu/translate.h"

#include "mmu/fault.h"
#include "mmu/mmio.h"
#include "mmu/request.h"
#include "mmu/tlb.h"
#include "mmu/walk.h"

/* Faults in a row for one access before requests and signals get their turn. */
#define MAX_FAULTS 32

static enum mmu_verdict after_fault(enum fault_verdict verdict)
{
	switch (verdict) {
	case FAULT_FIXED:
	case FAULT_SPURIOUS:
		return MMU_OK;
	case FAULT_RETRY:
		return MMU_RETRY;
	case FAULT_MMIO:
		return MMU_MMIO;
	case FAULT_RING_FULL:
		return MMU_RING_FULL;
	case FAULT_HOST:
		return MMU_HOST_FAULT;
	case FAULT_NO_MEMORY:
		break;
	}
	return MMU_NO_MEMORY;
}

/* Outside guest mode and back.  MMU_OK: translate again. */
static enum mmu_verdict fault_in(struct mmu_vcpu *v, gpa_t gpa, bool write)
{
	enum fault_verdict verdict;

	guest_leave(v);
	verdict = mmu_fault(v, gpa, write);
	guest_enter(v);
	return after_fault(verdict);
}

void mmu_access_faulted(struct mmu_vcpu *v, const void *host)
{
	guest_leave(v);
	mmu_host_fault(v, (uintptr_t)host);
	guest_enter(v);
}

/* The page and flush number of a tag: what all tags of an entry agree on. */
static uint64_t tag_page(uint64_t tag)
{
	return tag & ~(uint64_t)TLB_PRIVILEGE_MASK;
}

/*
 * An entry may hold a page for several privileges, one for each kind of access.
 * What was code for one of them is code; it stays so until a write, which is
 * told of it: a read does not open the page for writing on the quiet.
 */
static void fill(struct mmu_vcpu *v, const struct walk *w, void *host, bool writable,
		 struct mmu_result *result)
{
	struct tlb_entry *e = tlb_entry_of(v, w->gva);
	uint64_t tag = tlb_tag(v, w->gva, 1), page = tag_page(tag);
	uint64_t addend = (uintptr_t)host - w->gva;
	bool is_code;

	if (e->addend != addend || (tag_page(e->read) != page && tag_page(e->write) != page &&
				    tag_page(e->exec) != page))
		*e = (struct tlb_entry){ .addend = addend };
	is_code = e->exec;
	result->was_code = w->access == ACCESS_WRITE && is_code;
	if (w->access == ACCESS_EXEC) {
		e->exec = tag;
		e->write = 0;
	} else {
		e->read = tag;
		if (w->access == ACCESS_WRITE || (writable && !is_code)) {
			e->write = tag;
			e->exec = 0;
		}
	}
	v->tlb_has_large |= w->large;
	vcpu_count(v, tlb_fills);
}

/* A table of the guest's, or a bit in it, could not be reached. */
static enum mmu_verdict walk_missed(struct mmu_vcpu *v, struct walk *w)
{
	enum mmu_verdict verdict;

	if (w->absent)
		mmu_access_faulted(v, w->absent);
	verdict = fault_in(v, w->missing, w->missing_write);
	if (verdict != MMU_MMIO)
		return verdict;
	/* In a read-only slot A and D are not kept; otherwise there is no table. */
	if (!w->missing_write)
		return MMU_BAD_TABLES;
	w->read_only[w->missing_step] = walk_read_only_mark(w->missing);
	return MMU_OK;
}

static bool is_mmio_now(const struct mmu_vcpu *v, gpa_t gpa)
{
	spte_t spte = tdp_lookup(v->mmu, gpa >> PAGE_SHIFT).spte;

	return spte_kind(spte) == SPTE_MMIO && mmio_spte_is_current(v->mmu, spte);
}

enum mmu_verdict mmu_translate_gpa(struct mmu_vcpu *v, gpa_t gpa, bool write,
				   struct mmu_result *result)
{
	enum mmu_verdict verdict;

	result->gpa = gpa;
	result->was_code = false;
	for (int i = 0; i < MAX_FAULTS; i++) {
		result->host = walk_gpa(v, gpa, write);
		if (result->host)
			return MMU_OK;
		if (is_mmio_now(v, gpa))
			return MMU_MMIO;
		verdict = fault_in(v, gpa, write);
		if (verdict != MMU_OK)
			return verdict;
	}
	return MMU_RETRY;
}

enum mmu_verdict mmu_translate(struct mmu_vcpu *v, gva_t gva, enum access access,
			       struct mmu_result *result)
{
	struct walk w = { .gva = gva, .access = access };
	enum mmu_verdict verdict;
	uint64_t generation;

	result->was_code = false;
	if (access != ACCESS_EXEC && mmio_cache_find(v, gva, access, &result->gpa))
		return MMU_MMIO;

	for (int i = 0; i < MAX_FAULTS; i++) {
		switch (walk_guest(v, &w)) {
		case WALK_RACED:
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

		result->gpa = w.gpa;
		/* A page that is being read is made writable in the TLB only if
		 * our entry is so already: reading must not dirty it. */
		generation = mmio_generation(v->mmu);
		if (access != ACCESS_EXEC && w.writable)
			result->host = walk_gpa(v, w.gpa, true);
		else
			result->host = NULL;
		if (result->host) {
			fill(v, &w, result->host, true, result);
			return MMU_OK;
		}
		if (access != ACCESS_WRITE) {
			result->host = walk_gpa(v, w.gpa, false);
			if (result->host) {
				fill(v, &w, result->host, false, result);
				return MMU_OK;
			}
		}
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
