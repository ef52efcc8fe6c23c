/* SPDX-License-Identifier: MIT */
/*
 * mem/slots.h - the set of memory slots of a VM and its changes.
 *
 * Readers: an RCU section, slots_current(), then any lookup.  What they find is
 * valid until the section ends.  Writers hold slots_lock throughout.
 *
 * The generation counts the changes.  An MMIO translation carries it and is valid under no other
 * (mmu/mmio.h).  Its top bit means that an update is in progress.  Read it before the set: what
 * is derived from a set must not carry a newer generation (GEN_FROM_SAME_SNAPSHOT).
 */
#ifndef MEM_SLOTS_H
#define MEM_SLOTS_H

#include "mem/alloc.h"
#include "mem/limits.h"
#include "mem/memslot.h"
#include "mem/rules.h"
#include "mem/slot_tree.h"
#include "sync/atomic.h"
#include "sync/lock.h"
#include "sync/rcu.h"

#define SLOTS_MAX_PAGES ((1ull << 31) - 1)
#define GENERATION_IN_PROGRESS (1ull << 63)

/* One version of the set, constant. */
struct slot_set {
	uint64_t version;		/* never used twice in a VM */
	uint64_t n_pages;		/* of all its slots */
	const struct slot_node *by_gfn, *by_hva;
};

/* Opaque here: whatever maps the slots' memory. */
struct mmu;

/*
 * What a change of slots needs from the layer above.  All are called under slots_lock and no
 * other lock.
 */
struct slots_ops {
	/* Zaps every translation of @slot and flushes.  Readers see the slot as invalid and
	 * create no new ones. */
	void (*zap)(struct mmu *m, const struct memslot *slot);
	/* Write-protects for logging: every page from @first_level up, or those in @mask of the
	 * 64 pages from @offset.  The caller flushes. */
	void (*write_protect)(struct mmu *m, const struct memslot *slot, int first_level);
	void (*write_protect_mask)(struct mmu *m, const struct memslot *slot, uint64_t offset,
				   uint64_t mask);
	/* Logging of @slot has ended: large pages may be used again. */
	void (*log_ended)(struct mmu *m, const struct memslot *slot);
	/* Flushes what has been protected from every TLB.  The caller has started a log or taken
	 * bits of one: that alone decides, not whether there was a translation to protect, or a
	 * debt. */
	void (*flush)(struct mmu *m);
	/* If the generation about to be published wraps in its truncated form, every MMIO entry
	 * is dropped.  The generation is marked, so that none is installed meanwhile. */
	bool (*generation_wraps)(uint64_t generation);
	void (*zap_mmio)(struct mmu *m);
};

struct slots {
	struct mutex lock;		/* (c) "slots_lock", rank RANK_SLOTS */
	struct atomic_ptr current;	/* (a) struct slot_set, replaced under lock */
	struct atomic64 generation;	/* (a) written under lock */
	struct memslot *by_id[SLOTS_MAX_IDS]; /* [lock] */
	uint64_t n_pages;		/* [lock] of all slots */
	uint64_t last_version;		/* [lock] of sets and slots */
	gfn_t max_gfn;			/* (c) highest frame a slot may have */

	bool dirty_ring;		/* [lock] logged slots have no bitmap */
	bool manual_protect;		/* [lock] GET does not protect, CLEAR does */
	bool initially_set;		/* [lock] a fresh log says all pages are dirty */
	struct atomic64 *n_harvested;	/* (c) where to count; never NULL */
	struct atomic64 *n_updates;	/* (c) likewise */

	struct atomic32 n_swaps;	/* (a) of current: what faults sleep on */

	struct alloc *alloc;		/* (c) */
	const struct slots_ops *ops;	/* (c) */
	struct mmu *mmu;		/* (c) whose they are */
};

/* 0 or -ENOMEM.  The counters may be those of the VM's statistics. */
int slots_init(struct slots *s, struct alloc *alloc, gfn_t max_gfn, struct atomic64 *n_harvested,
	       struct atomic64 *n_updates) MUST_CHECK;
void slots_set_ops(struct slots *s, const struct slots_ops *ops, struct mmu *m);
/* Called when no reader is left. */
void slots_destroy(struct slots *s);

static inline const struct slot_set *slots_current(const struct slots *s)
{
	return atomic_ptr_load_acquire(&s->current);
}

static inline const struct memslot *slot_set_find(const struct slot_set *set, gfn_t gfn)
{
	return slot_tree_find(set->by_gfn, gfn);
}

/* A reader's cache of its last lookup. */
struct slot_hint {
	uint64_t version;		/* of the set */
	const struct memslot *slot;
};

static inline const struct memslot *slot_set_find_hinted(const struct slot_set *set, gfn_t gfn,
							 struct slot_hint *hint)
{
	if (hint->version == set->version && hint->slot && memslot_has(hint->slot, gfn))
		return hint->slot;
	hint->version = set->version;
	hint->slot = slot_set_find(set, gfn);
	return hint->slot;
}

/**
 * slots_set_region - create, move, re-flag or delete one memory slot.
 * @region: as for KVM_SET_USER_MEMORY_REGION.
 *
 * Context: no lock held.  Waits for readers.
 * Return:  0, or
 *          -EINVAL  misaligned, wrapping or too large; unknown flag or id;
 *                   deletion of a slot that does not exist; change of size, host address
 *                   or read-only flag
 *          -EEXIST  guest frames overlap another slot's
 *          -ENOMEM  the slots are as they were
 * Source:  api.rst, KVM_SET_USER_MEMORY_REGION; errnos as Linux 6.1 gives them.
 */
int slots_set_region(struct slots *s, const struct kvm_userspace_memory_region *region) MUST_CHECK;

/* [slots_lock] NULL if there is no such slot. */
static inline struct memslot *slots_by_id(struct slots *s, uint32_t id) REQUIRES(s->lock)
{
	mutex_assert_held(&s->lock);
	return id < SLOTS_MAX_IDS ? s->by_id[id] : NULL;
}

/*
 * For a fault on an invalid slot in version @version of the set: waits for the next version, or
 * for a moment.  Outside guest mode, no lock held, no RCU section.
 */
void slots_wait_for_next(struct slots *s, uint64_t version);

#endif
