/* SPDX-License-Identifier: MIT */
/* mmu/shadow/zap.c - taking shadow translations away: for the host, for a slot that goes. */
#include "mmu/shadow/internal.h"
#include "mmu/tlb/flush.h"
#include "mmu/tlb/request.h"

/* From @i on first: entries dropped in order leave the successor in place. */
static bool is_empty(struct mmu *m, const struct shadow_page *sp, unsigned int i)
	REQUIRES(m->lock)
{
	unsigned int n = 1;

	while (n <= ENTRIES_PER_TABLE &&
	       spte_kind(sptep_read(&sp->table.spte[(i + n) % ENTRIES_PER_TABLE])) == SPTE_NONE)
		n++;
	mmu_visited(m, n);
	return n > ENTRIES_PER_TABLE;
}

/* Entry @i was dropped.  A direct page for a large page of the guest that maps nothing any more
 * prevents mapping that as a whole. */
static void zap_if_empty(struct mmu *m, struct shadow_page *sp, unsigned int i)
	REQUIRES(m->lock)
{
	if (!sp->role.direct || sp->n_roots || !is_empty(m, sp, i))
		return;
	while (!spte_list_is_empty(&sp->parents)) {
		struct spte_ref up = spte_list_first(&sp->parents);

		shadow_drop(m, up.sp, up.i);
		zap_if_empty(m, up.sp, up.i);
	}
	shadow_zap(m, sp);
}

static uint64_t zap_frame_and_empty(struct mmu *m, const struct frame *frame) REQUIRES(m->lock)
{
	uint64_t n = 0;

	for (; !spte_list_is_empty(&frame->rmap); n++) {
		struct spte_ref ref = spte_list_first(&frame->rmap);

		shadow_drop(m, ref.sp, ref.i);
		zap_if_empty(m, ref.sp, ref.i);
	}
	return n;
}

uint64_t shadow_zap_leafs(struct mmu *m, struct range *r)
{
	uint64_t n = 0;

	rwlock_assert_held_write(&m->lock);
	shadow_for_each_frame(it, m, r)
		n += zap_frame_and_empty(m, it.frame);
	mmu_count_n(m, VM_STAT_mmu_zapped, n);
	return n;
}

bool shadow_is_split(struct mmu *m, gfn_t gfn, int level)
{
	bool is_split;

	rwlock_wrlock(&m->lock);
	is_split = shadow_find_direct(m, gfn, level - 1);
	rwlock_wrunlock(&m->lock);
	return is_split;
}

/* Only where the guest's own page is that large: the tables below it are ours. */
void shadow_collapse(struct mmu *m, gfn_t gfn, int level)
{
	struct shadow_page *sp;

	rwlock_wrlock(&m->lock);
	while ((sp = shadow_find_direct(m, gfn, level - 1)))
		shadow_zap(m, sp);
	rwlock_wrunlock(&m->lock);
}

static void forget_mmio(struct mmu *m, struct shadow_page *sp) REQUIRES(m->lock)
{
	mmu_visited(m, ENTRIES_PER_TABLE);
	for (unsigned int i = 0; i < ENTRIES_PER_TABLE; i++) {
		struct table_place at = shadow_place((struct spte_ref){ sp, i }, gfn_of(0));

		at.gfn = spte_mmio_gfn(at.spte);
		if (spte_kind(at.spte) == SPTE_MMIO)
			table_replace(m, &at, NO_SPTE);
	}
}

/* Moves the pages at the front of the list to its end; returns their number. */
static uint64_t forget_mmio_piece(struct mmu *m, uint64_t n) REQUIRES(m->lock)
{
	struct shadow *s = m->shadow;
	uint64_t i;

	for (i = 0; i < MIN(n, TABLES_BEFORE_YIELD) && !cds_list_empty(&s->active); i++) {
		struct shadow_page *sp =
			cds_list_first_entry(&s->active, struct shadow_page, node);

		forget_mmio(m, sp);
		cds_list_del(&sp->node);
		cds_list_add_tail(&sp->node, &s->active);
	}
	return i;
}

/*
 * As many pages as exist at the start.  Those not done are at the front of the list, whatever is
 * removed meanwhile; new ones are added at the end, and have no MMIO, as the generation is
 * marked.  A fault that read it before is done with the tables at the first piece.  When all have
 * been visited, they are in their old order, by age.
 */
void shadow_zap_mmio(struct mmu *m)
{
	uint64_t left = UINT64_MAX, n;

	do {
		rwlock_wrlock(&m->lock);
		left = MIN(left, m->shadow->n_used);
		n = forget_mmio_piece(m, left);
		rwlock_wrunlock(&m->lock);
		left -= n;
	} while (left);
	mmu_count(m, mmio_generation_wraps);
}

static void request_roots(struct mmu *m)
{
	uint32_t n = atomic32_load_acquire(&m->n_vcpus);

	for (uint32_t i = 0; i < n; i++) {
		struct mmu_vcpu *v = atomic_ptr_load_relaxed(&m->vcpus[i]);

		if (v)
			request_post(v, REQUEST_ROOTS);
	}
}

struct slot_zap {
	/* of the piece */
	uint64_t n_leafs;
	bool roots;		/* a shadow page that was zapped is a root */
};

static void end_piece(struct mmu *m, const struct slot_zap *z) RELEASES(m->lock)
{
	/* YIELD_FLUSHES: if the host revokes a page of this piece, it finds no translation, but
	 * the debt. */
	if (z->n_leafs)
		flush_owe(m);
	/* INVALID_THEN_REQUEST: whoever takes the lock after this finds its root obsolete,
	 * whether or not it has seen the request. */
	if (z->roots && rule(INVALID_THEN_REQUEST))
		request_roots(m);
	rwlock_wrunlock(&m->lock);
}

/* Zaps the shadow pages of the guest tables in the frame. */
static void zap_tables(struct mmu *m, struct slot_zap *z, struct range *r, gfn_t gfn)
	REQUIRES(m->lock)
{
	struct shadow_page *sp;

	while (r->left && (sp = shadow_next_of(m, gfn, NULL))) {
		z->roots |= sp->n_roots != 0;
		range_charge(r, 2 * ENTRIES_PER_TABLE + spte_list_length(&sp->parents));
		shadow_zap(m, sp);
	}
}

/* Up to the first frame that has tables.  False: there is none. */
static bool zap_frames(struct mmu *m, struct slot_zap *z, struct range *r) REQUIRES(m->lock)
{
	shadow_for_each_frame(it, m, r) {
		z->n_leafs += shadow_drop_all(m, &it.frame->rmap);
		if (it.i.level > LEVEL_4K || !it.frame->n_tables)
			continue;
		/* The tree changes when their shadow pages are zapped. */
		zap_tables(m, z, r, it.i.gfn);
		return true;
	}
	return false;
}

static void zap_slot_piece(struct mmu *m, struct slot_zap *z, struct range *r) REQUIRES(m->lock)
{
	gfn_t from = r->at;

	while (zap_frames(m, z, r) && r->left)
		;
	frames_prune(&m->shadow->frames, from, gfn_min(gfn_add(r->at, 1), r->end));
}

/*
 * Only what depends on the slot: the translations of its frames, and the shadow pages of guest
 * tables in it.  A fault in progress that has read such a table finds no page of it, or one
 * created after its read (RECHECK_GPTE_UNDER_PROTECTION).  The slot is invalid, so nothing more
 * is read from it; pages created where the iteration has been
 * stay empty.
 */
static void zap_slot_in_pieces(struct mmu *m, gfn_t start, gfn_t end)
{
	struct range r = range_make(start, end);

	/* vCPUs are neither created nor destroyed meanwhile: slots_lock is held. */
	while (range_more(&r)) {
		struct slot_zap z = { 0 };

		rwlock_wrlock(&m->lock);
		zap_slot_piece(m, &z, &r);
		end_piece(m, &z);
	}
}

/* Up to @n of the oldest pages; returns their number.  Zapping one leaves a debt. */
static uint64_t zap_oldest(struct mmu *m, struct slot_zap *z, uint64_t n) REQUIRES(m->lock)
{
	struct shadow *s = m->shadow;
	uint64_t i;

	for (i = 0; i < MIN(n, TABLES_BEFORE_YIELD) && !cds_list_empty(&s->active); i++) {
		struct shadow_page *sp =
			cds_list_first_entry(&s->active, struct shadow_page, node);

		z->roots |= sp->n_roots != 0;
		shadow_zap(m, sp);
	}
	return i;
}

/*
 * KVM_X86_QUIRK_SLOT_ZAP_ALL: a client that writes into guest tables by itself, as when it loads
 * a snapshot, is seen by nobody; but it deletes a slot then, at the latest with the machine's
 * reset.  As many pages as exist at the start: new ones, at the end of the list, are made of what
 * the tables say now.
 */
static void zap_all_in_pieces(struct mmu *m)
{
	uint64_t left = UINT64_MAX;

	do {
		struct slot_zap z = { 0 };

		rwlock_wrlock(&m->lock);
		left = MIN(left, m->shadow->n_used);
		left -= zap_oldest(m, &z, left);
		end_piece(m, &z);
	} while (left);
}

void shadow_zap_slot(struct mmu *m, const struct memslot *slot)
{
	bool more;

	zap_slot_in_pieces(m, slot->base_gfn, memslot_gfn_end(slot));
	if (atomic32_load_relaxed(&m->slot_zaps_all))
		zap_all_in_pieces(m);
	/* UNLINK_FLUSH_FREE; and no TLB has the slot any more, nor a walk a pointer to a
	 * guest table in it. */
	rwlock_wrlock(&m->lock);
	flush_owe(m);
	rwlock_wrunlock(&m->lock);
	flush_settle(m);
	do {
		rwlock_wrlock(&m->lock);
		more = shadow_reap(m, REAP_IF_MANY);
		rwlock_wrunlock(&m->lock);
	} while (more);
}
