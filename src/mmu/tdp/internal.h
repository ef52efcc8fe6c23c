/* SPDX-License-Identifier: MIT */
/* mmu/tdp/internal.h - private to this folder. */
#ifndef MMU_TDP_INTERNAL_H
#define MMU_TDP_INTERNAL_H

#include "mmu/tdp/tdp.h"

struct table *tdp_new_table(struct mmu *m, int level);
void tdp_free_table(struct mmu *m, struct table *t);

/* An entry that is not empty. */
struct tdp_place {
	struct spte_slot *slot;
	spte_t spte;
	gfn_t gfn;		/* its first frame */
	int level;
};

struct tdp_visitor {
	/* For each entry; returns true to follow a link. */
	bool (*fn)(void *ctx, const struct tdp_place *p);
	/* For a link that was followed, when all below it is done; or NULL. */
	void (*after)(void *ctx, const struct tdp_place *p);
	void *ctx;
};

/* One piece of @r.  Under the MMU lock. */
void tdp_visit(struct mmu *m, struct range *r, const struct tdp_visitor *v);

/* mmu_ops.is_split, collapse, reap */
bool tdp_is_split(struct mmu *m, gfn_t gfn, int level) EXCLUDES(m->lock);
void tdp_collapse(struct mmu *m, gfn_t gfn, int level) EXCLUDES(m->lock);
void tdp_reap(struct mmu *m, bool all) EXCLUDES(m->lock);

#endif
