/* SPDX-License-Identifier: MIT */
/* mmu/shadow/vcpu.h - what shadow paging keeps for each vCPU.  All of it is its thread's. */
#ifndef MMU_SHADOW_VCPU_H
#define MMU_SHADOW_VCPU_H

#include "base/types.h"

struct shadow_page;

/* Shadow roots for one setting of the paging registers. */
struct shadow_roots {
	struct shadow_page *page[4];	/* by gva bits 30-31; in long mode one alone */
	gpa_t key[4];			/* the guest's tables that they are derived from */
	uint32_t role;			/* of the first; 0: empty */
};
#define SHADOW_CACHED_ROOTS 4u

/* A page that a recent fault has left tracked. */
struct tracked_page {
	gva_t gva;
	uint32_t guest_entries;
};

struct shadow_vcpu {
	struct shadow_roots roots[SHADOW_CACHED_ROOTS]; /* pinned */
	unsigned int root;		/* the current one */
	struct tracked_page tracked_pages[2];
};

#endif
