/* SPDX-License-Identifier: MIT */
#include "mem/dirty_ring.h"

#include "base/bug.h"
#include "mem/rules.h"

void dirty_ring_init(struct dirty_ring *ring, void *entries, uint32_t bytes)
{
	ring->entries = entries;
	ring->size = bytes / (uint32_t)sizeof(*ring->entries);
}

void dirty_ring_push(struct dirty_ring *ring, uint32_t slot_id, uint64_t page)
{
	uint32_t at = atomic32_load_relaxed(&ring->pushed);
	struct kvm_dirty_gfn *entry = &ring->entries[at & (ring->size - 1)];

	bug_on(at - atomic32_load_relaxed(&ring->reset) >= ring->size);
	shared32_store_relaxed(&entry->slot, slot_id);
	shared64_store_relaxed(&entry->offset, page);
	/* RING_PUBLISH.  The client reads the entry after it has seen the flag, and a reset
	 * that it then requests must find that the entry was pushed. */
	atomic32_store_relaxed(&ring->pushed, at + 1);
	shared32_store_release(&entry->flags, KVM_DIRTY_GFN_F_DIRTY);
}

/* Consecutive entries often name adjacent pages: protect them together. */
struct reset_batch {
	uint32_t slot_id;
	uint64_t offset;
	uint64_t mask;		/* bit n: page offset + n; bit 0 is set unless empty */
};

static void protect_batch(struct slots *s, const struct reset_batch *b) REQUIRES(s->lock)
{
	struct memslot *slot = slots_by_id(s, b->slot_id);
	uint64_t mask = b->mask;

	if (!mask || !slot)
		return;
	/*
	 * RING_DISTRUST: the numbers are the client's.  Comparing what is left
	 * of the slot with the offset cannot wrap, adding to the offset could.
	 */
	if (rule(RING_DISTRUST) && b->offset >= slot->npages)
		return;
	if (slot->npages - b->offset < 64)
		mask &= (1ull << (slot->npages - b->offset)) - 1;
	s->ops->write_protect_mask(s->mmu, slot, b->offset, mask);
}

static bool batch_takes(const struct reset_batch *b, uint32_t slot_id, uint64_t offset)
{
	return b->mask && slot_id == b->slot_id && offset >= b->offset && offset - b->offset < 64;
}

uint32_t dirty_ring_reset(struct slots *s, struct dirty_ring *ring)
{
	struct reset_batch batch = { 0 };
	uint32_t taken = 0;

	mutex_assert_held(&s->lock);
	/* At most one round: a fast client could keep us busy for ever. */
	for (; taken < ring->size; taken++) {
		uint32_t at = atomic32_load_relaxed(&ring->reset);
		struct kvm_dirty_gfn *entry = &ring->entries[at & (ring->size - 1)];
		uint32_t slot_id;
		uint64_t offset;

		/* The client can mark more than we pushed. */
		if (at == atomic32_load_acquire(&ring->pushed))
			break;
		if (!(shared32_load_acquire(&entry->flags) & KVM_DIRTY_GFN_F_RESET))
			break;
		slot_id = shared32_load_relaxed(&entry->slot);
		offset = shared64_load_relaxed(&entry->offset);
		shared32_store_release(&entry->flags, 0);
		atomic32_store_release(&ring->reset, at + 1);

		if (!batch_takes(&batch, slot_id, offset)) {
			protect_batch(s, &batch);
			batch = (struct reset_batch){ .slot_id = slot_id, .offset = offset };
		}
		batch.mask |= 1ull << (offset - batch.offset);
	}
	protect_batch(s, &batch);
	atomic64_owner_add(s->n_harvested, taken);
	return taken;
}
