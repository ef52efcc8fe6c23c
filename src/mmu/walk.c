/* SPDX-License-Identifier: MIT */
/*
 * mmu/walk.c - see mmu/walk.h.
 *
 * The walk itself only reads.  When it has found that the access is allowed, the
 * accessed and dirty bits are set by compare-and-swap against what was read; if
 * an entry has changed meanwhile the walk starts again.
 */
#include "mmu/walk.h"

#include "base/guarded.h"
#include "mmu/tdp.h"
#include "mmu/x86.h"

/* Walks in a row that may find their entries changed by others. */
#define MAX_RACES 64

/* The shape of one kind of guest tables. */
struct format {
	int levels;		/* that are walked in memory */
	int index_bits;
	int entry_bytes;
};

static const struct format format_32 = { 2, 10, 4 };
static const struct format format_pae = { 2, 9, 8 }; /* the third level is in registers */
static const struct format format_4 = { 4, 9, 8 };
static const struct format format_5 = { 5, 9, 8 };

/* Each step of a walk: where the entry is and what was read. */
struct step {
	gpa_t gpa;
	uint64_t entry;
};

/* The rights that the entries leave, from the top down. */
struct rights {
	bool user, write, no_exec;
	unsigned int key;
};

static const struct format *format_of(const struct paging *p)
{
	if (!(p->cr4 & X86_CR4_PAE))
		return &format_32;
	if (!(p->efer & X86_EFER_LMA))
		return &format_pae;
	return p->cr4 & X86_CR4_LA57 ? &format_5 : &format_4;
}

/* Bits first..last, both included; none if first > last. */
static uint64_t bit_range(int first, int last)
{
	return first > last ? 0 : (~0ull >> (63 - last)) & (~0ull << first);
}

static bool is_large(const struct paging *p, const struct format *f, int level, uint64_t entry)
{
	if (level == 1 || !(entry & GPTE_PS))
		return false;
	if (f == &format_32)
		return p->cr4 & X86_CR4_PSE;
	return level == 2 || (level == 3 && f->levels >= 4 && p->has_1g_pages);
}

static uint64_t reserved_bits(const struct paging *p, const struct format *f, int level,
			      uint64_t entry)
{
	uint64_t bits = 0;

	if (f == &format_32) {
		/* PSE-36: bits 13-20 are address bits 32-39 as far as there are any. */
		return is_large(p, f, level, entry) ?
			       bit_range(MAX(13, MIN((int)p->maxphyaddr, 40) - 32 + 13), 21) : 0;
	}
	if (!(p->efer & X86_EFER_NX))
		bits |= GPTE_NX;
	bits |= bit_range(p->maxphyaddr, f == &format_pae ? 62 : 51);
	if (is_large(p, f, level, entry))
		bits |= bit_range(13, PAGE_SHIFT + 9 * (level - 1) - 1);
	else if (level > 2)
		bits |= GPTE_PS;
	return bits;
}

static gpa_t address_bits(const struct paging *p, uint64_t entry)
{
	return entry & bit_range(PAGE_SHIFT, MIN((int)p->maxphyaddr, 52) - 1);
}

/* The frame that a leaf at this level maps, with the offset of @gva. */
static gpa_t leaf_address(const struct paging *p, const struct format *f, int level,
			  uint64_t entry, gva_t gva)
{
	int shift = PAGE_SHIFT + f->index_bits * (level - 1);
	gpa_t frame = address_bits(p, entry) & ~bit_range(0, shift - 1);

	if (f == &format_32) {
		frame &= 0xffffffff;
		if (level == 2)
			frame |= ((entry >> 13) & 0xff) << 32;
	}
	return frame | (gva & bit_range(0, shift - 1));
}

static bool tdp_pointer(struct mmu_vcpu *v, gpa_t gpa, bool write, uint64_t *hva)
{
	uint64_t need = SPTE_A | (write ? SPTE_D : 0);

	/* The tables know no address bits above: it would be taken for another. */
	if (gpa >> TDP_ADDRESS_BITS)
		return false;
	for (;;) {
		struct tdp_entry e = tdp_lookup(v->mmu, gpa >> PAGE_SHIFT);
		spte_t new = { e.spte.raw | need };

		if (!spte_is_leaf(e.spte) || (write && !spte_is_writable(e.spte)))
			return false;
		if (e.spte.raw != new.raw && !sptep_cmpxchg(e.slot, &e.spte, new))
			continue;
		*hva = (spte_pfn_of(e.spte, gpa >> PAGE_SHIFT) << PAGE_SHIFT) |
		       (gpa & PAGE_OFFSET_MASK);
		return true;
	}
}

void *walk_gpa(struct mmu_vcpu *v, gpa_t gpa, bool write)
{
	struct tlb_entry *e = &v->gpa_tlb[(gpa >> PAGE_SHIFT) & (GPA_TLB_ENTRIES - 1)];
	uint64_t tag = (gpa & PAGE_MASK) | v->tlb_flush_number << TLB_FLUSH_SHIFT | TLB_GPA;
	uint64_t hva;

	if ((write ? e->write : e->read) == tag)
		return (void *)(uintptr_t)(gpa + e->addend);
	if (!tdp_pointer(v, gpa, write, &hva))
		return NULL;
	*e = (struct tlb_entry){ .read = tag, .write = write ? tag : 0, .addend = hva - gpa };
	return (void *)(uintptr_t)hva;
}

static enum walk_verdict miss(struct walk *w, gpa_t gpa, bool write, void *absent)
{
	w->missing = gpa;
	w->missing_write = write;
	w->absent = absent;
	return WALK_MISS;
}

static enum walk_verdict read_entry(struct mmu_vcpu *v, struct walk *w, const struct format *f,
				    struct step *step)
{
	void *at = walk_gpa(v, step->gpa, false);
	uint32_t narrow = 0;
	bool ok;

	if (!at)
		return miss(w, step->gpa, false, NULL);
	if (f->entry_bytes == 8) {
		ok = guarded_load64(at, &step->entry);
	} else {
		ok = guarded_load32(at, &narrow);
		step->entry = narrow;
	}
	return ok ? WALK_OK : miss(w, step->gpa, false, at);
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

static bool key_allows(const struct paging *p, const struct rights *r, enum access access)
{
	uint32_t two = p->pkru >> (2 * r->key);

	if (!(p->cr4 & X86_CR4_PKE) || !(p->efer & X86_EFER_LMA) || !r->user ||
	    access == ACCESS_EXEC)
		return true;
	if (two & 1)
		return false;
	return !(two & 2) || access != ACCESS_WRITE || (p->cpl != 3 && !(p->cr0 & X86_CR0_WP));
}

static bool rights_allow(const struct paging *p, const struct rights *r, enum access access)
{
	if (access == ACCESS_EXEC) {
		if (r->no_exec)
			return false;
		return p->cpl == 3 ? r->user : !(r->user && (p->cr4 & X86_CR4_SMEP));
	}
	if (p->cpl == 3)
		return r->user && (access == ACCESS_READ || r->write);
	if (r->user && (p->cr4 & X86_CR4_SMAP) && !p->ac)
		return false;
	return access == ACCESS_READ || r->write || !(p->cr0 & X86_CR0_WP);
}

enum update { UPDATED, RACED, NOT_MAPPED };

static enum update set_entry_bits(struct mmu_vcpu *v, struct walk *w, const struct format *f,
				  struct step *step, uint64_t bits)
{
	uint32_t old32 = (uint32_t)step->entry;
	uint64_t old = step->entry;
	void *at;

	if ((old & bits) == bits)
		return UPDATED;
	at = walk_gpa(v, step->gpa, true);
	if (!at) {
		miss(w, step->gpa, true, NULL);
		return NOT_MAPPED;
	}
	if (f->entry_bytes == 8) {
		if (!guarded_cmpxchg64(at, &old, old | bits))
			goto absent;
	} else {
		if (!guarded_cmpxchg32(at, &old32, old32 | (uint32_t)bits))
			goto absent;
		old = old32;
	}
	if (old != step->entry)
		return RACED;
	step->entry |= bits;
	return UPDATED;
absent:
	miss(w, step->gpa, true, at);
	return NOT_MAPPED;
}

static bool is_read_only(const struct walk *w, int i, const struct step *step)
{
	return w->read_only[i] == walk_read_only_mark(step->gpa);
}

/* A in every entry used; D in the leaf for a write. */
static enum update set_accessed_dirty(struct mmu_vcpu *v, struct walk *w, const struct format *f,
				      struct step *steps, int n)
{
	for (int i = 0; i < n; i++) {
		uint64_t bits = GPTE_A;
		enum update u;

		if (i == n - 1 && w->access == ACCESS_WRITE)
			bits |= GPTE_D;
		if (is_read_only(w, i, &steps[i]))
			continue;
		w->missing_step = i;
		u = set_entry_bits(v, w, f, &steps[i], bits);
		if (u != UPDATED)
			return u;
	}
	return UPDATED;
}

/* One walk, from the root to the leaf; *raced: an entry changed, walk again. */
static enum walk_verdict walk_once(struct mmu_vcpu *v, struct walk *w, bool *raced)
{
	const struct paging *p = &v->paging;
	const struct format *f = format_of(p);
	struct rights r = { .user = true, .write = true };
	struct step steps[WALK_MAX_STEPS];
	gpa_t table = address_bits(p, p->cr3);
	enum update update;
	uint64_t entry;
	int level, n = 0;

	*raced = false;
	if (f == &format_32) {
		table &= 0xffffffff;
	} else if (f == &format_pae) {
		entry = p->pdptr[(w->gva >> 30) & 3];
		if (!(entry & GPTE_P))
			return guest_fault(v, w, 0);
		table = address_bits(p, entry);
	}

	for (level = f->levels;; level--) {
		int shift = PAGE_SHIFT + f->index_bits * (level - 1);
		uint64_t index = (w->gva >> shift) & bit_range(0, f->index_bits - 1);
		enum walk_verdict verdict;

		steps[n].gpa = table + index * (unsigned int)f->entry_bytes;
		verdict = read_entry(v, w, f, &steps[n]);
		if (verdict != WALK_OK)
			return verdict;
		entry = steps[n++].entry;

		if (!(entry & GPTE_P))
			return guest_fault(v, w, 0);
		if (entry & reserved_bits(p, f, level, entry))
			return guest_fault(v, w, PFERR_PRESENT | PFERR_RSVD);
		r.user &= !!(entry & GPTE_U);
		r.write &= !!(entry & GPTE_W);
		r.no_exec |= f != &format_32 && (entry & GPTE_NX) && (p->efer & X86_EFER_NX);
		if (level == 1 || is_large(p, f, level, entry))
			break;
		table = address_bits(p, entry);
		if (f == &format_32)
			table &= 0xffffffff;
	}
	r.key = (entry >> GPTE_PKEY_SHIFT) & 15;

	/* The flag says what the key said, whether or not others refuse as well. */
	if (!key_allows(p, &r, w->access))
		return guest_fault(v, w, PFERR_PRESENT | PFERR_PK);
	if (!rights_allow(p, &r, w->access))
		return guest_fault(v, w, PFERR_PRESENT);

	update = set_accessed_dirty(v, w, f, steps, n);
	if (update == NOT_MAPPED)
		return WALK_MISS;
	*raced = update == RACED;
	w->gpa = leaf_address(p, f, level, steps[n - 1].entry, w->gva);
	w->large = level > 1;
	w->writable = rights_allow(p, &r, ACCESS_WRITE) && key_allows(p, &r, ACCESS_WRITE) &&
		      ((steps[n - 1].entry & GPTE_D) ||
		       (w->access == ACCESS_WRITE && is_read_only(w, n - 1, &steps[n - 1])));
	return WALK_OK;
}

enum walk_verdict walk_guest(struct mmu_vcpu *v, struct walk *w)
{
	enum walk_verdict verdict;
	bool raced;

	if (!(v->paging.cr0 & X86_CR0_PG)) {
		w->gpa = w->gva;
		w->writable = true;
		w->large = false;
		return WALK_OK;
	}
	for (int i = 0; i < MAX_RACES; i++) {
		verdict = walk_once(v, w, &raced);
		if (verdict != WALK_OK || !raced)
			return verdict;
	}
	return WALK_RACED;
}
