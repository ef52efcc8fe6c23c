/* SPDX-License-Identifier: MIT */
/* mmu/shadow.c - the shadow tables as a whole: what slots, log and host ask of them. */
#include "mmu/shadow.h"

#include "base/trace.h"
#include "mmu/flush.h"
#include "mmu/request.h"

/* Faults need the MMU lock: it is given up after so many pages, or frames. */
#define PAGES_BEFORE_YIELD 32u
#define FRAMES_BEFORE_YIELD level_pages(LEVEL_1G)

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
	NO_THREAD_SAFETY
{
	struct zap *z = ctx;

	z->n += shadow_drop_all(z->mmu, &frame->rmap);
	return true;
}

static uint64_t shadow_zap_leafs(struct mmu *m, gfn_t start, gfn_t end)
{
	struct zap z = { .mmu = m };

	frames_visit(&m->shadow->frames, start, end, zap_frame, &z);
	mmu_count_n(m, VM_STAT_mmu_zapped, z.n);
	return z.n;
}

static void shadow_zap_mmio(struct mmu *m) REQUIRES(m->lock)
{
	struct shadow_page *sp;

	cds_list_for_each_entry(sp, &m->shadow->active, node)
		for (unsigned int i = 0; i < ENTRIES_PER_TABLE; i++)
			if (spte_kind(sptep_read(&sp->table.spte[i])) == SPTE_MMIO)
				shadow_drop(m, sp, i);
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

/*
 * All shadow pages become obsolete by one increment, then go in batches while faults
 * make new ones.  The oldest come first in the list, so those to go are at its head.
 */
static void zap_obsolete(struct mmu *m) REQUIRES(m->lock)
{
	struct shadow *s = m->shadow;

	for (unsigned int n = 1; !cds_list_empty(&s->active); n++) {
		struct shadow_page *sp = cds_list_first_entry(&s->active, struct shadow_page,
							      node);

		if (!shadow_is_obsolete(s, sp))
			return;
		shadow_zap(m, sp);
		if (n % PAGES_BEFORE_YIELD == 0) {
			/* YIELD_FLUSHES: each zap has recorded its debt. */
			rwlock_wrunlock(&m->lock);
			rwlock_wrlock(&m->lock);
		}
	}
}

static void shadow_zap_slot(struct mmu *m, gfn_t start, gfn_t end)
{
	struct shadow *s = m->shadow;
	struct zap all = { .mmu = m };

	/* Nobody makes a vCPU or takes one away meanwhile: slots_lock is held. */
	rwlock_wrlock(&m->lock);
	atomic64_fetch_add(&s->generation, 1);
	/* INVALID_THEN_REQUEST: who comes to the lock after this finds its roots
	 * obsolete, with or without having seen the request. */
	if (rule(INVALID_THEN_REQUEST))
		request_roots(m);
	/* By frames first: to look for each entry of a page in the list of a frame that
	 * a whole address space maps would take the square of its length. */
	frames_visit(&s->frames, 0, ~0ull, zap_frame, &all);
	zap_obsolete(m);
	/* UNLINK_FLUSH_FREE; and no TLB has the slot any more. */
	flush_owe(m);
	flush_settle(m);
	shadow_reap(m, false);
	frames_prune(&s->frames, start, end);
	rwlock_wrunlock(&m->lock);
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
	for (gfn_t next; start < end; start = next) {
		struct protect p = { .first_level = first_level };

		next = MIN(end, start + FRAMES_BEFORE_YIELD);
		rwlock_wrlock(&m->lock);
		frames_visit(&m->shadow->frames, start, next, protect_frame, &p);
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
	return a->clear || !a->young;
}

static bool shadow_age(struct mmu *m, gfn_t start, gfn_t end, bool clear)
{
	struct ageing a = { .clear = clear };

	frames_visit(&m->shadow->frames, start, end, age_frame, &a);
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
};
