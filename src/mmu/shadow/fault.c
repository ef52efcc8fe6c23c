/* SPDX-License-Identifier: MIT */
/*
 * mmu/shadow/fault.c - from the guest's tables to a shadow translation.
 *
 * A TLB miss looks in the shadow tables, in guest mode and without a lock.  If they have no
 * translation, that is a fault: walk the guest's tables, find the host page, and install both in
 * the shadow tables under the MMU lock.
 */
#include "base/trace.h"
#include "mmu/dirty.h"
#include "mmu/fault.h"
#include "mmu/flush.h"
#include "mmu/mmio.h"
#include "mmu/notifier.h"
#include "mmu/request.h"
#include "mmu/shadow/shadow.h"
#include "mmu/tlb.h"
#include "mmu/walk.h"

/* --- the TLB miss ------------------------------------------------------------- */

static struct rights rights_of(spte_t s)
{
	return (struct rights){
		.user = s.raw & SPTE_U,
		.write = s.raw & SPTE_GW,
		.no_exec = s.raw & SPTE_NX,
		.key = (s.raw >> SPTE_KEY_SHIFT) & 15,
	};
}

/* SMEP, SMAP and keys mean nothing without paging, whatever CR4 says. */
static bool allows(const struct paging *p, const struct rights *r, enum access access)
{
	return !(p->cr0 & X86_CR0_PG) ||
	       (rights_allow(p, r, access) && key_allows(p, r, access));
}

/* The lowest entry on the way to @gva; NULL: there is no root. */
static struct spte_slot *find_entry(struct mmu_vcpu *v, gva_t gva, struct shadow_page **page)
{
	struct shadow_page *sp = shadow_root_for(v, gva);
	struct spte_slot *slot = NULL;

	while (sp) {
		spte_t spte;

		*page = sp;
		slot = &sp->table.spte[level_index(gva >> PAGE_SHIFT, sp->table.level)];
		spte = sptep_read(slot);
		sp = spte_is_link(spte) ? shadow_page_of(spte_link(spte)) : NULL;
	}
	return slot;
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
	result->gpa = (spte.raw >> MMIO_GFN_SHIFT) << PAGE_SHIFT | (gva & PAGE_OFFSET_MASK);
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
	struct tracked_page *p = &v->tracked_pages[(gva >> PAGE_SHIFT) & 1];

	if (faulted)
		*p = (struct tracked_page){ gva & PAGE_MASK, v->guest_entries };
	return p->gva == (gva & PAGE_MASK) && v->guest_entries - p->guest_entries <= 2;
}

/* In guest mode.  False: fault.  @faulted: it has been taken before. */
static bool hit_leaf(struct mmu_vcpu *v, struct spte_slot *slot, const struct shadow_page *sp,
		     gva_t gva, enum access access, bool faulted, struct tlb_stamp stamp,
		     struct mmu_result *result)
{
	spte_t spte = sptep_read(slot), new = spte;
	uint64_t pages = level_pages(sp->table.level), offset = (gva >> PAGE_SHIFT) & (pages - 1);
	struct rights r = rights_of(spte);
	bool writable = spte_is_writable(spte) && allows(&v->paging, &r, ACCESS_WRITE);
	gfn_t gfn = shadow_gfn(sp, level_index(gva >> PAGE_SHIFT, sp->table.level)) + offset;
	void *host;

	/* It was a leaf when it was found; it may have been dropped since. */
	if ((!spte_is_leaf(spte) && !mutant(HIT_NOT_LOOKED_AT_AGAIN)) ||
	    !allows(&v->paging, &r, access))
		return false;
	result->tracked = access == ACCESS_WRITE && !writable;
	if (result->tracked && !(is_tracked(spte) && was_just_faulted(v, gva, faulted)))
		return false;
	new.raw |= SPTE_A | (writable && access != ACCESS_EXEC ? SPTE_D : 0);
	/* Even if nothing changes: frame and entry belong together. */
	if (new.raw == spte.raw ? sptep_read(slot).raw != spte.raw :
				  !sptep_cmpxchg(slot, &spte, new))
		return false;

	host = (char *)host_pointer(spte_pfn(spte) + offset) + (gva & PAGE_OFFSET_MASK);
	result->host = host;
	result->epoch = stamp.epoch;
	result->gpa = gfn << PAGE_SHIFT | (gva & PAGE_OFFSET_MASK);
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
	struct spte_slot *slot = find_entry(v, gva, &sp);
	spte_t spte = slot ? sptep_read(slot) : NO_SPTE;

	*level = slot ? sp->table.level : LEVEL_1G;
	*verdict = MMU_OK;
	if (spte_is_leaf(spte))
		return hit_leaf(v, slot, sp, gva, access, faulted, stamp, result);
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

/* --- the fault ---------------------------------------------------------------- */

struct shadow_fault {
	struct walk walk;
	struct fault fault;
	uint64_t gpt_seq;		/* when the guest's tables were read */
	struct shadow_batch unsync;	/* to be synced first */
	bool flush;			/* before the lock is dropped */
	bool debt;			/* later */
	bool made;			/* a shadow page: its table must be read again */
};

/* Something else is in the entry: zap it first (ZAP_BEFORE_REPLACE). */
static void clear_entry(struct mmu *m, struct shadow_fault *sf, struct spte_ref at)
	REQUIRES(m->lock)
{
	spte_t there = sptep_read(&at.sp->table.spte[at.i]);

	if (spte_kind(there) != SPTE_NONE && rule(ZAP_BEFORE_REPLACE))
		sf->debt |= shadow_drop(m, at.sp, at.i) && !mutant(REPLACE_OWES_NOTHING);
}

static bool leads_to(spte_t spte, gfn_t gfn, union shadow_role role)
{
	const struct shadow_page *child;

	if (!spte_is_link(spte))
		return false;
	child = shadow_page_of(spte_link(spte));
	return child->gfn == gfn && shadow_has_role(child, role);
}

/* The page one level down, created and linked if necessary. */
static enum fault_verdict step_down(struct mmu *m, struct shadow_fault *sf, struct spte_ref at,
				    gfn_t gfn, union shadow_role role, struct shadow_page **down)
	REQUIRES(m->lock)
{
	spte_t spte = sptep_read(&at.sp->table.spte[at.i]);
	struct shadow_page *child;

	if (leads_to(spte, gfn, role)) {
		*down = shadow_page_of(spte_link(spte));
		return FAULT_FIXED;
	}
	child = shadow_find(m, gfn, role);
	if (!child) {
		child = shadow_make(m, gfn, role, &sf->flush);
		sf->made = true;
	}
	if (!child)
		return FAULT_NO_MEMORY;
	/*
	 * SYNC_BEFORE_LINK.  The guest may make an entry present without any flush: what is
	 * reached through it must be as the guest's tables are now.
	 */
	if (shadow_has_unsync(child) && rule(SYNC_BEFORE_LINK)) {
		shadow_collect_unsync(m, child, &sf->unsync);
		return FAULT_RETRY;
	}
	clear_entry(m, sf, at);
	if (spte_list_length(&child->parents) >= SHADOW_LIST_MAX)
		shadow_drop_all(m, &child->parents);
	*down = child;
	return shadow_link(m, at.sp, at.i, child) ? FAULT_FIXED : FAULT_NO_MEMORY;
}

static struct spte_ref entry_for(struct shadow_page *sp, gva_t gva)
{
	return (struct spte_ref){ sp, level_index(gva >> PAGE_SHIFT, sp->table.level) };
}

/* Along the guest's own tables, to the one that holds its leaf. */
static enum fault_verdict follow_guest(struct mmu *m, struct shadow_fault *sf,
				       struct shadow_page **page) REQUIRES(m->lock)
{
	const struct walk *w = &sf->walk;
	struct rights r = shadow_rights(SHADOW_ALL, 0);
	union shadow_role role = shadow_role_of_kind(w->kind);
	enum fault_verdict verdict = FAULT_FIXED;
	struct shadow_page *sp = *page;

	for (int i = 0, at = sp->table.level; verdict == FAULT_FIXED; i++, at--) {
		/* True if its table was unchanged when we read it. */
		if (sp->changed > sf->gpt_seq && rule(RECHECK_GPTE_UNDER_PROTECTION))
			return FAULT_RETRY;
		sp->n_writes = 0;
		*page = sp;
		if (at == w->level)
			break;
		rights_narrow(&r, w->kind, w->step[i].entry);
		role.access = shadow_access(&r);
		role.level = (uint32_t)at - 1;
		if (w->kind.format == GPT_32BIT)
			role.quadrant = (w->gva >> 21) & 1;
		verdict = step_down(m, sf, entry_for(sp, w->gva),
				    gpte_table(w->kind, w->step[i].entry) >> PAGE_SHIFT, role, &sp);
	}
	return verdict;
}

/* Below the guest's leaf: smaller pages map its large page. */
static enum fault_verdict follow_direct(struct mmu *m, struct shadow_fault *sf, int level,
					struct shadow_page **page) REQUIRES(m->lock)
{
	const struct walk *w = &sf->walk;
	union shadow_role role = {
		.format = GPT_LONG,
		.direct = 1,
		.access = shadow_access(&w->rights),
		.dirty = w->dirty,
		.key = w->rights.key,
	};
	enum fault_verdict verdict = FAULT_FIXED;

	for (int at = (*page)->table.level; at > level && verdict == FAULT_FIXED; at--) {
		role.level = (uint32_t)at - 1;
		verdict = step_down(m, sf, entry_for(*page, w->gva),
				    level_align(sf->fault.gfn, at), role, page);
	}
	return verdict;
}

/* The entry of @level for the address, with all entries above linked. */
static enum fault_verdict find_place(struct mmu_vcpu *v, struct shadow_fault *sf, int level,
				     struct spte_ref *at) REQUIRES(v->mmu->lock)
{
	struct shadow_page *sp = shadow_root_for(v, sf->walk.gva);
	enum fault_verdict verdict = FAULT_FIXED;

	if (!sp || (shadow_is_obsolete(sp) && rule(STALE_ROOT_RETRY))) {
		v->roots_loaded = false;
		return FAULT_RETRY;
	}
	if (!sp->role.direct)
		verdict = follow_guest(v->mmu, sf, &sp);
	if (verdict == FAULT_FIXED)
		verdict = follow_direct(v->mmu, sf, level, &sp);
	*at = entry_for(sp, sf->walk.gva);
	return verdict;
}

/*
 * Whether the guest may write to a frame with guest tables in it: only to those of the lowest
 * level, once their shadow pages are marked as out of date.
 */
static bool let_write_tables(struct mmu *m, gfn_t gfn) REQUIRES(m->lock)
{
	unsigned int links = 0;
	struct shadow_page *sp;

	for (sp = shadow_next_of(m, gfn, NULL); sp; sp = shadow_next_of(m, gfn, sp)) {
		if (sp->role.level > LEVEL_4K && rule(UNSYNC_ONLY_LEAF))
			return false;
		/* All of them would have to be marked, and again at the sync.  Their number does
		 * not grow meanwhile:  SYNC_BEFORE_LINK. */
		links = shadow_links_above(m, sp, links);
		if (links >= SHADOW_LINKS_TOLD)
			return false;
	}
	/* UNSYNC_BEFORE_W: whoever sees the consequences of a write must find the mark. */
	for (sp = shadow_next_of(m, gfn, NULL); sp; sp = shadow_next_of(m, gfn, sp)) {
		shadow_changed(m, sp);
		if (rule(UNSYNC_BEFORE_W) && sp->role.level == LEVEL_4K)
			shadow_set_unsync(m, sp, true);
	}
	return true;
}

static uint64_t leaf_bits(struct mmu *m, const struct shadow_fault *sf,
			  const struct host_page *page, const struct memslot *slot)
	REQUIRES(m->lock)
{
	const struct walk *w = &sf->walk;
	bool write = sf->fault.write;
	bool may_write = page->writable && w->dirty;
	uint64_t bits = 0;

	bits |= w->rights.user ? SPTE_U : 0;
	bits |= w->rights.write ? SPTE_GW : 0;
	bits |= w->rights.no_exec ? SPTE_NX : 0;
	bits |= w->dirty ? SPTE_GD : 0;
	bits |= (uint64_t)w->rights.key << SPTE_KEY_SHIFT;
	bits |= page->writable ? SPTE_HOSTW : 0;
	if (may_write && shadow_frame_is_tracked(m, sf->fault.gfn))
		may_write = write && let_write_tables(m, sf->fault.gfn);
	if (may_write)
		bits |= SPTE_MMUW;
	if (may_write && (write || !memslot_is_logged(slot)))
		bits |= SPTE_W;
	return bits;
}

static enum fault_verdict change_leaf(struct mmu *m, struct shadow_fault *sf, struct spte_ref at,
				      spte_t old, uint64_t bits)
{
	spte_t new;

	do {
		new.raw = (old.raw & ~SPTE_GUEST_MASK) | bits;
		if (!(bits & SPTE_GD))
			new.raw &= ~SPTE_W;
		if (new.raw == old.raw)
			return FAULT_SPURIOUS;
	} while (!sptep_cmpxchg(&at.sp->table.spte[at.i], &old, new));
	flush_note_change(m, old, new, &sf->debt, &sf->flush);
	return FAULT_FIXED;
}

static enum fault_verdict new_leaf(struct mmu *m, struct shadow_fault *sf, struct spte_ref at,
				   gfn_t gfn, pfn_t pfn, uint64_t bits) REQUIRES(m->lock)
{
	int level = at.sp->table.level;
	struct frame *frame = frames_make(&m->shadow->frames, gfn, level);

	if (frame && spte_list_length(&frame->rmap) >= SHADOW_LIST_MAX) {
		shadow_drop_all(m, &frame->rmap);
		sf->debt |= !mutant(FULL_RMAP_OWES_NOTHING);
	}
	if (!frame || !spte_list_add(&m->shadow->frames.nodes, &frame->rmap, at))
		return FAULT_NO_MEMORY;
	if (at.sp->gfns)
		shared64_store_relaxed(&at.sp->gfns[at.i], gfn);
	sptep_set(&at.sp->table.spte[at.i], spte_make_leaf(pfn, level, bits));
	mmu_count_leafs(m, level, 1);
	return FAULT_FIXED;
}

static enum fault_verdict set_leaf(struct mmu *m, struct shadow_fault *sf, struct spte_ref at,
				   const struct host_page *page, uint64_t bits) REQUIRES(m->lock)
{
	uint64_t inside = level_pages(at.sp->table.level) - 1;
	gfn_t gfn = sf->fault.gfn & ~inside;
	pfn_t pfn = page->pfn - (sf->fault.gfn & inside);
	spte_t old = sptep_read(&at.sp->table.spte[at.i]);

	if (spte_is_leaf(old) && spte_pfn(old) == pfn && shadow_gfn(at.sp, at.i) == gfn)
		return change_leaf(m, sf, at, old, bits);
	/* Another page: PFN_CHANGE_GOES_THROUGH_ZERO. */
	clear_entry(m, sf, at);
	return new_leaf(m, sf, at, gfn, pfn, bits);
}

/* As high as the host's page allows, without a guest table inside. */
static int leaf_level(struct mmu *m, gfn_t gfn, int level) REQUIRES(m->lock)
{
	for (; level > LEVEL_4K; level--) {
		const struct frame *frame = frames_find(&m->shadow->frames, gfn, level);

		if (!frame || !frame->n_tables)
			break;
	}
	return level;
}

static enum fault_verdict install_locked(struct mmu_vcpu *v, struct shadow_fault *sf,
					 const struct host_page *page) REQUIRES(v->mmu->lock)
{
	struct fault *f = &sf->fault;
	const struct memslot *slot = fault_still_holds(v, f, page);
	enum fault_verdict verdict;
	struct spte_ref at;
	uint64_t bits;

	if (!slot)
		return FAULT_RETRY;
	if (f->write && dirty_ring_blocks(v, slot))
		return FAULT_RING_FULL;
	shadow_make_room(v->mmu, WALK_MAX_STEPS);
	verdict = find_place(v, sf, leaf_level(v->mmu, f->gfn, page->level), &at);
	if (verdict != FAULT_FIXED)
		return verdict;
	bits = leaf_bits(v->mmu, sf, page, slot);
	verdict = set_leaf(v->mmu, sf, at, page, bits);
	if ((verdict == FAULT_FIXED || verdict == FAULT_SPURIOUS) && f->write && (bits & SPTE_W))
		dirty_mark(v, slot, f->gfn);
	return verdict;
}

/* Under the lock: what is owed is paid or recorded before it is dropped. */
static void settle(struct mmu *m, const struct shadow_fault *sf) REQUIRES(m->lock)
{
	if (sf->flush || sf->debt)
		flush_owe(m);
	if (sf->flush)
		flush_settle(m);
}

static enum fault_verdict install(struct mmu_vcpu *v, struct shadow_fault *sf,
				  const struct host_page *page)
{
	enum fault_verdict verdict;

	rwlock_wrlock(&v->mmu->lock);
	rcu_read_begin();
	verdict = install_locked(v, sf, page);
	rcu_read_end();
	settle(v->mmu, sf);
	rwlock_wrunlock(&v->mmu->lock);
	shadow_sync(v, &sf->unsync);
	return verdict;
}

static void remember_mmio(struct mmu_vcpu *v, struct shadow_fault *sf)
{
	const struct fault *f = &sf->fault;
	struct spte_ref at;

	if ((mmio_in_flux(f->generation) && rule(GEN_FROM_SAME_SNAPSHOT)) ||
	    f->gfn > MMIO_MAX_GFN || sf->walk.rights.key)
		return;
	rwlock_wrlock(&v->mmu->lock);
	shadow_make_room(v->mmu, WALK_MAX_STEPS);
	if (fault_may_keep_mmio(v->mmu, f) && find_place(v, sf, LEVEL_4K, &at) == FAULT_FIXED) {
		uint32_t access = shadow_access(&sf->walk.rights);

		if (!sf->walk.dirty)
			access &= ~SHADOW_WRITE;
		clear_entry(v->mmu, sf, at);
		sptep_set(&at.sp->table.spte[at.i],
			  spte_make_mmio(f->gfn, access, f->generation));
		trace_mark_mmio_spte(f->gfn, access, f->generation);
	}
	settle(v->mmu, sf);
	rwlock_wrunlock(&v->mmu->lock);
	shadow_sync(v, &sf->unsync);
	vcpu_count(v, pf_mmio);
}

static enum mmu_verdict fault_found(struct mmu_vcpu *v, struct shadow_fault *sf)
{
	enum fault_verdict verdict;
	struct host_page page;

	verdict = fault_resolve(v, &sf->fault, &page);
	if (verdict == FAULT_FIXED)
		verdict = install(v, sf, &page);
	else if (verdict == FAULT_MMIO)
		remember_mmio(v, sf);
	if (verdict != FAULT_RETRY || !sf->made)
		fault_count(v, verdict);
	return mmu_verdict_of_fault(verdict);
}

/*
 * Outside guest mode.  MMU_OK: look again.  @max_level: of the existing tables; the host is not
 * asked for a larger page.
 */
static enum mmu_verdict fault(struct mmu_vcpu *v, gva_t gva, enum access access, int max_level,
			      struct mmu_result *result)
{
	struct shadow_fault sf = { .walk = { .gva = gva, .access = access } };
	enum mmu_verdict verdict;

	vcpu_count(v, pf_taken);
	sf.gpt_seq = atomic64_load_acquire(&v->mmu->shadow->gpt_seq);
	verdict = walk_guest_slots(v, &sf.walk);
	if (verdict == MMU_RETRY)
		fault_count(v, FAULT_RETRY);
	if (verdict != MMU_OK) {
		result->error_code = sf.walk.error_code;
		return verdict;
	}
	result->gpa = sf.walk.gpa;
	trace_page_fault(v->index, sf.walk.gpa, access == ACCESS_WRITE);
	sf.fault.gpa = sf.walk.gpa;
	sf.fault.gfn = sf.walk.gpa >> PAGE_SHIFT;
	sf.fault.write = access == ACCESS_WRITE;
	sf.fault.max_level = MIN(max_level, sf.walk.n_steps ? sf.walk.level : (int)LEVEL_2M);
	return fault_found(v, &sf);
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
		verdict = fault(v, gva, access, MIN(level, (int)LEVEL_1G), result);
		guest_enter(v);
		faulted = verdict == MMU_OK;
		if (verdict != MMU_OK && !(verdict == MMU_RETRY && i + 1 < MAX_FAULTS))
			return verdict;
	}
	return MMU_RETRY;
}
