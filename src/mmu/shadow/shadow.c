/* SPDX-License-Identifier: MIT */
/* mmu/shadow/shadow.c - the shadow tables as a whole: operations for slots, log and host. */
#include "mmu/shadow/shadow.h"

#include "base/trace.h"
#include "mmu/flush.h"
#include "mmu/request.h"

static int shadow_init(struct mmu *m)
{
	struct shadow *s = alloc_zeroed(m->alloc, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	m->shadow = s;
	pool_init(&s->pages, m->alloc, sizeof(struct shadow_page));
	pool_init(&s->gfns, m->alloc, ENTRIES_PER_TABLE * sizeof(gfn_t));
	CDS_INIT_LIST_HEAD(&s->active);
	s->dead_last = &s->dead_first;
	err = frames_init(&s->frames, m->alloc);
	if (!err)
		err = shadow_hash_init(&s->hash, m->alloc, m->hash_key);
	return err;
}

static void shadow_destroy(struct mmu *m)
{
	struct shadow *s = m->shadow;

	if (!s)
		return;
	rwlock_wrlock(&m->lock);
	while (!cds_list_empty(&s->active))
		shadow_zap(m, cds_list_first_entry(&s->active, struct shadow_page, node));
	while (s->n_dead)
		shadow_reap(m, true);
	rwlock_wrunlock(&m->lock);
	shadow_hash_destroy(&s->hash);
	frames_destroy(&s->frames);
	pool_destroy(&s->gfns);
	pool_destroy(&s->pages);
	alloc_free(m->alloc, s, sizeof(*s));
	m->shadow = NULL;
}

/* --- taking translations away ------------------------------------------------- */

struct zap {
	struct mmu *mmu;
	uint64_t n;
};

static bool zap_frame(void *ctx, gfn_t gfn UNUSED, int level UNUSED, struct frame *frame)
{
	struct zap *z = ctx;

	rwlock_assert_held_write(&z->mmu->lock);
	z->n += shadow_drop_all(z->mmu, &frame->rmap);
	return true;
}

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

static bool zap_frame_and_empty(void *ctx, gfn_t gfn UNUSED, int level UNUSED,
				struct frame *frame)
{
	struct zap *z = ctx;

	rwlock_assert_held_write(&z->mmu->lock);
	for (; !spte_list_is_empty(&frame->rmap); z->n++) {
		struct spte_ref ref = spte_list_first(&frame->rmap);

		shadow_drop(z->mmu, ref.sp, ref.i);
		zap_if_empty(z->mmu, ref.sp, ref.i);
	}
	return true;
}

static void visit_frames(struct mmu *m, struct range *r, frame_visit_fn fn, void *ctx)
	REQUIRES(m->lock)
{
	uint64_t left = r->left;

	frames_visit(&m->shadow->frames, r, fn, ctx);
	mmu_visited(m, left - r->left);
}

static uint64_t shadow_zap_leafs(struct mmu *m, struct range *r) REQUIRES(m->lock)
{
	struct zap z = { .mmu = m };

	visit_frames(m, r, zap_frame_and_empty, &z);
	mmu_count_n(m, VM_STAT_mmu_zapped, z.n);
	return z.n;
}

static bool shadow_is_split(struct mmu *m, gfn_t gfn, int level)
{
	bool is_split;

	rwlock_wrlock(&m->lock);
	is_split = shadow_find_direct(m, gfn, level - 1);
	rwlock_wrunlock(&m->lock);
	return is_split;
}

/* Only where the guest's own page is that large: the tables below it are ours. */
static void shadow_collapse(struct mmu *m, gfn_t gfn, int level)
{
	struct shadow_page *sp;

	rwlock_wrlock(&m->lock);
	while ((sp = shadow_find_direct(m, gfn, level - 1)))
		shadow_zap(m, sp);
	rwlock_wrunlock(&m->lock);
}

static void shadow_reap_dead(struct mmu *m, bool all)
{
	if (!all)
		return;
	rwlock_wrlock(&m->lock);
	shadow_reap(m, true);
	rwlock_wrunlock(&m->lock);
}

static void forget_mmio(struct mmu *m, struct shadow_page *sp) REQUIRES(m->lock)
{
	mmu_visited(m, ENTRIES_PER_TABLE);
	for (unsigned int i = 0; i < ENTRIES_PER_TABLE; i++)
		if (spte_kind(sptep_read(&sp->table.spte[i])) == SPTE_MMIO)
			sptep_xchg(&sp->table.spte[i], NO_SPTE);
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
static void shadow_zap_mmio(struct mmu *m)
{
	uint64_t left = UINT64_MAX, n;

	do {
		rwlock_wrlock(&m->lock);
		left = MIN(left, m->shadow->n_used);
		n = forget_mmio_piece(m, left);
		rwlock_wrunlock(&m->lock);
		left -= n;
	} while (left);
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
	struct zap zap;
	bool tables;		/* the piece ended at a frame with guest tables: */
	gfn_t gfn;
	bool roots;		/* one of these is a root */
};

static bool zap_slot_frame(void *ctx, gfn_t gfn, int level, struct frame *frame)
{
	struct slot_zap *z = ctx;

	zap_frame(&z->zap, gfn, level, frame);
	z->tables = level == LEVEL_4K && frame->n_tables && !mutant(TABLES_OUTLIVE_SLOT);
	z->gfn = gfn;
	/* The tree changes when their shadow pages are zapped. */
	return !z->tables;
}

/* Zaps the shadow pages of the guest tables in the frame. */
static void zap_tables(struct mmu *m, struct slot_zap *z, struct range *r) REQUIRES(m->lock)
{
	struct shadow_page *sp;

	while (r->left && (sp = shadow_next_of(m, z->gfn, NULL))) {
		z->roots |= sp->n_roots != 0;
		range_charge(r, 2 * ENTRIES_PER_TABLE + spte_list_length(&sp->parents));
		shadow_zap(m, sp);
	}
}

static void zap_slot_piece(struct mmu *m, struct slot_zap *z, struct range *r) REQUIRES(m->lock)
{
	gfn_t from = r->at;

	do {
		z->tables = false;
		visit_frames(m, r, zap_slot_frame, z);
		if (z->tables)
			zap_tables(m, z, r);
	} while (z->tables && r->left);
	frames_prune(&m->shadow->frames, from, MIN(r->at + 1, r->end));
}

/*
 * Only what depends on the slot: the translations of its frames, and the shadow pages of guest
 * tables in it.  A fault in progress that has read such a table finds no page of it, or one
 * created after its read (RECHECK_GPTE_UNDER_PROTECTION).  The slot is invalid, so nothing more
 * is read from it; pages created behind the piece stay empty.
 */
static void zap_slot_in_pieces(struct mmu *m, gfn_t start, gfn_t end)
{
	struct slot_zap z = { .zap = { .mmu = m } };
	struct range r = range_make(start, end);

	/* vCPUs are neither created nor destroyed meanwhile: slots_lock is held. */
	while (range_more(&r)) {
		rwlock_wrlock(&m->lock);
		z.roots = false;
		zap_slot_piece(m, &z, &r);
		/* If the host revokes a page of this piece, it finds no translation, but the
		 * debt. */
		if (z.zap.n && (rule(YIELD_FLUSHES) || r.at >= r.end)) {
			flush_owe(m);
			z.zap.n = 0;
		}
		/* INVALID_THEN_REQUEST: whoever takes the lock after this finds its root
		 * obsolete, whether or not it has seen the request. */
		if (z.roots && rule(INVALID_THEN_REQUEST))
			request_roots(m);
		rwlock_wrunlock(&m->lock);
	}
}

static void shadow_zap_slot(struct mmu *m, gfn_t start, gfn_t end)
{
	bool more;

	zap_slot_in_pieces(m, start, end);
	/* UNLINK_FLUSH_FREE; and no TLB has the slot any more, nor a walk a pointer to a
	 * guest table in it. */
	rwlock_wrlock(&m->lock);
	flush_owe(m);
	rwlock_wrunlock(&m->lock);
	flush_settle(m);
	do {
		rwlock_wrlock(&m->lock);
		more = shadow_reap(m, false);
		rwlock_wrunlock(&m->lock);
	} while (more);
}

/* --- the dirty log ------------------------------------------------------------ */

struct protect {
	int first_level;
	uint64_t n;
};

/* WPROT_LOGGING_KEEPS_MMUW. */
static bool take_w(struct spte_ref ref)
{
	struct spte_slot *slot = &ref.sp->table.spte[ref.i];
	spte_t old = sptep_read(slot), new;

	do {
		new.raw = old.raw & ~SPTE_W;
		if (new.raw == old.raw)
			return false;
		if (!rule(WPROT_LOGGING_KEEPS_MMUW))
			new.raw &= ~SPTE_MMUW;
	} while (!sptep_cmpxchg(slot, &old, new));
	return true;
}

static bool protect_frame(void *ctx, gfn_t gfn UNUSED, int level, struct frame *frame)
{
	struct protect *p = ctx;
	struct spte_cursor c;
	struct spte_ref ref;

	if (level < p->first_level)
		return true;
	spte_list_begin(&frame->rmap, &c);
	while (spte_list_next(&c, &ref))
		p->n += take_w(ref);
	return true;
}

static void note_protected(struct mmu *m, uint64_t n) REQUIRES(m->lock)
{
	if (n) {
		flush_owe_for_log(m);
		mmu_count_n(m, VM_STAT_mmu_write_protected, n);
	}
}

static void shadow_write_protect(struct mmu *m, gfn_t start, gfn_t end, int first_level)
{
	struct range r = range_make(start, end);

	while (range_more(&r)) {
		struct protect p = { .first_level = first_level };

		rwlock_wrlock(&m->lock);
		visit_frames(m, &r, protect_frame, &p);
		/* YIELD_FLUSHES. */
		note_protected(m, p.n);
		rwlock_wrunlock(&m->lock);
	}
}

static void shadow_write_protect_mask(struct mmu *m, gfn_t first, uint64_t mask)
{
	struct protect p = { .first_level = LEVEL_4K };

	rwlock_wrlock(&m->lock);
	for (; mask; mask &= mask - 1) {
		gfn_t gfn = first + (unsigned int)__builtin_ctzll(mask);

		for (int level = LEVEL_4K; level <= LEVEL_1G; level++) {
			struct frame *frame = frames_find(&m->shadow->frames, gfn, level);

			if (frame)
				protect_frame(&p, gfn, level, frame);
		}
	}
	note_protected(m, p.n);
	rwlock_wrunlock(&m->lock);
}

/* --- young -------------------------------------------------------------------- */

struct ageing {
	bool clear, young;
};

static bool clear_accessed(struct spte_slot *slot, spte_t spte)
{
	spte_t new;

	do {
		if (!(spte.raw & SPTE_A))
			return false;
		new.raw = spte.raw & ~SPTE_A;
	} while (!sptep_cmpxchg(slot, &spte, new));
	return true;
}

static bool age_frame(void *ctx, gfn_t gfn UNUSED, int level UNUSED, struct frame *frame)
{
	struct ageing *a = ctx;
	struct spte_cursor c;
	struct spte_ref ref;

	spte_list_begin(&frame->rmap, &c);
	while (spte_list_next(&c, &ref)) {
		struct spte_slot *slot = &ref.sp->table.spte[ref.i];
		spte_t spte = sptep_read(slot);

		a->young |= a->clear ? clear_accessed(slot, spte) : !!(spte.raw & SPTE_A);
	}
	return true;
}

static bool shadow_age(struct mmu *m, struct range *r, bool clear) REQUIRES(m->lock)
{
	struct ageing a = { .clear = clear };

	visit_frames(m, r, age_frame, &a);
	return a.young;
}

const struct mmu_ops shadow_ops = {
	.init = shadow_init,
	.destroy = shadow_destroy,
	.zap_leafs = shadow_zap_leafs,
	.zap_mmio = shadow_zap_mmio,
	.zap_slot = shadow_zap_slot,
	.write_protect = shadow_write_protect,
	.write_protect_mask = shadow_write_protect_mask,
	.age = shadow_age,
	.is_split = shadow_is_split,
	.collapse = shadow_collapse,
	.reap = shadow_reap_dead,
};
