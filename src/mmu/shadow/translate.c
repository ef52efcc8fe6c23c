/* SPDX-License-Identifier: MIT */
/*
 * mmu/shadow/translate.c - a TLB miss looks in the shadow tables, in guest mode and
 * without a lock.  If they have no translation, that is a fault.
 */
#include "mmu/mmio.h"
#include "mmu/shadow/internal.h"
#include "mmu/tlb/request.h"
#include "mmu/tlb/tlb.h"

/* SMEP, SMAP and keys mean nothing without paging, whatever CR4 says. */
static bool allows(const struct paging *p, const struct rights *r, enum access access)
{
	return !(p->cr0 & X86_CR0_PG) ||
	       (rights_allow(p, r, access) && key_allows(p, r, access));
}

/* The lowest entry on the way to @gva; NULL: there is no root. */
static struct spte_word *find_entry(struct mmu_vcpu *v, gva_t gva, struct shadow_page **page)
{
	struct shadow_page *sp = shadow_current_root(v, gva);
	struct spte_word *sptep = NULL;

	while (sp) {
		spte_t spte;

		*page = sp;
		sptep = &sp->table.spte[gva_index(gva, sp->table.level)];
		spte = sptep_read(sptep);
		sp = spte_is_link(spte) ? shadow_page_of(spte_link(spte)) : NULL;
	}
	return sptep;
}

/* HOSTW without MMUW, in a page whose gpte is dirty. */
static bool is_tracked(spte_t s)
{
	return (s.raw & (SPTE_HOSTW | SPTE_MMUW | SPTE_GD)) == (SPTE_HOSTW | SPTE_GD);
}

static bool hit_mmio(const struct mmu_vcpu *v, spte_t spte, gva_t gva, enum access access,
		     struct mmu_result *result)
{
	uint32_t bits = (spte.raw >> MMIO_ACCESS_SHIFT) & MMIO_ACCESS_MASK;
	struct rights r = shadow_rights(bits, 0);

	/* What only CR0.WP allows is left to a walk. */
	if (!mmio_spte_is_current(v->mmu, spte) || !allows(&v->paging, &r, access) ||
	    (access == ACCESS_WRITE && !r.write))
		return false;
	result->gpa = gpa_add(gpa_of_gfn(gfn_of(spte.raw >> MMIO_GFN_SHIFT)), gva_offset(gva));
	return true;
}

/*
 * A write to a tracked page is accepted only after a fault, which may make the page unsync
 * instead, and checks for room in the dirty ring.  The fault may have been taken by an earlier
 * call, since a write across two tracked pages needs both, but it must be recent, or the ring's
 * reserve could be exhausted.
 */
static bool was_just_faulted(struct mmu_vcpu *v, gva_t gva, bool faulted)
{
	struct tracked_page *p = &v->shadow.tracked_pages[(gva.raw >> PAGE_SHIFT) & 1];
	gva_t page = gva_align(gva, PAGE_SIZE);

	if (faulted)
		*p = (struct tracked_page){ page, v->guest_entries };
	return gva_eq(p->gva, page) && v->guest_entries - p->guest_entries <= 2;
}

/* In guest mode.  False: fault.  @faulted: it has been taken before. */
static bool hit_leaf(struct mmu_vcpu *v, struct spte_word *sptep, const struct shadow_page *sp,
		     gva_t gva, enum access access, bool faulted, struct tlb_stamp stamp,
		     struct mmu_result *result)
{
	spte_t spte = sptep_read(sptep), new = spte;
	uint64_t offset = (gva.raw >> PAGE_SHIFT) & (level_pages(sp->table.level) - 1);
	struct rights r = shadow_rights_of_leaf(spte);
	bool writable = spte_is_writable(spte) && allows(&v->paging, &r, ACCESS_WRITE);
	gfn_t first = shadow_gfn(sp, gva_index(gva, sp->table.level));
	void *host;

	/* It was a leaf when it was found; it may have been dropped since. */
	if (!spte_is_leaf(spte) || !allows(&v->paging, &r, access))
		return false;
	result->tracked = access == ACCESS_WRITE && !writable;
	if (result->tracked && !(is_tracked(spte) && was_just_faulted(v, gva, faulted)))
		return false;
	new.raw |= SPTE_A | (writable && access != ACCESS_EXEC ? SPTE_D : 0);
	/* Even if nothing changes: frame and entry belong together. */
	if (new.raw == spte.raw ? sptep_read(sptep).raw != spte.raw :
				  !sptep_cmpxchg(sptep, &spte, new))
		return false;

	host = (char *)host_pointer(spte_pfn(spte) + offset) + (gva_offset(gva));
	result->host = host;
	result->epoch = stamp.epoch;
	result->gpa = gpa_add(gpa_of_gfn(gfn_add(first, offset)), gva_offset(gva));
	if (!result->tracked)
		result->was_code = tlb_fill(v, gva, access, host, writable,
					    sp->table.level > LEVEL_4K || sp->role.direct,
					    stamp);
	return true;
}

/* *level: of the last entry on the path. */
static bool hit_pinned(struct mmu_vcpu *v, gva_t gva, enum access access, bool faulted,
		       struct tlb_stamp stamp, struct mmu_result *result,
		       enum mmu_verdict *verdict, int *level)
{
	struct shadow_page *sp;
	struct spte_word *sptep = find_entry(v, gva, &sp);
	spte_t spte = sptep ? sptep_read(sptep) : NO_SPTE;

	*level = sptep ? sp->table.level : LEVEL_1G;
	*verdict = MMU_OK;
	if (spte_is_leaf(spte))
		return hit_leaf(v, sptep, sp, gva, access, faulted, stamp, result);
	*verdict = MMU_MMIO;
	return spte_kind(spte) == SPTE_MMIO && access != ACCESS_EXEC &&
	       hit_mmio(v, spte, gva, access, result);
}

static bool hit(struct mmu_vcpu *v, gva_t gva, enum access access, bool faulted,
		struct mmu_result *result, enum mmu_verdict *verdict, int *level)
{
	struct tlb_stamp stamp = tlb_stamp(v);
	bool found;

	guest_pin(v);
	found = hit_pinned(v, gva, access, faulted, stamp, result, verdict, level);
	guest_unpin(v);
	return found;
}

enum mmu_verdict shadow_translate(struct mmu_vcpu *v, gva_t gva, enum access access,
				  struct mmu_result *result)
{
	uint64_t generation = mmio_generation(v->mmu);
	enum mmu_verdict verdict;
	bool faulted = false;
	int level;

	for (int i = 0; i < MAX_FAULTS; i++) {
		if (!v->roots_loaded) {
			guest_leave(v);
			verdict = shadow_load_roots(v);
			guest_enter(v);
			if (verdict != MMU_OK)
				return verdict;
			continue;
		}
		if (hit(v, gva, access, faulted, result, &verdict, &level)) {
			if (verdict == MMU_MMIO)
				mmio_cache_add(v, gva, access, result->gpa, generation);
			return verdict;
		}
		guest_leave(v);
		verdict = shadow_fault(v, gva, access, MIN(level, (int)LEVEL_1G), result);
		guest_enter(v);
		faulted = verdict == MMU_OK;
		if (verdict != MMU_OK && !(verdict == MMU_RETRY && i + 1 < MAX_FAULTS))
			return verdict;
	}
	return MMU_RETRY;
}
