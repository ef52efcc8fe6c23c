/* SPDX-License-Identifier: MIT */
/*
 * mmu/shadow/shadow.h - shadow paging: tables from guest virtual address to host page.
 *
 * A shadow page is derived from one guest table (or half or a quarter of a 32-bit one, whose
 * tables are larger than ours), or maps a range of guest frames (direct): below a large page of
 * the guest that we map by smaller ones, and for a guest without paging.  It is found by its
 * guest frame and its role, which is everything else that decides its contents.
 *
 * A guest table that has a shadow page is write-tracked: no translation of its frame is
 * MMU-writable, and a write to it is followed by mmu_ops.track_written.  But a lowest-level
 * table may become unsync: then it is writable, and its shadow page may be out of date until it
 * is synced, when a CPU would have to flush what it had cached: at a load of CR3, or INVLPG.
 *
 * The order of things between a guest table and its shadow rests on one number, gpt_seq.
 * Whatever invalidates earlier reads of a guest table (a tracked write, INVLPG, a sync, the
 * creation of a shadow page) increments it and stores it in the shadow page.  A fault samples the
 * number first, reads the guest's tables without a lock, and under the MMU lock starts again if a
 * page on its path carries a later one (RECHECK_GPTE_UNDER_PROTECTION).  So guest memory, which
 * can block, is never read under the lock.
 *
 * Followed without the lock by vCPUs in guest mode only; everyone else holds the MMU lock for
 * write.
 */
#ifndef MMU_SHADOW_SHADOW_H
#define MMU_SHADOW_SHADOW_H

#include "mmu/ops.h"

extern const struct mmu_ops shadow_ops;

#endif
