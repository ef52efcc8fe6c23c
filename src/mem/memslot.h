/* SPDX-License-Identifier: MIT */
/*
 * mem/memslot.h - one memory slot: guest frames backed by host addresses.
 *
 * Constant once published.  A change creates a new one; the old one is freed after a grace
 * period.  The dirty bitmap passes from the old to the new.
 */
#ifndef MEM_MEMSLOT_H
#define MEM_MEMSLOT_H

#include <linux/kvm.h>

#include "base/types.h"
#include "sync/atomic.h"

/* Besides KVM_MEM_*: the slot is being deleted or moved.  A fault on it waits. */
#define MEMSLOT_INVALID (1u << 31)

struct dirty_bitmap {
	size_t n_words;
	struct atomic64 *words;		/* (a) bit n: page n of the slot was written */
	uint64_t *harvest;		/* [slots_lock] what a harvest took */
};

struct memslot {
	gfn_t base_gfn;
	uint64_t npages;
	hva_t hva;
	uint32_t flags;			/* KVM_MEM_* and MEMSLOT_INVALID */
	uint16_t id;
	uint64_t version;		/* differs from that of every other slot ever made */
	struct dirty_bitmap *dirty;	/* NULL: not logged, or logged to rings */
};

static inline gfn_t memslot_gfn_end(const struct memslot *slot)
{
	return gfn_add(slot->base_gfn, slot->npages);
}

/* The number of a page in the slot; of one below or above it, npages or more. */
static inline uint64_t memslot_page(const struct memslot *slot, gfn_t gfn)
{
	return gfn_diff(gfn, slot->base_gfn);
}

static inline bool memslot_has(const struct memslot *slot, gfn_t gfn)
{
	return memslot_page(slot, gfn) < slot->npages;
}

static inline hva_t memslot_hva_end(const struct memslot *slot)
{
	return hva_add(slot->hva, slot->npages << PAGE_SHIFT);
}

static inline hva_t memslot_gfn_to_hva(const struct memslot *slot, gfn_t gfn)
{
	return hva_add(slot->hva, memslot_page(slot, gfn) << PAGE_SHIFT);
}

static inline bool memslot_is_logged(const struct memslot *slot)
{
	return slot->flags & KVM_MEM_LOG_DIRTY_PAGES;
}

/*
 * The highest level at which @gfn may be mapped: the large page lies in the slot, and guest and
 * host address have the same offset into it.
 */
static inline int memslot_max_level(const struct memslot *slot, gfn_t gfn)
{
	int level = LEVEL_4K;

	for (int try = LEVEL_2M; try <= LEVEL_1G; try++) {
		gfn_t first = level_align(gfn, try);
		hva_t hva = memslot_gfn_to_hva(slot, first);

		if (gfn_lt(first, slot->base_gfn) ||
		    gfn_lt(memslot_gfn_end(slot), gfn_add(first, level_pages(try))) ||
		    !IS_ALIGNED(hva.raw, level_pages(try) << PAGE_SHIFT))
			break;
		level = try;
	}
	return level;
}

#endif
