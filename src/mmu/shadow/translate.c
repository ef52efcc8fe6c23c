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
	result->gpa = gpa_add(gpa_of_gfn(spte_mmio_gfn(spte)), gva_offset(gva));
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

/* In guest mode, pinned.  False: fault. */
static bool use_leaf(struct mmu_vcpu *v, struct shadow_fault *sf, enum access access,
		     struct tlb_stamp stamp, struct mmu_result *result)
{
	const struct table_entry *e = &sf->path.entry;
	struct spte_ref at = shadow_path_ref(&sf->path, e->level);
	spte_t spte = e->spte, new = spte;
	struct rights r = shadow_rights_of_leaf(spte);
	uint64_t offset = (sf->path.gva.raw >> PAGE_SHIFT) & (level_pages(e->level) - 1);
	bool writable = spte_is_writable(spte) && allows(&v->paging, &r, ACCESS_WRITE);
	gfn_t first = shadow_gfn(at.sp, at.i);

	if (!allows(&v->paging, &r, access))
		return false;
	result->tracked = access == ACCESS_WRITE && !writable;
	if (result->tracked && !(is_tracked(spte) && was_just_faulted(v, sf->path.gva, sf->taken)))
		return false;
	new.raw |= SPTE_A | (writable && access != ACCESS_EXEC ? SPTE_D : 0);
	/* Even if nothing changes: frame and entry belong together. */
	if (new.raw == spte.raw ? sptep_read(e->sptep).raw != spte.raw :
				  !sptep_cmpxchg(e->sptep, &spte, new))
		return false;

	result->host = (char *)host_pointer(spte_pfn(spte) + offset) + gva_offset(sf->path.gva);
	result->epoch = stamp.epoch;
	result->gpa = gpa_add(gpa_of_gfn(gfn_add(first, offset)), gva_offset(sf->path.gva));
	if (!result->tracked)
		result->was_code = tlb_fill(v, sf->path.gva, access, stamp, (struct tlb_page){
			.host = result->host,
			.writable = writable,
			.large = e->level > LEVEL_4K || at.sp->role.direct,
		});
	return true;
}

/* Where the page is, if our tables translate it for this access. */
static bool find_host(struct mmu_vcpu *v, struct shadow_fault *sf, enum access access,
		      struct mmu_result *result)
{
	struct tlb_stamp stamp = tlb_stamp(v);
	bool found;

	guest_pin(v);
	shadow_path_look_again(v->mmu, &sf->path, shadow_current_root(v, sf->path.gva));
	found = spte_is_leaf(sf->path.entry.spte) && use_leaf(v, sf, access, stamp, result);
	guest_unpin(v);
	return found;
}

static bool is_mmio(const struct mmu_vcpu *v, const struct shadow_path *p, enum access access,
		    struct mmu_result *result)
{
	return spte_kind(p->entry.spte) == SPTE_MMIO && access != ACCESS_EXEC &&
	       hit_mmio(v, p->entry.spte, p->gva, access, result);
}

/* Outside guest mode and back.  The path began at another root. */
static enum mmu_verdict load_roots(struct mmu_vcpu *v, struct shadow_path *p)
{
	enum mmu_verdict verdict;

	guest_leave(v);
	verdict = shadow_load_roots(v);
	guest_enter(v);
	shadow_path_begin(p, p->gva);
	return verdict;
}

enum mmu_verdict shadow_translate(struct mmu_vcpu *v, gva_t gva, enum access access,
				  struct mmu_result *result)
{
	uint64_t generation = mmio_generation(v->mmu);
	enum mmu_verdict verdict;
	struct shadow_fault sf;

	shadow_path_begin(&sf.path, gva);
	sf.taken = false;
	for (int i = 0; i < MAX_FAULTS; i++) {
		if (!v->roots_loaded) {
			verdict = load_roots(v, &sf.path);
			if (verdict != MMU_OK)
				return verdict;
			continue;
		}
		if (find_host(v, &sf, access, result))
			return MMU_OK;
		if (is_mmio(v, &sf.path, access, result)) {
			mmio_cache_add(v, gva, access, result->gpa, generation);
			return MMU_MMIO;
		}
		guest_leave(v);
		verdict = shadow_fault(v, &sf, access, result);
		guest_enter(v);
		sf.taken = verdict == MMU_OK;
		if (verdict != MMU_OK && !(verdict == MMU_RETRY && i + 1 < MAX_FAULTS))
			return verdict;
	}
	return MMU_RETRY;
}
