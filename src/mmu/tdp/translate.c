/* SPDX-License-Identifier: MIT */
/* mmu/tdp/translate.c - a TLB miss: the guest's tables, then ours. */
#include "mmu/translate.h"

#include "mmu/guest/walk.h"
#include "mmu/mmio.h"
#include "mmu/tdp/internal.h"
#include "mmu/tlb/request.h"
#include "mmu/tlb/tlb.h"

/* Outside guest mode and back.  MMU_OK: look again. */
static enum mmu_verdict fault_in(struct mmu_vcpu *v, struct fault *f)
{
	enum fault_verdict verdict;

	guest_leave(v);
	verdict = tdp_fault_at(v, f);
	guest_enter(v);
	return mmu_verdict_of_fault(verdict);
}

/* A guest table, or a bit in it, could not be accessed.  MMU_OK: walk again. */
static enum mmu_verdict walk_missed(struct mmu_vcpu *v, struct walk *w)
{
	enum mmu_verdict verdict;
	struct fault f;

	/* Our tables do translate it, or did. */
	if (w->absent) {
		mmu_access_faulted(v, w->absent);
		return MMU_OK;
	}
	fault_begin(&f, w->missing, w->missing_access);
	f.entry = w->entry;
	verdict = fault_in(v, &f);
	if (verdict != MMU_MMIO)
		return verdict;
	/* In a read-only slot A and D are not set; otherwise there is no table. */
	if (w->missing_access == ACCESS_READ)
		return MMU_BAD_TABLES;
	w->read_only[w->missing_step] = walk_read_only_mark(w->missing);
	return MMU_OK;
}

/* MMU_OK and *found, or not: try again. */
static enum mmu_verdict walk(struct mmu_vcpu *v, struct walk *w, struct mmu_result *result,
			     bool *found)
{
	*found = false;
	switch (walk_guest(v, w)) {
	case WALK_RACED:
		return epoch_read(&v->epoch) != w->stamp.epoch ? MMU_OK : MMU_RETRY;
	case WALK_BLOCKED:
		return MMU_RETRY;
	case WALK_FAULT:
		result->error_code = w->error_code;
		return MMU_GUEST_FAULT;
	case WALK_MISS:
		return walk_missed(v, w);
	case WALK_OK:
		break;
	}
	*found = true;
	return MMU_OK;
}

/*
 * Where the page is, if our tables translate it for this access.  On a read the TLB entry is
 * writable only if our entry already is: reading must not dirty the page.
 */
static bool find_host(struct mmu_vcpu *v, const struct walk *w, struct fault *f,
		      struct mmu_result *result)
{
	uint64_t want = w->access != ACCESS_EXEC && w->writable ? SPTE_W : 0;
	bool found = false;

	result->gpa = w->gpa;
	result->epoch = w->stamp.epoch;
	guest_pin(v);
	/* Our tables have no higher address bits: it would alias another address. */
	if (!(f->gpa.raw >> TDP_ADDRESS_BITS)) {
		tdp_look_again(v->mmu, &f->entry, f->gfn);
		found = tdp_use(&f->entry, f->gfn, f->write ? SPTE_W : 0, want);
	}
	guest_unpin(v);
	if (!found)
		return false;
	result->host = (char *)host_pointer(spte_pfn_of(f->entry.spte, f->gfn)) +
		       gpa_offset(f->gpa);
	result->was_code = tlb_fill(v, w->gva, w->access, w->stamp, (struct tlb_page){
		.host = result->host,
		.writable = f->entry.spte.raw & want,
		.large = w->level > LEVEL_4K,
	});
	return true;
}

static bool is_mmio(const struct mmu *m, spte_t spte)
{
	return spte_kind(spte) == SPTE_MMIO && mmio_spte_is_current(m, spte);
}

enum mmu_verdict tdp_translate(struct mmu_vcpu *v, gva_t gva, enum access access,
			       struct mmu_result *result)
{
	enum mmu_verdict verdict = MMU_OK;
	bool walked = false;
	uint64_t generation;
	struct fault f;
	struct walk w;

	walk_begin(&w, gva, access);
	for (int i = 0; i < MAX_FAULTS && verdict == MMU_OK; i++) {
		if (!walked) {
			verdict = walk(v, &w, result, &walked);
			if (!walked)
				continue;
			fault_begin(&f, w.gpa, access);
		}
		generation = mmio_generation(v->mmu);
		if (find_host(v, &w, &f, result))
			return MMU_OK;
		if (is_mmio(v->mmu, f.entry.spte)) {
			if (access != ACCESS_EXEC)
				mmio_cache_add(v, gva, access, w.gpa, generation);
			return MMU_MMIO;
		}
		verdict = fault_in(v, &f);
		walked = walk_renew(v, &w);
	}
	return verdict == MMU_OK ? MMU_RETRY : verdict;
}

enum mmu_verdict tdp_prefault(struct mmu_vcpu *v, gpa_t gpa, uint64_t *bytes)
{
	enum mmu_verdict verdict = mmu_verdict_of_fault(tdp_fault(v, gpa, ACCESS_READ));
	uint64_t whole;

	if (verdict != MMU_OK)
		return verdict;
	rcu_read_begin();
	whole = level_pages(tdp_lookup(v->mmu, gfn_of_gpa(gpa)).level) << PAGE_SHIFT;
	rcu_read_end();
	*bytes = whole - (gpa.raw & (whole - 1));
	return MMU_OK;
}
