/* SPDX-License-Identifier: MIT */
/* mmu/mmu.c - life of an MMU and of its vCPUs. */
#include "mmu/mmu.h"

#include "mmu/shadow/shadow.h"
#include "mmu/tdp/tdp.h"
#include "mmu/tlb/flush.h"
#include "mmu/tlb/tlb.h"

static const struct mmu_ops *const ops_of_mode[] = {
	[MMU_TDP] = &tdp_ops,
	[MMU_SHADOW] = &shadow_ops,
};

bool mmu_can_prefault(enum mmu_mode mode)
{
	return ops_of_mode[mode]->prefault;
}

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
	m->ops = ops_of_mode[m->mode];
	if (m->ops->init(m)) {
		mmu_destroy(m);
		return -ENOMEM;
	}
	slots_set_ops(slots, &m->ops->slots, m);
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

	if (m->ops->vcpu_destroy)
		m->ops->vcpu_destroy(v);
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
	if (v->mmu->ops->invlpg)
		v->mmu->ops->invlpg(v, gva);
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
	 * Before slots_lock is dropped (SLOTS_LOCK_SPANS_FLUSH).  A second reaper does not find
	 * the entries that the first has taken; it must not return, and copy pages, while TLBs
	 * may still write to them unseen.
	 */
	if (taken && rule(RING_RESET_FLUSHES))
		flush_always(m);
	mutex_unlock(&s->lock);
	return taken;
}
