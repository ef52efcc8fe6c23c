/* SPDX-License-Identifier: MIT */
/*
 * mmu/vcpu.h - the MMU's state of each vCPU: TLB, paging state, requests.
 *
 * Embedded in the CPU's own state.  It belongs to the vCPU's thread, except the words marked (a),
 * which others read or write.
 */
#ifndef MMU_VCPU_H
#define MMU_VCPU_H

#include "base/types.h"
#include "mem/dirty_ring.h"
#include "mem/slots.h"
#include "mmu/limits.h"
#include "sync/atomic.h"
#include "sync/window.h"

struct mmu;
struct shadow_page;
struct table;

enum vcpu_stat {
#define VM_STAT(name, kind, text)
#define VCPU_STAT(name, kind, text) VCPU_STAT_##name,
#include "base/stats.def"
#undef VM_STAT
#undef VCPU_STAT
	N_VCPU_STATS,
};

/* Kinds of access; the bits of a page fault's error code follow from them. */
enum access {
	ACCESS_READ,
	ACCESS_WRITE,
	ACCESS_EXEC,
};

/* Bits of a page fault's error code.  SDM 3A 4.7. */
#define PFERR_PRESENT (1u << 0)
#define PFERR_WRITE (1u << 1)
#define PFERR_USER (1u << 2)
#define PFERR_RSVD (1u << 3)
#define PFERR_FETCH (1u << 4)
#define PFERR_PK (1u << 5)

/*
 * One entry of the software TLB.  A tag is the page's gva in the upper bits and
 * the context in the lower twelve (see below); an access of a kind hits if its
 * own tag, made in the same way, equals the one here.  The host address is then
 * gva + addend.
 *
 * A write tag is set only if the guest allows the write, the gpte is dirty, and our entry is
 * writable and dirty: a write hit has nothing left to do.
 */
struct tlb_entry {
	uint64_t read, write, exec;
	uint64_t addend;
};

#define TLB_ENTRIES (1u << TLB_BITS)

/*
 * The context: which privilege an entry was made for, and since which flush.  Taking the next
 * flush number empties the TLB; the memory is wiped only when the numbers have run out.  Number 0
 * is never used: a zeroed entry never hits.
 */
enum tlb_privilege {
	TLB_SUPERVISOR,		/* CPL 0-2; with SMAP: user pages refused */
	TLB_SUPERVISOR_AC,	/* with SMAP and EFLAGS.AC: user pages allowed */
	TLB_USER,		/* CPL 3 */
	TLB_GPA,		/* guest physical addresses */
};
#define TLB_PRIVILEGE_MASK 3u
#define TLB_FLUSH_SHIFT 2
#define TLB_FLUSH_MAX ((PAGE_OFFSET_MASK >> TLB_FLUSH_SHIFT) - 1)
/* After the last, until the memory is wiped: no entry is made, nothing hits. */
#define TLB_FLUSH_DEAD (TLB_FLUSH_MAX + 1)

/* The paging registers of the CPU. */
struct paging {
	uint64_t cr0, cr3, cr4, efer;
	uint64_t pdptr[4];	/* PAE: the page-directory-pointer registers */
	uint32_t pkru;
	uint8_t cpl;
	bool ac;		/* EFLAGS.AC */
	uint8_t maxphyaddr;	/* of the guest's CPUID */
	bool has_1g_pages;	/* of the guest's CPUID */
};

/* Requests: bits of mmu_vcpu.requests.  mmu/request.h. */
enum {
	REQUEST_TLB_FLUSH = 1u << 0,
	REQUEST_ROOTS = 1u << 1,	/* some of the shadow roots are obsolete */
	/* Not the MMU's: leave the guest and check what has changed. */
	REQUEST_KICK = 1u << 8,
};
#define REQUESTS_OF_MMU (REQUEST_TLB_FLUSH | REQUEST_ROOTS)

struct mmio_cache_entry {
	uint64_t tag;		/* as in the TLB; 0: nothing */
	uint64_t generation;	/* in full: it never repeats */
	gpa_t gpa;		/* of the page */
	enum access access;	/* to read does not imply to write */
};
#define MMIO_CACHE_ENTRIES 4u

/* Shadow roots for one setting of the paging registers. */
struct shadow_roots {
	struct shadow_page *page[4];	/* by gva bits 30-31; in long mode one alone */
	gpa_t key[4];			/* the guest's tables that they are derived from */
	uint32_t role;			/* of the first; 0: empty */
};
#define SHADOW_CACHED_ROOTS 4u

/* A write to a tracked page: made, but not processed yet. */
struct tracked_write {
	gpa_t gpa;
	unsigned int bytes;
};
#define MAX_TRACKED_WRITES 4u

/* A page where data is watched: the TLB does not hit for a write, nor for a read if
 * reads are too.  mmu/tlb.h: tlb_watch(). */
struct tlb_watch {
	gva_t page;
	bool reads;
};
#define TLB_WATCHES 4u

/* A page that a recent fault has left tracked. */
struct tracked_page {
	gva_t gva;
	uint32_t guest_entries;
};

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
	struct tlb_entry *gpa_tlb;	/* (c) GPA_TLB_ENTRIES, behind the TLB */
	bool tlb_has_large;		/* an entry was made from a page over 4 KiB */
	unsigned int n_watches;
	struct tlb_watch watches[TLB_WATCHES];
	struct mmio_cache_entry mmio_cache[MMIO_CACHE_ENTRIES];
	unsigned int mmio_cache_next;
	struct slot_hint slot_hint;
	gpa_t host_fault;		/* where MMU_HOST_FAULT last found no host page */
	struct shadow_roots roots[SHADOW_CACHED_ROOTS]; /* pinned */
	unsigned int root;		/* the current one */
	bool roots_loaded;		/* it is that of the paging registers */
	struct tracked_write tracked[MAX_TRACKED_WRITES];
	unsigned int n_tracked;
	struct tracked_page tracked_pages[2];
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
