/* SPDX-License-Identifier: MIT */
/*
 * mmu/paging/spte.h - one entry of our page tables.
 *
 * Four kinds, told apart by the lowest two bits:
 *
 *   none     all zero
 *   present  a leaf that maps host memory, or a link to a table one level down
 *   mmio     "no memory slot here", valid while its generation is current
 *   frozen   being zapped: only the thread that froze it may replace it
 *
 * Of a present leaf:
 *
 *   W     the vCPUs may write now
 *   MMUW  "MMU-writable": a TLB may hold a writable entry for it.  Clearing W
 *         for dirty logging leaves MMUW set, and W may be restored without the
 *         lock.  Clearing MMUW (for write tracking) is what owes a flush.
 *   HOSTW "host-writable": the host page was brought in for writing.
 *   A, D  a TLB entry was made of it; a writable one
 *
 * FOUR_STATES.  W implies MMUW implies HOSTW, so there are four:
 *
 *   HOSTW MMUW W
 *     1    1   1   writable
 *     1    1   0   protected for dirty logging (or not yet written to)
 *     1    0   0   protected because the frame holds a shadowed guest table
 *     0    0   0   the host page was only brought in for reading
 *
 * A leaf of a shadow table also says what the guest's own entries allow: U, NX and
 *
 *   GW, KEY  the guest lets it be written; its protection key
 *   GD       the guest's entry is dirty.  W implies GD: a write to a clean page
 *            must first meet the walk that sets the guest's bit.
 *
 * So the state "1 0 0" with GD is that of a page whose writes the MMU intercepts
 * (mmu/shadow/track.c).
 *
 * Who may change what, while the entry is present:
 *
 *   W 1->0, A, D   any thread in an RCU section, by compare-and-swap
 *   W 0->1         any thread in an RCU section, by compare-and-swap, if MMUW,
 *                  in a direct table; the page is marked dirty afterwards
 *   MMUW 1->0      under the MMU lock for write, flushing before it is dropped
 *   MMUW 0->1, GW, GD, U, NX, KEY   under the MMU lock for write, in a shadow table
 *   HOSTW 0->1     a fault under the MMU lock that has brought the page in for
 *                  writing; HOSTW is only cleared with the whole entry
 *   pfn, level     never: through none, with a flush between
 */
#ifndef MMU_SPTE_H
#define MMU_SPTE_H

#include "base/bug.h"
#include "base/types.h"
#include "mem/rules.h"
#include "mmu/limits.h"
#include "sync/atomic.h"

/* The value of an entry: copy it, test it, print it.  Never shared. */
typedef struct {
	uint64_t raw;
} spte_t;

/* The word in the table: only the sptep_*() calls touch it. */
struct spte_word {
	struct atomic64 raw;
};

enum spte_kind {
	SPTE_NONE = 0,
	SPTE_PRESENT = 1,
	SPTE_MMIO = 2,
	SPTE_FROZEN = 3,
};

#define SPTE_KIND_MASK 3ull
#define SPTE_LEAF (1ull << 2)
#define SPTE_W (1ull << 3)
#define SPTE_U (1ull << 4)
#define SPTE_NX (1ull << 5)
#define SPTE_A (1ull << 6)
#define SPTE_D (1ull << 7)
#define SPTE_HOSTW (1ull << 8)
#define SPTE_MMUW (1ull << 9)
#define SPTE_LEVEL_SHIFT 10	/* two bits: level - 1 */
/* Host addresses of a process have 47 bits. */
#define SPTE_PFN_MASK (((1ull << 48) - 1) & PAGE_MASK)
#define SPTE_GW (1ull << 48)
#define SPTE_GD (1ull << 49)
#define SPTE_KEY_SHIFT 50	/* four bits */
#define SPTE_GUEST_MASK (SPTE_GW | SPTE_GD | SPTE_U | SPTE_NX | 15ull << SPTE_KEY_SHIFT)
/* A link's address is aligned to 64 bytes. */
#define SPTE_LINK_MASK (~0ull << 6)

_Static_assert((SPTE_KIND_MASK & SPTE_LEAF) == 0 && SPTE_LEAF < (1u << 6),
	       "what tells the kinds apart lies below a link's address");
_Static_assert((3ull << SPTE_LEVEL_SHIFT) < PAGE_SIZE, "the level lies below the frame");

/* MMIO: kind, access (3 bits), generation, guest frame. */
#define MMIO_ACCESS_SHIFT 2
#define MMIO_ACCESS_MASK 7ull
#define MMIO_GENERATION_SHIFT 5
#define MMIO_GENERATION_MASK ((1ull << MMIO_GENERATION_BITS) - 1)
#define MMIO_GFN_SHIFT 24
#define MMIO_MAX_GFN ((1ull << (64 - MMIO_GFN_SHIFT)) - 1)

_Static_assert(MMIO_GENERATION_SHIFT + MMIO_GENERATION_BITS <= MMIO_GFN_SHIFT,
	       "the generation lies below the frame");

#define NO_SPTE ((spte_t){ SPTE_NONE })
#define FROZEN_SPTE ((spte_t){ SPTE_FROZEN })

static inline enum spte_kind spte_kind(spte_t s)
{
	return (enum spte_kind)(s.raw & SPTE_KIND_MASK);
}

static inline bool spte_is_leaf(spte_t s)
{
	return (s.raw & (SPTE_KIND_MASK | SPTE_LEAF)) == (SPTE_PRESENT | SPTE_LEAF);
}

static inline bool spte_is_link(spte_t s)
{
	return (s.raw & (SPTE_KIND_MASK | SPTE_LEAF)) == SPTE_PRESENT;
}

static inline pfn_t spte_pfn(spte_t s)
{
	return (s.raw & SPTE_PFN_MASK) >> PAGE_SHIFT;
}

static inline int spte_level(spte_t s)
{
	return 1 + (int)((s.raw >> SPTE_LEVEL_SHIFT) & 3);
}

static inline bool spte_is_writable(spte_t s)
{
	return s.raw & SPTE_W;
}

/* The frame that backs @gfn, somewhere in the large page that a leaf maps. */
static inline pfn_t spte_pfn_of(spte_t s, gfn_t gfn)
{
	return spte_pfn(s) + (gfn.raw & (level_pages(spte_level(s)) - 1));
}

static inline spte_t spte_make_leaf(pfn_t pfn, int level, uint64_t bits)
{
	return (spte_t){ SPTE_PRESENT | SPTE_LEAF | bits |
			 (uint64_t)(level - 1) << SPTE_LEVEL_SHIFT | pfn << PAGE_SHIFT };
}

static inline spte_t spte_make_link(const void *table)
{
	return (spte_t){ SPTE_PRESENT | (uint64_t)(uintptr_t)table };
}

static inline void *spte_link(spte_t s)
{
	return (void *)(uintptr_t)(s.raw & SPTE_LINK_MASK);
}

static inline spte_t spte_make_mmio(gfn_t gfn, uint64_t access, uint64_t generation)
{
	return (spte_t){ SPTE_MMIO | access << MMIO_ACCESS_SHIFT |
			 (generation & MMIO_GENERATION_MASK) << MMIO_GENERATION_SHIFT |
			 gfn.raw << MMIO_GFN_SHIFT };
}

static inline uint64_t spte_mmio_generation(spte_t s)
{
	return (s.raw >> MMIO_GENERATION_SHIFT) & MMIO_GENERATION_MASK;
}

static inline gfn_t spte_mmio_gfn(spte_t s)
{
	return gfn_of(s.raw >> MMIO_GFN_SHIFT);
}

static inline bool spte_is_legal(spte_t s)
{
	uint64_t w = s.raw & (SPTE_HOSTW | SPTE_MMUW | SPTE_W);

	if (!spte_is_leaf(s))
		return true;
	return w == (SPTE_HOSTW | SPTE_MMUW | SPTE_W) || w == (SPTE_HOSTW | SPTE_MMUW) ||
	       w == SPTE_HOSTW || w == 0;
}

static inline spte_t sptep_read(const struct spte_word *sptep)
{
	return (spte_t){ atomic64_load_acquire(&sptep->raw) };
}

/* What must hold for every replacement of one value by another. */
static inline void sptep_check(spte_t old, spte_t new)
{
	debug_on(rule(FOUR_STATES) && !spte_is_legal(new));
	debug_on(rule(PFN_CHANGE_GOES_THROUGH_ZERO) && spte_is_leaf(old) && spte_is_leaf(new) &&
		 (spte_pfn(old) != spte_pfn(new) || spte_level(old) != spte_level(new)));
	(void)old;
	(void)new;
}

/* VOLATILE_RMW.  *old becomes what was there if it was not what the caller thought. */
static inline bool sptep_cmpxchg(struct spte_word *sptep, spte_t *old, spte_t new)
{
	sptep_check(*old, new);
	return atomic64_cmpxchg(&sptep->raw, &old->raw, new.raw);
}

static inline spte_t sptep_xchg(struct spte_word *sptep, spte_t new)
{
	return (spte_t){ atomic64_xchg(&sptep->raw, new.raw) };
}

/* Of an entry that no other thread can reach yet, or that the caller has frozen. */
static inline void sptep_set(struct spte_word *sptep, spte_t new)
{
	atomic64_store_release(&sptep->raw, new.raw);
}

#endif
