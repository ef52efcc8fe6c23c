/* SPDX-License-Identifier: MIT */
/* mmu/paging/collapse.h - large pages come back to a slot that is logged no more. */
#ifndef MMU_COLLAPSE_H
#define MMU_COLLAPSE_H

struct memslot;
struct mmu;

/* slots_ops.log_ended */
void collapse_slot(struct mmu *m, const struct memslot *slot);

#endif
