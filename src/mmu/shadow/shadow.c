/* SPDX-License-Identifier: MIT */
/* mmu/shadow/shadow.c - paging by the shadow tables, as a whole. */
#include "mmu/shadow/shadow.h"

#include "mmu/mmio.h"
#include "mmu/paging/collapse.h"
#include "mmu/shadow/internal.h"
#include "mmu/tlb/flush.h"

static int shadow_init(struct mmu *m)
{
	struct shadow *s = alloc_zeroed(m->alloc, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	m->shadow = s;
	pool_init(&s->pages, m->alloc, sizeof(struct shadow_page));
	pool_init(&s->gfns, m->alloc, ENTRIES_PER_TABLE * sizeof(uint64_t));
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
		shadow_reap(m, REAP_ALL);
	rwlock_wrunlock(&m->lock);
	shadow_hash_destroy(&s->hash);
	frames_destroy(&s->frames);
	pool_destroy(&s->gfns);
	pool_destroy(&s->pages);
	alloc_free(m->alloc, s, sizeof(*s));
	m->shadow = NULL;
}

static void shadow_reap_dead(struct mmu *m, enum reap which)
{
	if (which != REAP_ALL)
		return;
	rwlock_wrlock(&m->lock);
	shadow_reap(m, REAP_ALL);
	rwlock_wrunlock(&m->lock);
}

static bool shadow_trim(struct mmu *m)
{
	bool more;

	rwlock_wrlock(&m->lock);
	more = shadow_make_room(m, 0);
	rwlock_wrunlock(&m->lock);
	return more;
}

const struct mmu_ops shadow_ops = {
	.init = shadow_init,
	.destroy = shadow_destroy,
	.translate = shadow_translate,
	.invlpg = shadow_invlpg,
	.track_written = shadow_track_written,
	.drop_roots = shadow_drop_obsolete_roots,
	.vcpu_destroy = shadow_drop_all_roots,
	.trim = shadow_trim,
	.zap_leafs = shadow_zap_leafs,
	.age = shadow_age,
	.is_split = shadow_is_split,
	.collapse = shadow_collapse,
	.reap = shadow_reap_dead,
	.slots = {
		.zap = shadow_zap_slot,
		.write_protect = shadow_write_protect,
		.write_protect_mask = shadow_write_protect_mask,
		.log_ended = collapse_slot,
		.flush = flush_always,
		.generation_wraps = mmio_generation_wraps,
		.zap_mmio = shadow_zap_mmio,
	},
};
