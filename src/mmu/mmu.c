/* SPDX-License-Identifier: MIT */
/* mmu/mmu.c - life of an MMU, and what the memory slots ask of it. */
#include "mmu/mmu.h"

#include "mmu/flush.h"
#include "mmu/mmio.h"
#include "mmu/tdp.h"
#include "mmu/tlb.h"

static void zap_slot(void *ctx, const struct memslot *slot)
{
	tdp_zap_slot(ctx, slot->base_gfn, slot->base_gfn + slot->npages);
}

static void protect_slot(void *ctx, const struct memslot *slot, int first_level)
{
	struct mmu *m = ctx;

	rwlock_rdlock(&m->lock);
	tdp_write_protect(m, slot->base_gfn, slot->base_gfn + slot->npages, first_level);
	rwlock_rdunlock(&m->lock);
}

static void protect_pages(void *ctx, const struct memslot *slot, uint64_t offset, uint64_t mask)
{
	struct mmu *m = ctx;

	rwlock_rdlock(&m->lock);
	tdp_write_protect_mask(m, slot->base_gfn + offset, mask);
	rwlock_rdunlock(&m->lock);
}

static void flush(void *ctx)
{
	flush_settle(ctx);
}

static bool generation_wraps(uint64_t generation)
{
	return (generation & MMIO_GENERATION_MASK) == 0;
}

static void zap_mmio(void *ctx)
{
	struct mmu *m = ctx;

	rwlock_wrlock(&m->lock);
	tdp_zap_mmio(m);
	rwlock_wrunlock(&m->lock);
}

static const struct slots_ops slots_ops = {
	.zap = zap_slot,
	.write_protect = protect_slot,
	.write_protect_pages = protect_pages,
	.flush = flush,
	.generation_wraps = generation_wraps,
	.zap_mmio = zap_mmio,
};

int mmu_init(struct mmu *m, struct alloc *alloc, struct slots *slots, struct host_memory host)
{
	if (!m->stats)
		m->stats = m->own_stats;
	m->alloc = alloc;
	m->slots = slots;
	m->host = host;
	rwlock_init(&m->lock, RANK_MMU);
	mutex_init(&m->flush_lock, RANK_FLUSH);
	if (tdp_init(m)) {
		mmu_destroy(m);
		return -ENOMEM;
	}
	slots_set_ops(slots, &slots_ops, m);
	return 0;
}

void mmu_destroy(struct mmu *m)
{
	tdp_destroy(m);
	mutex_destroy(&m->flush_lock);
	rwlock_destroy(&m->lock);
}

/* The lowest number that no vCPU has. */
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
	/* Its TLB is empty: a flush that is under way need not know of it. */
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

	mutex_lock(&m->slots->lock);
	mutex_lock(&m->flush_lock);
	atomic_ptr_store_relaxed(&m->vcpus[v->index], NULL);
	mutex_unlock(&m->flush_lock);
	mutex_unlock(&m->slots->lock);
	tlb_destroy(v);
}

void mmu_paging_changed(struct mmu_vcpu *v)
{
	tlb_flush_all(v);
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
	 * Before slots_lock is dropped.  Of two reapers, the second finds none
	 * of the entries that the first has taken; it must not return, and copy
	 * pages, while TLBs may still write to them unseen.
	 */
	if (taken && rule(RING_RESET_FLUSHES) && rule(SLOTS_LOCK_SPANS_FLUSH))
		flush_settle(m);
	mutex_unlock(&s->lock);
	return taken;
}
