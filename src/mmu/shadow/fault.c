/* SPDX-License-Identifier: MIT */
/*
 * mmu/shadow/fault.c - from the guest's tables to a shadow translation.
 *
 * Walks the guest's tables, finds the host page, and installs both in the shadow tables
 * under the MMU lock.
 */
#include "mmu/fault.h"

#include "base/trace.h"
#include "mmu/dirty.h"
#include "mmu/guest/walk.h"
#include "mmu/mmio.h"
#include "mmu/shadow/internal.h"
#include "mmu/tlb/flush.h"

/* Something else is in the entry: zap it first (ZAP_BEFORE_REPLACE). */
static void clear_entry(struct mmu *m, struct shadow_fault *sf, struct spte_ref at)
	REQUIRES(m->lock)
{
	spte_t there = sptep_read(shadow_sptep(at));

	if (spte_kind(there) != SPTE_NONE && rule(ZAP_BEFORE_REPLACE))
		flush_raise(&sf->due, shadow_drop(m, at.sp, at.i));
}

/*
 * The page that entry @level of the path leads to, or NULL.  Below that it is what the miss has
 * found: still linked (ENTRY_STILL_LINKED), so the entry need not be read again.
 */
static struct shadow_page *page_below(const struct shadow_path *p, int level)
{
	spte_t spte;

	if (level > p->entry.level)
		return p->page[level - 1];
	spte = sptep_read(p->entry.sptep);
	return spte_is_link(spte) ? shadow_page_of(spte_link(spte)) : NULL;
}

/* From @level of the path to the page one level down, created and linked if necessary. */
static enum fault_verdict step_down(struct mmu *m, struct shadow_fault *sf, int level, gfn_t gfn,
				    union shadow_role role) REQUIRES(m->lock)
{
	struct spte_ref at = shadow_path_ref(&sf->path, level);
	struct shadow_page *child = page_below(&sf->path, level);

	if (child && gfn_eq(child->gfn, gfn) && shadow_has_role(child, role)) {
		if (level == sf->path.entry.level)
			shadow_path_end_at(&sf->path, level - 1, child);
		return FAULT_FIXED;
	}
	child = shadow_find(m, gfn, role);
	if (!child) {
		child = shadow_make(m, gfn, role, &sf->due);
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
	shadow_path_end_at(&sf->path, level, at.sp);
	clear_entry(m, sf, at);
	if (spte_list_length(&child->parents) >= SHADOW_LIST_MAX)
		shadow_drop_all(m, &child->parents);
	if (!shadow_link(m, at.sp, at.i, child))
		return FAULT_NO_MEMORY;
	shadow_path_end_at(&sf->path, level - 1, child);
	return FAULT_FIXED;
}

/* Along the guest's own tables, to the one that holds its leaf, from @level on. */
static enum fault_verdict follow_guest(struct mmu *m, struct shadow_fault *sf, int level)
	REQUIRES(m->lock)
{
	const struct walk *w = &sf->walk;
	struct rights r = shadow_rights(SHADOW_ALL, 0);
	union shadow_role role = shadow_role_of_kind(w->kind);
	enum fault_verdict verdict = FAULT_FIXED;

	for (int i = 0; verdict == FAULT_FIXED; i++, level--) {
		struct shadow_page *sp = sf->path.page[level];

		/* True if its table was unchanged when we read it. */
		if (sp->changed > sf->gpt_seq && rule(RECHECK_GPTE_UNDER_PROTECTION))
			return FAULT_RETRY;
		sp->n_writes = 0;
		if (level == w->level)
			break;
		rights_narrow(&r, w->kind, w->step[i].entry);
		role.access = shadow_access(&r);
		role.level = (uint32_t)level - 1;
		if (w->kind.format == GPT_32BIT)
			role.quadrant = (w->gva.raw >> 21) & 1;
		verdict = step_down(m, sf, level,
				    gfn_of_gpa(gpte_table(w->kind, w->step[i].entry)), role);
	}
	return verdict;
}

/* Below the guest's leaf, on level @from: smaller pages map its large page. */
static enum fault_verdict follow_direct(struct mmu *m, struct shadow_fault *sf, int from, int to)
	REQUIRES(m->lock)
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

	for (int level = from; level > to && verdict == FAULT_FIXED; level--) {
		role.level = (uint32_t)level - 1;
		verdict = step_down(m, sf, level, level_align(sf->fault.gfn, level), role);
	}
	return verdict;
}

/*
 * The entry of @level for the address, with all entries above linked: the path ends there then.
 * It goes by what the miss has found, and looks for no more than what is missing.
 */
static enum fault_verdict find_place(struct mmu_vcpu *v, struct shadow_fault *sf, int level,
				     struct spte_ref *at) REQUIRES(v->mmu->lock)
{
	struct shadow_page *root = shadow_current_root(v, sf->path.gva);
	enum fault_verdict verdict = FAULT_FIXED;
	struct shadow_path *p = &sf->path;

	if (!root || (shadow_is_obsolete(root) && rule(STALE_ROOT_RETRY))) {
		v->roots_loaded = false;
		return FAULT_RETRY;
	}
	if (!table_entry_holds(v->mmu, &p->entry))
		shadow_path_find(v->mmu, p, root);
	if (!root->role.direct)
		verdict = follow_guest(v->mmu, sf, root->table.level);
	if (verdict == FAULT_FIXED)
		verdict = follow_direct(v->mmu, sf, root->role.direct ? root->table.level :
									sf->walk.level, level);
	if (verdict == FAULT_FIXED) {
		*at = shadow_path_ref(p, level);
		shadow_path_end_at(p, level, at->sp);
	}
	/* Whatever was unlinked in this section, the path was not: the entry holds from here on. */
	p->entry.unlinks = atomic64_load_relaxed(&v->mmu->unlinks);
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
		 * not grow meanwhile: SYNC_BEFORE_LINK. */
		links = shadow_links_above(m, sp, links);
		if (links >= SHADOW_MAX_LINKS_MARKED)
			return false;
	}
	/* UNSYNC_BEFORE_W: whoever sees the consequences of a write must find the mark. */
	for (sp = shadow_next_of(m, gfn, NULL); sp; sp = shadow_next_of(m, gfn, sp)) {
		shadow_changed(m, sp);
		if (rule(UNSYNC_BEFORE_W) && sp->role.level == LEVEL_4K)
			shadow_mark_unsync(m, sp);
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
	uint64_t bits = shadow_guest_bits(&w->rights, w->dirty);

	bits |= page->writable ? SPTE_HOSTW : 0;
	if (may_write && shadow_frame_is_tracked(m, sf->fault.gfn))
		may_write = write && let_write_tables(m, sf->fault.gfn);
	if (may_write)
		bits |= SPTE_MMUW;
	if (may_write && (write || !memslot_is_logged(slot)))
		bits |= SPTE_W;
	return bits;
}

static enum fault_verdict new_leaf(struct mmu *m, struct shadow_fault *sf, struct spte_ref at,
				   gfn_t gfn, pfn_t pfn, uint64_t bits) REQUIRES(m->lock)
{
	int level = at.sp->table.level;
	struct frame *frame = frames_make(&m->shadow->frames, gfn, level);
	spte_t new = spte_make_leaf(pfn, level, bits);

	if (frame && spte_list_length(&frame->rmap) >= SHADOW_LIST_MAX) {
		shadow_drop_all(m, &frame->rmap);
		flush_raise(&sf->due, FLUSH_DUE_LATER);
	}
	if (!frame || !spte_list_add(&m->shadow->frames.nodes, &frame->rmap, at))
		return FAULT_NO_MEMORY;
	if (at.sp->gfns)
		shared64_store_relaxed(&at.sp->gfns[at.i], gfn.raw);
	sptep_set(shadow_sptep(at), new);
	table_entry_changed(m, gfn, level, NO_SPTE, new);
	return FAULT_FIXED;
}

static enum fault_verdict set_leaf(struct mmu *m, struct shadow_fault *sf, struct spte_ref at,
				   const struct host_page *page, uint64_t bits) REQUIRES(m->lock)
{
	gfn_t gfn = level_align(sf->fault.gfn, at.sp->table.level);
	pfn_t pfn = page->pfn - gfn_diff(sf->fault.gfn, gfn);
	spte_t old = sptep_read(shadow_sptep(at));

	if (spte_is_leaf(old) && spte_pfn(old) == pfn && gfn_eq(shadow_gfn(at.sp, at.i), gfn))
		return shadow_change_leaf(m, at, bits, &sf->due) ? FAULT_FIXED : FAULT_SPURIOUS;
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

static enum fault_verdict install_page(struct mmu_vcpu *v, struct shadow_fault *sf,
				       const struct host_page *page)
{
	enum fault_verdict verdict;

	rwlock_wrlock(&v->mmu->lock);
	rcu_read_begin();
	verdict = install_locked(v, sf, page);
	rcu_read_end();
	flush_record(v->mmu, &sf->due);
	rwlock_wrunlock(&v->mmu->lock);
	shadow_sync(v, &sf->unsync);
	return verdict;
}

static void remember_mmio(struct mmu_vcpu *v, struct shadow_fault *sf)
{
	const struct fault *f = &sf->fault;
	struct spte_ref at;
	spte_t new;

	if ((mmio_in_flux(f->generation) && rule(GEN_FROM_SAME_SNAPSHOT)) ||
	    f->gfn.raw > MMIO_MAX_GFN || sf->walk.rights.key)
		return;
	rwlock_wrlock(&v->mmu->lock);
	shadow_make_room(v->mmu, WALK_MAX_STEPS);
	if (fault_may_keep_mmio(v->mmu, f) && find_place(v, sf, LEVEL_4K, &at) == FAULT_FIXED) {
		uint32_t access = shadow_access(&sf->walk.rights);

		if (!sf->walk.dirty)
			access &= ~SHADOW_WRITE;
		clear_entry(v->mmu, sf, at);
		new = spte_make_mmio(f->gfn, access, f->generation);
		sptep_set(shadow_sptep(at), new);
		table_entry_changed(v->mmu, f->gfn, LEVEL_4K, NO_SPTE, new);
		trace_mark_mmio_spte(f->gfn.raw, access, f->generation);
	}
	flush_record(v->mmu, &sf->due);
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
		verdict = install_page(v, sf, &page);
	else if (verdict == FAULT_MMIO)
		remember_mmio(v, sf);
	if (verdict != FAULT_RETRY || !sf->made)
		fault_count_verdict(v, verdict);
	return mmu_verdict_of_fault(verdict);
}

enum mmu_verdict shadow_fault(struct mmu_vcpu *v, struct shadow_fault *sf, enum access access,
			      struct mmu_result *result)
{
	enum mmu_verdict verdict;

	/* The rest is found on the way, and large. */
	walk_begin(&sf->walk, sf->path.gva, access);
	sf->unsync.n = 0;
	sf->due = FLUSH_NOT_DUE;
	sf->made = false;
	vcpu_count(v, pf_taken);
	sf->gpt_seq = atomic64_load_acquire(&v->mmu->shadow->gpt_seq);
	verdict = walk_guest_slots(v, &sf->walk);
	if (verdict == MMU_RETRY)
		fault_count_verdict(v, FAULT_RETRY);
	if (verdict == MMU_GUEST_FAULT)
		result->error_code = sf->walk.error_code;
	if (verdict != MMU_OK)
		return verdict;
	result->gpa = sf->walk.gpa;
	trace_page_fault(v->index, sf->walk.gpa.raw, access == ACCESS_WRITE);
	fault_begin(&sf->fault, sf->walk.gpa, access);
	sf->fault.max_level = MIN(MIN(sf->path.entry.level, (int)LEVEL_1G),
				  sf->walk.n_steps ? sf->walk.level : (int)LEVEL_2M);
	return fault_found(v, sf);
}
