/* SPDX-License-Identifier: MIT */
/* mmu/tdp_internal.h - shared by tdp.c and tdp_zap.c only. */
#ifndef MMU_TDP_INTERNAL_H
#define MMU_TDP_INTERNAL_H

#include "mmu/tdp.h"

struct table *tdp_new_table(struct mmu *m, int level);
void tdp_free_table(struct mmu *m, struct table *t);

/* Where a walk of the range from @start begins in a table that starts at @base. */
static inline unsigned int tdp_first_index(gfn_t base, uint64_t step, gfn_t start)
{
	return start <= base ? 0 : (unsigned int)((start - base) / step);
}

#endif
