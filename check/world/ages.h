/* SPDX-License-Identifier: MIT */
/*
 * check/world/ages.h - oracle O3, the answers of ageing: a page that was used is young.
 *
 * Used means: by an access that is seen.  After a clear without a flush a TLB may hide uses,
 * until a clear with one has returned.  Only guests without paging are judged: to drop a
 * translation that the guest's tables no longer give forgets its age.
 */
#ifndef CHECK_WORLD_AGES_H
#define CHECK_WORLD_AGES_H

#include "base/types.h"
#include "mmu/ops.h"

void ages_begin_run(void);

/* In the step of a vCPU's access to @page. */
void ages_used(unsigned int page);
/* The host or a change of the slots drops translations of @page. */
void ages_dropped(unsigned int page);

struct ages_call {
	unsigned int first, n;
	enum age how;
	bool must_be_young;
	unsigned int number;	/* of those that are open */
};

/* A call that ages pages begins; and has answered. */
void ages_call_begins(struct ages_call *c, unsigned int first, unsigned int n, enum age how);
void ages_call_returns(struct ages_call *c, bool young);

#endif
