/* SPDX-License-Identifier: MIT */
/*
 * mmu/vcpu.h - the MMU's state of each vCPU.
 *
 * Embedded in the CPU's own state.  It belongs to the vCPU's thread, except the words marked (a),
 * which others read or write.
 */
#ifndef MMU_VCPU_H
#define MMU_VCPU_H

#include "base/types.h"
#include "mem/dirty_ring.h"
#include "mem/slots.h"
#include "mmu/paging/paging.h"
#include "mmu/shadow/vcpu.h"
#include "sync/atomic.h"
#include "sync/window.h"

struct mmu;
struct tlb_entry;

enum vcpu_stat {
#define VM_STAT(name, kind, text)
#define VCPU_STAT(name, kind, text) VCPU_STAT_##name,
#include "base/stats.def"
#undef VM_STAT
#undef VCPU_STAT
	N_VCPU_STATS,
};

struct mmio_cache_entry {
	uint64_t tag;		/* as in the TLB; 0: nothing */
	uint64_t generation;	/* in full: it never repeats */
	gpa_t gpa;		/* of the page */
	enum access access;	/* to read does not imply to write */
};
#define MMIO_CACHE_ENTRIES 4u

/* A write to a tracked page: made, but not processed yet. */
struct tracked_write {
	gpa_t gpa;
	unsigned int bytes;
};
#define MAX_TRACKED_WRITES 4u

/* A page where data is watched: the TLB does not hit for a write, nor for a read if
 * reads are too.  mmu/tlb/tlb.h: tlb_watch(). */
struct tlb_watch {
	gva_t page;
	bool reads;
};
#define TLB_WATCHES 4u

/* (c) constant after creation  (a) atomic  [flush_lock] of the MMU.  What has no mark is the
 * owner's: the thread that is in a call on the vCPU, under its user's lock (vcpu->lock). */
struct mmu_vcpu {
	/* The hit path: on cache lines that only the owner touches.  Context and epoch also
	 * change in a handler of the owner's thread, between any two instructions:
	 * owner_swap(). */
	uint64_t tlb_context;		/* flush number and privilege */
	struct tlb_entry *tlb;		/* (c) TLB_ENTRIES */
	struct atomic32 requests;	/* (a) */
	struct epoch epoch;		/* of host addresses found outside the TLB */

	struct atomic32 guest_seq CACHE_ALIGNED; /* (a) odd: in guest mode */
	struct atomic32 waiters;	/* (a) a thread sleeps on guest_seq or pin */
	struct atomic32 pin;		/* (a) odd: pinned; written by the owner */
	struct window_line line;	/* sync/window.h */
	uint32_t awaited_seq;		/* [flush_lock] guest_seq, if not 0: waited for */
	bool interrupted;		/* [flush_lock] its handler will run before it continues */

	struct mmu *mmu CACHE_ALIGNED;	/* (c) */
	unsigned int index;		/* (c) in mmu->vcpus */
	struct paging paging;
	struct tlb_entry *gpa_tlb;	/* (c) GPA_TLB_ENTRIES, after the TLB */
	bool tlb_has_large;		/* an entry was made from a page over 4 KiB */
	unsigned int n_watches;
	struct tlb_watch watches[TLB_WATCHES];
	struct mmio_cache_entry mmio_cache[MMIO_CACHE_ENTRIES];
	unsigned int mmio_cache_next;
	struct slot_hint slot_hint;
	gpa_t host_fault;		/* where MMU_HOST_FAULT last found no host page */
	struct shadow_vcpu shadow;
	bool roots_loaded;		/* the current ones are those of the paging registers */
	struct tracked_write tracked[MAX_TRACKED_WRITES];
	unsigned int n_tracked;
	uint32_t guest_entries;		/* changes whenever guest mode was left */
	struct dirty_ring ring;

	/* N_VCPU_STATS counters, written by the owner only; set it before
	 * mmu_vcpu_init(), or leave it NULL to count in own_stats. */
	struct atomic64 *stats;		/* (c) of (a) */
	struct atomic64 own_stats[N_VCPU_STATS]; /* (a) */
};

static ALWAYS_INLINE void vcpu_count_n(struct mmu_vcpu *v, enum vcpu_stat stat, uint64_t n)
{
	atomic64_owner_add(&v->stats[stat], n);
}

#define vcpu_count(v, name) vcpu_count_n(v, VCPU_STAT_##name, 1)

#endif
