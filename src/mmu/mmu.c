/* SPDX-License-Identifier: MIT */
/* mmu/mmu.c - life of an MMU, and what the memory slots ask of it. */
#include "mmu/mmu.h"

#include "mmu/flush.h"
#include "mmu/mmio.h"
#include "mmu/shadow/shadow.h"
#include "mmu/tdp/tdp.h"
#include "mmu/tlb.h"

/* Default limit: one shadow page per this many guest pages, as in KVM. */
#define PAGES_PER_TABLE 50u

static void zap_slot(void *ctx, const struct memslot *slot)
{
	struct mmu *m = ctx;

	m->ops->zap_slot(m, slot->base_gfn, slot->base_gfn + slot->npages);
}

static void protect_slot(void *ctx, const struct memslot *slot, int first_level)
{
	struct mmu *m = ctx;

	m->ops->write_protect(m, slot->base_gfn, slot->base_gfn + slot->npages, first_level);
}

static void protect_pages(void *ctx, const struct memslot *slot, uint64_t offset, uint64_t mask)
{
	struct mmu *m = ctx;

	m->ops->write_protect_mask(m, slot->base_gfn + offset, mask);
}

static void collapse_frame(struct mmu *m, const struct memslot *slot, gfn_t gfn, int level)
{
	if (memslot_max_level(slot, gfn) >= level && m->ops->is_split(m, gfn, level) &&
	    host_level(&m->host, memslot_gfn_to_hva(slot, gfn), level) >= level)
		m->ops->collapse(m, gfn, level);
}

/*
 * A logged slot is mapped by 4 KiB pages.  Where the host has a large page, that can be mapped
 * again: zap the small ones, and faults do the rest.  One large page at a time, each under the
 * lock for as long as it takes to check its table.
 */
static void collapse_slot(void *ctx, const struct memslot *slot)
{
	struct mmu *m = ctx;
	gfn_t end = slot->base_gfn + slot->npages;

	for (int level = LEVEL_2M; level <= LEVEL_1G; level++) {
		uint64_t step = level_pages(level);

		for (gfn_t gfn = ALIGN_UP(slot->base_gfn, step); gfn < end; gfn += step) {
			collapse_frame(m, slot, gfn, level);
			m->ops->reap(m, false);
		}
	}
	m->ops->reap(m, true);
}

/* The caller has started a log or taken bits of one: that alone decides, not whether there was a
 * translation to protect, or a debt. */
static void flush(void *ctx)
{
	flush_always(ctx);
}

static bool generation_wraps(uint64_t generation)
{
	return (generation & MMIO_GENERATION_MASK) == 0;
}

static void zap_mmio(void *ctx)
{
	struct mmu *m = ctx;

	m->ops->zap_mmio(m);
	mmu_count(m, mmio_generation_wraps);
}

static const struct slots_ops slots_ops = {
	.zap = zap_slot,
	.write_protect = protect_slot,
	.write_protect_pages = protect_pages,
	.log_ended = collapse_slot,
	.flush = flush,
	.generation_wraps = generation_wraps,
	.zap_mmio = zap_mmio,
};

int mmu_init(struct mmu *m, struct alloc *alloc, struct slots *slots, struct host_memory host)
{
	if (!m->stats)
		m->stats = m->own_stats;
	host_changes_init(&m->own_changes);
	if (!m->changes)
		m->changes = &m->own_changes;
	m->alloc = alloc;
	m->slots = slots;
	m->host = host;
	rwlock_init(&m->lock, RANK_MMU);
	mutex_init(&m->flush_lock, RANK_FLUSH);
	m->ops = m->mode == MMU_SHADOW ? &shadow_ops : &tdp_ops;
	if (m->ops->init(m)) {
		mmu_destroy(m);
		return -ENOMEM;
	}
	slots_set_ops(slots, &slots_ops, m);
	return 0;
}

void mmu_destroy(struct mmu *m)
{
	m->ops->destroy(m);
	host_changes_destroy(&m->own_changes);
	mutex_destroy(&m->flush_lock);
	rwlock_destroy(&m->lock);
}

/* The lowest free number. */
static uint32_t free_index(const struct mmu *m)
{
	uint32_t i = 0;

	while (i < MMU_MAX_VCPUS && atomic_ptr_load_relaxed(&m->vcpus[i]))
		i++;
	return i;
}

int mmu_vcpu_init(struct mmu_vcpu *v, struct mmu *m)
{
	int err;

	if (!v->stats)
		v->stats = v->own_stats;
	v->mmu = m;
	err = tlb_init(v);
	if (err)
		return err;
	/* Its TLB is empty: a flush in progress need not know of it. */
	mutex_lock(&m->slots->lock);
	mutex_lock(&m->flush_lock);
	v->index = free_index(m);
	if (v->index < MMU_MAX_VCPUS) {
		atomic_ptr_store_relaxed(&m->vcpus[v->index], v);
		if (v->index >= atomic32_load_relaxed(&m->n_vcpus))
			atomic32_store_release(&m->n_vcpus, v->index + 1);
	} else {
		tlb_destroy(v);
		err = -EINVAL;
	}
	mutex_unlock(&m->flush_lock);
	mutex_unlock(&m->slots->lock);
	return err;
}

void mmu_vcpu_destroy(struct mmu_vcpu *v)
{
	struct mmu *m = v->mmu;

	if (m->mode == MMU_SHADOW)
		shadow_drop_roots(v, true);
	mutex_lock(&m->slots->lock);
	mutex_lock(&m->flush_lock);
	atomic_ptr_store_relaxed(&m->vcpus[v->index], NULL);
	mutex_unlock(&m->flush_lock);
	mutex_unlock(&m->slots->lock);
	tlb_destroy(v);
}

void mmu_paging_changed(struct mmu_vcpu *v)
{
	if (rule(ROOT_LOAD_FLUSHES))
		tlb_flush_all(v);
	/* They are loaded, and made up to date, before they are next used. */
	v->roots_loaded = false;
}

void mmu_invlpg(struct mmu_vcpu *v, gva_t gva)
{
	tlb_flush_page(v, gva);
	if (v->mmu->mode == MMU_SHADOW)
		shadow_invlpg(v, gva);
}

void mmu_count_leafs(struct mmu *m, int level, int64_t n)
{
	static const enum vm_stat gauge[] = {
		[LEVEL_4K] = VM_STAT_pages_4k,
		[LEVEL_2M] = VM_STAT_pages_2m,
		[LEVEL_1G] = VM_STAT_pages_1g,
	};

	mmu_count_n(m, gauge[level], (uint64_t)n);
}

uint32_t mmu_reset_dirty_rings(struct mmu *m)
{
	struct slots *s = m->slots;
	uint32_t n = atomic32_load_acquire(&m->n_vcpus), taken = 0;

	mutex_lock(&s->lock);
	for (uint32_t i = 0; i < n; i++) {
		struct mmu_vcpu *v = atomic_ptr_load_relaxed(&m->vcpus[i]);

		if (v && v->ring.entries)
			taken += dirty_ring_reset(s, &v->ring);
	}
	/*
	 * Before slots_lock is dropped.  A second reaper does not find the entries that the first
	 * has taken; it must not return, and copy pages, while TLBs may still write to them
	 * unseen.
	 */
	if (taken && rule(RING_RESET_FLUSHES) && rule(SLOTS_LOCK_SPANS_FLUSH))
		flush_always(m);
	mutex_unlock(&s->lock);
	if (taken && !rule(SLOTS_LOCK_SPANS_FLUSH))
		flush_always(m);
	return taken;
}

uint64_t mmu_page_limit(const struct mmu *m)
{
	uint64_t n_pages, limit = atomic64_load_relaxed(&m->max_pages);

	if (limit)
		return limit;
	rcu_read_begin();
	n_pages = slots_current(m->slots)->n_pages;
	rcu_read_end();
	return MAX(n_pages / PAGES_PER_TABLE, MMU_MIN_PAGES);
}

void mmu_set_page_limit(struct mmu *m, uint64_t n_pages)
{
	bool too_many = m->mode == MMU_SHADOW;

	atomic64_store_relaxed(&m->max_pages, n_pages);
	/* YIELD_FLUSHES: each zap has recorded its debt. */
	while (too_many) {
		rwlock_wrlock(&m->lock);
		too_many = shadow_make_room(m, 0);
		rwlock_wrunlock(&m->lock);
	}
}
