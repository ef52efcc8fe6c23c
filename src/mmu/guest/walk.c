/* SPDX-License-Identifier: MIT */
/*
 * mmu/guest/walk.c - see mmu/guest/walk.h.
 *
 * The walk itself only reads.  When it has found that the access is allowed, the
 * accessed and dirty bits are set by compare-and-swap against what was read; if
 * an entry has changed meanwhile the walk starts again.
 */
#include "mmu/guest/walk.h"

#include "base/guarded.h"
#include "mmu/guest/guest_memory.h"
#include "mmu/tdp/tdp.h"
#include "mmu/tlb/request.h"

/* Consecutive walks that may find their entries changed by others. */
#define MAX_RACES 64

/* How a walk reads the guest's tables. */
enum memory { BY_TABLES, BY_SLOTS };

static bool find_page(struct mmu_vcpu *v, gpa_t gpa, enum access access, struct table_entry *e)
{
	uint64_t need = access == ACCESS_WRITE ? SPTE_W : 0;

	/* Our tables have no higher address bits: it would alias another address. */
	if (gpa.raw >> TDP_ADDRESS_BITS) {
		*e = (struct table_entry){ .level = TDP_ROOT_LEVEL };
		return false;
	}
	tdp_find(v->mmu, e, gfn_of_gpa(gpa));
	return tdp_use(e, gfn_of_gpa(gpa), need, need);
}

void *walk_gpa(struct mmu_vcpu *v, struct tlb_stamp stamp, gpa_t gpa, enum access access,
	       struct table_entry *e)
{
	struct tlb_entry *cached = &v->gpa_tlb[(gpa.raw >> PAGE_SHIFT) & (GPA_TLB_ENTRIES - 1)];
	/* NO_TLB_POINTER_ACROSS_BLOCKING: a flush in between changes it. */
	uint64_t number = stamp.context & ~(uint64_t)TLB_PRIVILEGE_MASK;
	uint64_t tag = (gpa.raw & PAGE_MASK) | number | TLB_GPA;
	bool found;
	hva_t hva;

	if ((access == ACCESS_WRITE ? cached->write : cached->read) == tag)
		return (void *)(uintptr_t)(gpa.raw + cached->addend);
	guest_pin(v);
	found = find_page(v, gpa, access, e);
	guest_unpin(v);
	if (!found)
		return NULL;
	hva = hva_of(spte_pfn_of(e->spte, gfn_of_gpa(gpa)) << PAGE_SHIFT | gpa_offset(gpa));
	*cached = (struct tlb_entry){
		.read = tag,
		.write = access == ACCESS_WRITE ? tag : 0,
		.addend = hva.raw - gpa.raw,
	};
	return hva_pointer(hva);
}

/*
 * KEEP_WALK_UNTIL_FLUSH.  What a walk has found is as good as a TLB entry: it may be used until
 * the vCPU is asked to flush.  The epoch goes up whenever guest mode is entered, once more for
 * each request that was serviced there, and when the vCPU is interrupted.
 */
bool walk_renew(struct mmu_vcpu *v, struct walk *w)
{
	struct tlb_stamp now = tlb_stamp(v);

	if (rule(KEEP_WALK_UNTIL_FLUSH) && now.epoch != w->stamp.epoch + 1)
		return false;
	w->stamp = now;
	return true;
}

static enum walk_verdict miss(struct walk *w, gpa_t gpa, enum access access, void *absent)
{
	w->missing = gpa;
	w->missing_access = access;
	w->absent = absent;
	return WALK_MISS;
}

static enum walk_verdict blocked(struct walk *w, enum mmu_verdict verdict)
{
	w->blocked = verdict;
	return WALK_BLOCKED;
}

static enum walk_verdict read_by_slots(struct mmu_vcpu *v, struct walk *w, struct walk_step *step)
{
	enum mmu_verdict verdict;
	uint32_t narrow = 0;

	if (gpt_entry_bytes(w->kind) == 8) {
		verdict = guest_read(v, step->gpa, &step->entry, 8);
	} else {
		verdict = guest_read(v, step->gpa, &narrow, 4);
		step->entry = narrow;
	}
	return verdict == MMU_OK ? WALK_OK : blocked(w, verdict);
}

/* True if that, and not a fault, ended a window. */
static bool is_stale(const struct mmu_vcpu *v, const struct walk *w)
{
	return epoch_read(&v->epoch) != w->stamp.epoch;
}

static enum walk_verdict read_by_tables(struct mmu_vcpu *v, struct walk *w,
					struct walk_step *step)
{
	void *at = walk_gpa(v, w->stamp, step->gpa, ACCESS_READ, &w->entry);
	uint32_t narrow = 0;
	bool ok;

	if (!at)
		return miss(w, step->gpa, ACCESS_READ, NULL);
	if (gpt_entry_bytes(w->kind) == 8) {
		ok = window_load64(&v->epoch, w->stamp.epoch, at, &step->entry);
	} else {
		ok = window_load32(&v->epoch, w->stamp.epoch, at, &narrow);
		step->entry = narrow;
	}
	if (!ok && is_stale(v, w))
		return WALK_RACED;
	return ok ? WALK_OK : miss(w, step->gpa, ACCESS_READ, at);
}

static enum walk_verdict guest_fault(const struct mmu_vcpu *v, struct walk *w, uint32_t bits)
{
	const struct paging *p = &v->paging;

	w->error_code = bits;
	if (w->access == ACCESS_WRITE)
		w->error_code |= PFERR_WRITE;
	if (p->cpl == 3)
		w->error_code |= PFERR_USER;
	if (w->access == ACCESS_EXEC &&
	    ((p->cr4 & X86_CR4_SMEP) || ((p->cr4 & X86_CR4_PAE) && (p->efer & X86_EFER_NX))))
		w->error_code |= PFERR_FETCH;
	return WALK_FAULT;
}

enum update { UPDATED, RACED, STALE, NOT_UPDATED };

static enum update update_by_slots(struct mmu_vcpu *v, struct walk *w, int i, uint64_t bits)
{
	struct walk_step *step = &w->step[i];
	uint64_t old = step->entry;
	enum mmu_verdict verdict = guest_cmpxchg(v, step->gpa, gpt_entry_bytes(w->kind), &old,
						   old | bits);

	if (verdict == MMU_MMIO) {
		w->read_only[i] = walk_read_only_mark(step->gpa);
		return UPDATED;
	}
	if (verdict != MMU_OK) {
		blocked(w, verdict);
		return NOT_UPDATED;
	}
	if (old != step->entry)
		return RACED;
	step->entry |= bits;
	return UPDATED;
}

static enum update update_by_tables(struct mmu_vcpu *v, struct walk *w, int i, uint64_t bits)
{
	struct walk_step *step = &w->step[i];
	uint32_t old32 = (uint32_t)step->entry;
	uint64_t old = step->entry;
	void *at = walk_gpa(v, w->stamp, step->gpa, ACCESS_WRITE, &w->entry);

	w->missing_step = i;
	if (!at) {
		miss(w, step->gpa, ACCESS_WRITE, NULL);
		return NOT_UPDATED;
	}
	if (gpt_entry_bytes(w->kind) == 8) {
		if (!window_cmpxchg64(&v->epoch, w->stamp.epoch, at, &old, old | bits))
			goto absent;
	} else {
		if (!window_cmpxchg32(&v->epoch, w->stamp.epoch, at, &old32,
				      old32 | (uint32_t)bits))
			goto absent;
		old = old32;
	}
	if (old != step->entry)
		return RACED;
	step->entry |= bits;
	return UPDATED;
absent:
	if (is_stale(v, w))
		return STALE;
	miss(w, step->gpa, ACCESS_WRITE, at);
	return NOT_UPDATED;
}

static bool is_read_only(const struct walk *w, int i)
{
	return w->read_only[i] == walk_read_only_mark(w->step[i].gpa);
}

/* A in every entry used; D in the leaf for a write. */
static ALWAYS_INLINE enum update set_accessed_dirty(struct mmu_vcpu *v, struct walk *w,
						    enum memory memory)
{
	for (int i = 0; i < w->n_steps; i++) {
		uint64_t bits = GPTE_A;
		enum update u;

		if (i == w->n_steps - 1 && w->access == ACCESS_WRITE)
			bits |= GPTE_D;
		if ((w->step[i].entry & bits) == bits || is_read_only(w, i))
			continue;
		u = memory == BY_SLOTS ? update_by_slots(v, w, i, bits) :
					 update_by_tables(v, w, i, bits);
		if (u != UPDATED)
			return u;
	}
	return UPDATED;
}

/* From the root to the leaf. */
static ALWAYS_INLINE enum walk_verdict read_path(struct mmu_vcpu *v, struct walk *w,
						 enum memory memory)
{
	const struct paging *p = &v->paging;
	gpa_t table = gpte_table(w->kind, p->cr3);
	uint64_t entry;

	w->rights = (struct rights){ .user = true, .write = true };
	w->n_steps = 0;
	if (w->kind.format == GPT_PAE) {
		entry = p->pdptr[(w->gva.raw >> 30) & 3];
		if (!(entry & GPTE_P))
			return guest_fault(v, w, 0);
		table = gpte_table(w->kind, entry);
	}
	for (w->level = w->kind.levels;; w->level--) {
		uint64_t index = (w->gva.raw >> gpt_shift(w->kind, w->level)) &
				 bit_range(0, gpt_index_bits(w->kind) - 1);
		struct walk_step *step = &w->step[w->n_steps];
		enum walk_verdict verdict;

		step->gpa = gpa_add(table, index * gpt_entry_bytes(w->kind));
		verdict = memory == BY_SLOTS ? read_by_slots(v, w, step) :
					       read_by_tables(v, w, step);
		if (verdict != WALK_OK)
			return verdict;
		entry = step->entry;
		w->n_steps++;

		if (!(entry & GPTE_P))
			return guest_fault(v, w, 0);
		if (entry & gpte_reserved_bits(w->kind, w->level, entry))
			return guest_fault(v, w, PFERR_PRESENT | PFERR_RSVD);
		rights_narrow(&w->rights, w->kind, entry);
		if (w->level == 1 || gpte_is_large(w->kind, w->level, entry))
			break;
		table = gpte_table(w->kind, entry);
	}
	w->rights.key = (entry >> GPTE_PKEY_SHIFT) & 15;
	return WALK_OK;
}

/* One walk; *raced: an entry changed, walk again. */
static ALWAYS_INLINE enum walk_verdict walk_once(struct mmu_vcpu *v, struct walk *w,
						 enum memory memory, bool *raced)
{
	const struct paging *p = &v->paging;
	enum walk_verdict verdict = read_path(v, w, memory);
	enum update update;
	int leaf;

	*raced = false;
	if (verdict != WALK_OK)
		return verdict;
	/* The flag reflects the key, whether or not other checks fail as well. */
	if (!key_allows(p, &w->rights, w->access))
		return guest_fault(v, w, PFERR_PRESENT | PFERR_PK);
	if (!rights_allow(p, &w->rights, w->access))
		return guest_fault(v, w, PFERR_PRESENT);

	update = set_accessed_dirty(v, w, memory);
	if (update == STALE)
		return WALK_RACED;
	if (update == NOT_UPDATED)
		return memory == BY_SLOTS ? WALK_BLOCKED : WALK_MISS;
	*raced = update == RACED;
	leaf = w->n_steps - 1;
	w->gpa = gpte_leaf_address(w->kind, w->level, w->step[leaf].entry, w->gva);
	w->dirty = (w->step[leaf].entry & GPTE_D) ||
		   (w->access == ACCESS_WRITE && is_read_only(w, leaf));
	w->writable = w->dirty && rights_allow(p, &w->rights, ACCESS_WRITE) &&
		      key_allows(p, &w->rights, ACCESS_WRITE);
	return WALK_OK;
}

/* Linear addresses have 32 bits then. */
static void walk_unpaged(struct walk *w)
{
	w->gpa = gpa_of((uint32_t)w->gva.raw);
	w->rights = (struct rights){ .user = true, .write = true };
	w->writable = w->dirty = true;
	w->level = LEVEL_4K;
	w->n_steps = 0;
}

static ALWAYS_INLINE enum walk_verdict walk(struct mmu_vcpu *v, struct walk *w,
					    enum memory memory)
{
	enum walk_verdict verdict;
	bool raced;

	if (!(v->paging.cr0 & X86_CR0_PG)) {
		walk_unpaged(w);
		return WALK_OK;
	}
	w->kind = gpt_kind_of(&v->paging);
	for (int i = 0; i < MAX_RACES; i++) {
		verdict = walk_once(v, w, memory, &raced);
		if (verdict != WALK_OK || !raced)
			return verdict;
	}
	return WALK_RACED;
}

enum walk_verdict walk_guest(struct mmu_vcpu *v, struct walk *w)
{
	w->stamp = tlb_stamp(v);
	return walk(v, w, BY_TABLES);
}

enum mmu_verdict walk_guest_slots(struct mmu_vcpu *v, struct walk *w)
{
	switch (walk(v, w, BY_SLOTS)) {
	case WALK_OK:
		return MMU_OK;
	case WALK_FAULT:
		return MMU_GUEST_FAULT;
	case WALK_BLOCKED:
		return w->blocked;
	case WALK_MISS:		/* of our tables only */
	case WALK_RACED:
		break;
	}
	return MMU_RETRY;
}
