/* SPDX-License-Identifier: MIT */
/*
 * mem/slots.c - changes to the set of memory slots.
 *
 * A change builds a new version of the set and swaps it in; until the swap every step can fail
 * without effect.  Deleting and moving take two swaps: after the first, readers see the slot as
 * invalid, so that no new translation is made while the old ones are dropped.
 */
#include "mem/slots.h"

#include <string.h>

#include "base/bug.h"
#include "base/trace.h"
#include "mem/rules.h"
#include "sync/wait.h"

#define KNOWN_FLAGS (KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY)
/* Where the address space of a Linux process ends (4-level paging). */
#define HVA_END ((1ull << 47) - PAGE_SIZE)

int slots_init(struct slots *s, struct alloc *alloc, gfn_t max_gfn, struct atomic64 *n_harvested,
	       struct atomic64 *n_updates)
{
	struct slot_set *empty = alloc_zeroed(alloc, sizeof(*empty));

	if (!empty)
		return -ENOMEM;
	mutex_init(&s->lock, RANK_SLOTS);
	s->alloc = alloc;
	s->max_gfn = max_gfn;
	s->n_harvested = n_harvested;
	s->n_updates = n_updates;
	empty->version = ++s->last_version;
	atomic_ptr_store_release(&s->current, empty);
	return 0;
}

void slots_set_ops(struct slots *s, const struct slots_ops *ops, struct mmu *m)
{
	s->ops = ops;
	s->mmu = m;
}

static void free_bitmap(struct slots *s, struct dirty_bitmap *d)
{
	if (!d)
		return;
	alloc_free(s->alloc, d->words, d->n_words * sizeof(*d->words));
	alloc_free(s->alloc, d->harvest, d->n_words * sizeof(*d->harvest));
	alloc_free(s->alloc, d, sizeof(*d));
}

static struct dirty_bitmap *make_bitmap(struct slots *s, uint64_t npages)
{
	struct dirty_bitmap *d = alloc_zeroed(s->alloc, sizeof(*d));

	if (!d)
		return NULL;
	d->n_words = (npages + 63) / 64;
	d->words = alloc_zeroed(s->alloc, d->n_words * sizeof(*d->words));
	d->harvest = alloc_zeroed(s->alloc, d->n_words * sizeof(*d->harvest));
	if (!d->words || !d->harvest) {
		free_bitmap(s, d);
		return NULL;
	}
	return d;
}

static void set_all_bits(struct dirty_bitmap *d, uint64_t npages)
{
	for (size_t i = 0; i < d->n_words; i++)
		atomic64_store_relaxed(&d->words[i], ~0ull);
	if (npages % 64)
		atomic64_store_relaxed(&d->words[d->n_words - 1], (1ull << (npages % 64)) - 1);
}

void slots_destroy(struct slots *s)
{
	struct slot_set *set = atomic_ptr_load_relaxed(&s->current);

	for (unsigned int id = 0; id < SLOTS_MAX_IDS; id++) {
		if (!s->by_id[id])
			continue;
		free_bitmap(s, s->by_id[id]->dirty);
		alloc_free(s->alloc, s->by_id[id], sizeof(struct memslot));
	}
	slot_tree_free(s->alloc, set->by_gfn);
	slot_tree_free(s->alloc, set->by_hva);
	alloc_free(s->alloc, set, sizeof(*set));
	mutex_destroy(&s->lock);
}

void slots_wait_for_next(struct slots *s, uint64_t version)
{
	uint32_t n = atomic32_load_acquire(&s->n_swaps);
	bool is_next;

	lock_assert_none_from(RANK_SLOTS);
	rcu_read_begin();
	is_next = slots_current(s)->version != version;
	rcu_read_end();
	if (!is_next)
		wait_on_for(&s->n_swaps, n, WAIT_MOMENT_US);
}

/* The next version of the set, built before the point after which a change cannot fail. */
struct next_set {
	struct slot_tree_update trees;
	struct slot_set *set;
};

static int next_begin(struct slots *s, struct next_set *next) REQUIRES(s->lock)
{
	const struct slot_set *now = slots_current(s);

	next->set = alloc_zeroed(s->alloc, sizeof(*next->set));
	if (!next->set)
		return -ENOMEM;
	next->set->by_gfn = now->by_gfn;
	next->set->by_hva = now->by_hva;
	slot_tree_update_begin(&next->trees, s->alloc);
	return 0;
}

static void next_remove(struct next_set *next, const struct memslot *slot)
{
	if (!next->trees.failed)
		next->set->by_gfn = slot_tree_remove(&next->trees, BY_GFN, next->set->by_gfn, slot);
	if (!next->trees.failed)
		next->set->by_hva = slot_tree_remove(&next->trees, BY_HVA, next->set->by_hva, slot);
}

static void next_insert(struct next_set *next, struct memslot *slot)
{
	if (!next->trees.failed)
		next->set->by_gfn = slot_tree_insert(&next->trees, BY_GFN, next->set->by_gfn, slot);
	if (!next->trees.failed)
		next->set->by_hva = slot_tree_insert(&next->trees, BY_HVA, next->set->by_hva, slot);
}

static void next_abort(struct slots *s, struct next_set *next) REQUIRES(s->lock)
{
	slot_tree_update_abort(&next->trees);
	alloc_free(s->alloc, next->set, sizeof(*next->set));
}

/* One step of a change: @out leaves the set, @in enters it; either may be NULL. */
static int next_make(struct slots *s, struct next_set *next, const struct memslot *out,
		     struct memslot *in) REQUIRES(s->lock)
{
	if (next_begin(s, next))
		return -ENOMEM;
	if (out)
		next_remove(next, out);
	if (in)
		next_insert(next, in);
	if (next->trees.failed) {
		next_abort(s, next);
		return -ENOMEM;
	}
	return 0;
}

static void swap_set(struct slots *s, struct slot_set *set) REQUIRES(s->lock)
{
	atomic_ptr_store_release(&s->current, set);
	atomic32_fetch_add(&s->n_swaps, 1);
	wait_wake_all(&s->n_swaps);
}

/*
 * The generation goes up in two steps, so that no MMIO answer derived from the old set can carry
 * the new number: while a reader may still use the old set, the number is marked, and nothing
 * that carries it is trusted or cached.
 */
static void publish(struct slots *s, struct next_set *next) REQUIRES(s->lock)
{
	struct slot_set *old = atomic_ptr_load_relaxed(&s->current);
	uint64_t generation = atomic64_load_relaxed(&s->generation);

	next->set->version = ++s->last_version;
	next->set->n_pages = s->n_pages;
	if (rule(GEN_TWO_STEPS))
		atomic64_store_release(&s->generation, generation | GENERATION_IN_PROGRESS);
	swap_set(s, next->set);
	rcu_synchronize();

	generation++;
	if (rule(GEN_WRAP_ZAPS) && s->ops->generation_wraps(generation))
		s->ops->zap_mmio(s->mmu);
	atomic64_store_release(&s->generation, generation);

	slot_tree_update_finish(&next->trees);
	alloc_free(s->alloc, old, sizeof(*old));
	atomic64_owner_add(s->n_updates, 1);
}

static struct memslot *make_slot(struct slots *s, const struct memslot *like) REQUIRES(s->lock)
{
	struct memslot *slot = alloc_zeroed(s->alloc, sizeof(*slot));

	if (slot) {
		*slot = *like;
		slot->version = ++s->last_version;
	}
	return slot;
}

static void free_slot(struct slots *s, struct memslot *slot) REQUIRES(s->lock)
{
	alloc_free(s->alloc, slot, sizeof(*slot));
}

static int create_slot(struct slots *s, const struct memslot *wanted) REQUIRES(s->lock)
{
	struct memslot *slot = make_slot(s, wanted);
	struct next_set next;

	if (!slot)
		return -ENOMEM;
	if (next_make(s, &next, NULL, slot)) {
		free_slot(s, slot);
		return -ENOMEM;
	}
	s->by_id[slot->id] = slot;
	s->n_pages += slot->npages;
	publish(s, &next);
	return 0;
}

/* Deletes @old, or replaces it by @moved. */
static int delete_or_move(struct slots *s, struct memslot *old, const struct memslot *moved)
	REQUIRES(s->lock)
{
	struct memslot *invalid = make_slot(s, old);
	struct memslot *new = moved ? make_slot(s, moved) : NULL;
	struct next_set phase1, phase2;

	if (!invalid || (moved && !new))
		goto no_memory;
	invalid->flags |= MEMSLOT_INVALID;

	/*
	 * MEMSLOT_INVALID_FIRST: a fault that meets the invalid slot waits, so
	 * after the first swap the translations only become fewer.  Both
	 * versions are built before the first is shown: the second step of a
	 * delete must not run out of memory after the slot was zapped.
	 */
	if (next_make(s, &phase1, old, invalid))
		goto no_memory;
	if (next_begin(s, &phase2))
		goto abort1;
	phase2.set->by_gfn = phase1.set->by_gfn;
	phase2.set->by_hva = phase1.set->by_hva;
	next_remove(&phase2, invalid);
	if (new)
		next_insert(&phase2, new);
	if (phase2.trees.failed)
		goto abort2;

	if (rule(MEMSLOT_INVALID_FIRST))
		publish(s, &phase1);
	/* ZAP_BEFORE_UNREACHABLE: the notifier finds translations through their slot. */
	s->ops->zap(s->mmu, invalid);
	if (!new)
		s->n_pages -= old->npages;
	publish(s, &phase2);

	s->by_id[old->id] = new;
	if (!new || old->dirty != new->dirty)
		free_bitmap(s, old->dirty);
	free_slot(s, invalid);
	free_slot(s, old);
	return 0;

abort2:
	next_abort(s, &phase2);
abort1:
	next_abort(s, &phase1);
no_memory:
	free_slot(s, invalid);
	free_slot(s, new);
	return -ENOMEM;
}

static void logging_enabled(struct slots *s, const struct memslot *slot) REQUIRES(s->lock)
{
	/*
	 * With all pages initially dirty there is nothing to record until the client clears some;
	 * but large pages are dropped now, since later only single pages are protected.
	 */
	int first_level = slot->dirty && s->initially_set ? LEVEL_2M : LEVEL_4K;

	s->ops->write_protect(s->mmu, slot, first_level);
	/*
	 * Even if all were read-only: a TLB may hold an older writable entry whose flush is still
	 * owed.
	 */
	if (rule(ENABLE_FLUSHES_ALWAYS))
		s->ops->flush(s->mmu);
}

static int change_flags(struct slots *s, struct memslot *old, const struct memslot *wanted)
	REQUIRES(s->lock)
{
	struct memslot *new = make_slot(s, wanted);
	struct next_set next;

	if (!new)
		return -ENOMEM;
	if (next_make(s, &next, old, new)) {
		free_slot(s, new);
		return -ENOMEM;
	}
	s->by_id[old->id] = new;
	publish(s, &next);
	/*
	 * WPROT_AFTER_PUBLISH: after the wait in publish() every fault sees the
	 * new flags, so from here on a page is either marked or protected.
	 */
	if (memslot_is_logged(new) && !memslot_is_logged(old))
		logging_enabled(s, new);
	if (memslot_is_logged(old) && !memslot_is_logged(new))
		s->ops->log_ended(s->mmu, new);
	if (old->dirty != new->dirty)
		free_bitmap(s, old->dirty);
	free_slot(s, old);
	return 0;
}

static int check_region(const struct kvm_userspace_memory_region *r)
{
	uint64_t npages = r->memory_size >> PAGE_SHIFT;

	if (r->flags & ~(uint32_t)KNOWN_FLAGS)
		return -EINVAL;
	/* The high half selects an address space; there is only one. */
	if (r->slot >= SLOTS_MAX_IDS)
		return -EINVAL;
	if ((r->memory_size | r->guest_phys_addr | r->userspace_addr) & PAGE_OFFSET_MASK)
		return -EINVAL;
	if (r->userspace_addr > HVA_END || r->memory_size > HVA_END - r->userspace_addr)
		return -EINVAL;
	if (r->guest_phys_addr + r->memory_size < r->guest_phys_addr)
		return -EINVAL;
	if (npages > SLOTS_MAX_PAGES)
		return -EINVAL;
	return 0;
}

/* Sets @wanted's bitmap, reusing the old slot's if it has one. */
static int choose_bitmap(struct slots *s, const struct memslot *old, struct memslot *wanted)
	REQUIRES(s->lock)
{
	wanted->dirty = NULL;
	if (!memslot_is_logged(wanted) || s->dirty_ring)
		return 0;
	if (old && old->dirty) {
		wanted->dirty = old->dirty;
		return 0;
	}
	wanted->dirty = make_bitmap(s, wanted->npages);
	if (!wanted->dirty)
		return -ENOMEM;
	if (s->initially_set)
		set_all_bits(wanted->dirty, wanted->npages);
	return 0;
}

static bool overlaps_another(struct slots *s, const struct memslot *old,
			     const struct memslot *wanted) REQUIRES(s->lock)
{
	const struct slot_set *set = slots_current(s);
	gfn_t start = wanted->base_gfn, end = memslot_gfn_end(wanted);

	if (!old)
		return slot_tree_overlaps(set->by_gfn, start, end);
	/* A move may overlap the old place: search on both sides of it. */
	for (gfn_t gfn = start; gfn_lt(gfn, end);) {
		if (memslot_has(old, gfn)) {
			gfn = memslot_gfn_end(old);
			continue;
		}
		gfn_t stop = gfn_lt(gfn, old->base_gfn) ? gfn_min(end, old->base_gfn) : end;

		if (slot_tree_overlaps(set->by_gfn, gfn, stop))
			return true;
		gfn = stop;
	}
	return false;
}

static int set_region_locked(struct slots *s, const struct kvm_userspace_memory_region *r)
	REQUIRES(s->lock)
{
	struct memslot *old = s->by_id[r->slot];
	struct memslot wanted = {
		.base_gfn = gfn_of(r->guest_phys_addr >> PAGE_SHIFT),
		.npages = r->memory_size >> PAGE_SHIFT,
		.hva = hva_of(r->userspace_addr),
		.flags = r->flags,
		.id = (uint16_t)r->slot,
	};
	int err;

	if (!wanted.npages)
		return old ? delete_or_move(s, old, NULL) : -EINVAL;

	if (old) {
		if (!hva_eq(wanted.hva, old->hva) || wanted.npages != old->npages ||
		    ((wanted.flags ^ old->flags) & KVM_MEM_READONLY))
			return -EINVAL;
		if (gfn_eq(wanted.base_gfn, old->base_gfn) && wanted.flags == old->flags)
			return 0;
	} else if (s->n_pages + wanted.npages < s->n_pages) {
		return -EINVAL;
	}
	if (!old || !gfn_eq(wanted.base_gfn, old->base_gfn)) {
		if (overlaps_another(s, old, &wanted))
			return -EEXIST;
		if (gfn_lt(s->max_gfn, gfn_add(wanted.base_gfn, wanted.npages - 1)))
			return -EINVAL;
	}

	err = choose_bitmap(s, old, &wanted);
	if (err)
		return err;
	if (!old)
		err = create_slot(s, &wanted);
	else if (!gfn_eq(wanted.base_gfn, old->base_gfn))
		err = delete_or_move(s, old, &wanted);
	else
		err = change_flags(s, old, &wanted);
	if (err && (!old || wanted.dirty != old->dirty))
		free_bitmap(s, wanted.dirty);
	return err;
}

int slots_set_region(struct slots *s, const struct kvm_userspace_memory_region *r)
{
	int err = check_region(r);

	if (err)
		return err;
	mutex_lock(&s->lock);
	err = set_region_locked(s, r);
	trace_slots(atomic64_load_relaxed(&s->generation), r->slot, err);
	mutex_unlock(&s->lock);
	return err;
}
