/* SPDX-License-Identifier: MIT */
/*
 * mmu/limits.h - limits of mmu/.  The checker has its own, small enough for a few steps to
 * reach them: check/shim/mmu/limits.h.
 */
#ifndef MMU_LIMITS_H
#define MMU_LIMITS_H

#include "base/types.h"

#define MMU_MAX_VCPUS 1024u

/* When the generation wraps, all MMIO entries are zapped (mmu/mmio.h). */
#define MMIO_GENERATION_BITS 19

#define TLB_BITS 10
/* Guest tables by gpa: the same entries, context without privilege. */
#define GPA_TLB_ENTRIES 64u

/* Looks at a vCPU before the flush sleeps: about two microseconds, the time of a few blocks;
 * a vCPU that needs longer is not running. */
#define REQUEST_SPINS 40

/* For each piece of an iteration under the MMU lock (mmu/paging/range.h).  At least one on every
 * level, or there is no progress. */
#define ENTRIES_BEFORE_YIELD 4096u
/* Likewise, to iterate over all tables, not over a range. */
#define TABLES_BEFORE_YIELD (ENTRIES_BEFORE_YIELD / ENTRIES_PER_TABLE)

/* This many unlinked tables may wait for a flush and a grace period. */
#define MAX_DEAD_TABLES 64u

/*
 * At most this many entries map one frame, or lead to one shadow page: one more zaps all of
 * them first.  The guest decides how long these lists get, and some are walked as a whole
 * under the lock.
 */
#define SHADOW_LIST_MAX 1024u

#endif
