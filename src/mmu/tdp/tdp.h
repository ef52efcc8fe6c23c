/* SPDX-License-Identifier: MIT */
/*
 * mmu/tdp/tdp.h - the direct tables: guest frame to host page.
 *
 * Five levels, one root for the life of the VM.  Faults add to them in parallel, under the MMU
 * lock for read, by compare-and-swap.  Walks without the lock are made in guest mode or in an RCU
 * section (WALKER_ANNOUNCE): a table is freed only after it was unlinked, every TLB flushed, and
 * a grace period has passed (UNLINK_FLUSH_FREE).
 */
#ifndef MMU_TDP_TDP_H
#define MMU_TDP_TDP_H

#include "mmu/mmu.h"
#include "mmu/verdict.h"

#define TDP_ROOT_LEVEL LEVEL_256T
/* Width of guest physical addresses; higher ones must not be looked up. */
#define TDP_ADDRESS_BITS (PAGE_SHIFT + TDP_ROOT_LEVEL * LEVEL_BITS)

/* The lowest entry for @gfn that there is: a leaf, or what stands in its place.
 * Guest mode or RCU section. */
struct tdp_entry {
	struct spte_slot *slot;
	spte_t spte;
	int level;
};

static inline struct tdp_entry tdp_lookup(const struct mmu *m, gfn_t gfn)
{
	struct table *table = m->root;
	struct tdp_entry e;

	for (e.level = TDP_ROOT_LEVEL;; e.level--) {
		e.slot = &table->spte[level_index(gfn, e.level)];
		e.spte = sptep_read(e.slot);
		if (!spte_is_link(e.spte))
			return e;
		table = spte_link(e.spte);
	}
}

/*
 * Maps @page at @gfn, at the highest level that @page and the tables allow; a
 * page over 4 KiB is mapped from its own start.  @allow_write: W may be set now
 * (else only MMUW).  @write: the access that needs it.
 * MMU lock for read, RCU section.
 */
enum fault_verdict tdp_map(struct mmu *m, gfn_t gfn, const struct host_page *page, bool write,
			   bool allow_write) REQUIRES_SHARED(m->lock);
/* Tables made only to cache that there is no memory: a guest that probes its whole address space
 * must not exhaust ours. */
#define MAX_TABLES_FOR_MMIO 16384u
/* Notes that @gfn has no memory, under @generation.  Best effort. */
void tdp_map_mmio(struct mmu *m, gfn_t gfn, uint64_t generation) REQUIRES_SHARED(m->lock);

/* The highest level at which a fault on @gfn can map.  RCU section. */
int tdp_max_level(const struct mmu *m, gfn_t gfn);

/* Drops every leaf that overlaps a piece of @r; returns their number.  The tables stay.  The
 * caller owes the flush. */
uint64_t tdp_zap_leafs(struct mmu *m, struct range *r) REQUIRES(m->lock);

/* Drops every MMIO entry, in pieces.  None is installed meanwhile: the generation is marked
 * (slots_lock).  No other lock held. */
void tdp_zap_mmio(struct mmu *m) EXCLUDES(m->lock);

/*
 * Drops everything in [start, end), tables too, and flushes, while faults
 * elsewhere go on.  No new translation is made in the range meanwhile (its slot
 * is invalid).  One such call at a time (slots_lock); no other lock held.
 */
void tdp_zap_slot(struct mmu *m, gfn_t start, gfn_t end) EXCLUDES(m->lock);

extern const struct mmu_ops tdp_ops;

/* Checks that every entry is legal and in its place: for tests.  MMU lock for write. */
bool tdp_is_valid(const struct mmu *m);

#endif
