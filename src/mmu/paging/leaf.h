/* SPDX-License-Identifier: MIT */
/* mmu/paging/leaf.h - changes of a leaf in place that tables of both paging modes need. */
#ifndef MMU_LEAF_H
#define MMU_LEAF_H

#include "mmu/paging/spte.h"

/* Clears @bits.  False: there was none of them, or no leaf. */
static inline bool leaf_clear(struct spte_word *sptep, spte_t spte, uint64_t bits)
{
	spte_t new;

	do {
		if (!spte_is_leaf(spte) || !(spte.raw & bits))
			return false;
		new.raw = spte.raw & ~bits;
	} while (!sptep_cmpxchg(sptep, &spte, new));
	return true;
}

/* Takes W for the dirty log.  WPROT_LOGGING_KEEPS_MMUW. */
static inline bool leaf_protect(struct spte_word *sptep, spte_t spte)
{
	return leaf_clear(sptep, spte, SPTE_W);
}

/* Was it used since that was last cleared?  @clear: clears it. */
static inline bool leaf_age(struct spte_word *sptep, spte_t spte, bool clear)
{
	return clear ? leaf_clear(sptep, spte, SPTE_A) :
		       spte_is_leaf(spte) && (spte.raw & SPTE_A);
}

#endif
