/* SPDX-License-Identifier: MIT */
/*
 * mmu/mmu.h - the MMU of one VM.
 *
 * Knows no instruction set engine and no ioctl.  Below it are the memory slots and the host
 * memory; above it the code that runs vCPUs.
 */
#ifndef MMU_MMU_H
#define MMU_MMU_H

#include "mem/alloc.h"
#include "mem/host.h"
#include "mem/host_changes.h"
#include "mem/slots.h"
#include "mmu/limits.h"
#include "mmu/ops.h"
#include "mmu/vcpu.h"
#include "sync/lock.h"

struct table;

enum vm_stat {
#define VM_STAT(name, kind, text) VM_STAT_##name,
#define VCPU_STAT(name, kind, text)
#include "base/stats.def"
#undef VM_STAT
#undef VCPU_STAT
	N_VM_STATS,
};

/* How a VM's addresses are translated, chosen when it is created. */
enum mmu_mode {
	MMU_TDP,	/* direct tables, gpa to host: mmu/tdp/tdp.h */
	MMU_SHADOW,	/* tables from gva, derived from the guest's: mmu/shadow/shadow.h */
};

/* Which change of a translation requires a flush before the MMU lock is dropped. */
enum flush_policy {
	FLUSH_IF_MMUW_CLEARED,	/* the bit that bounds what a TLB may hold is cleared */
	FLUSH_IF_W_CLEARED,	/* a writable one becomes read-only: the older rule */
};

/* (c) constant after creation  (a) atomic  [l] lock for write, read under it
 * (o) an object with a lock of its own */
struct mmu {
	struct rwlock lock;		/* (c) "the MMU lock", rank RANK_MMU */
	struct alloc *alloc;		/* (c) */
	struct slots *slots;		/* (c) */
	struct host_memory host;	/* (c) */
	struct pool tables;		/* (o) */
	enum mmu_mode mode;		/* (c) set it before mmu_init() */
	uint64_t hash_key[2];		/* (c) likewise: random, and unknown to the guest */
	const struct mmu_ops *ops;	/* (c) */
	struct table *root;		/* (c) of the direct tables, level 5; MMU_TDP */
	struct table *dead;		/* [l] direct tables that are linked no more */
	struct atomic32 n_dead;		/* (a) written under lock */
	struct atomic64 n_mmio_tables;	/* (a) of them made to remember MMIO */
	struct atomic64 unlinks;	/* (a) of tables, ever: ENTRY_STILL_LINKED */
	struct shadow *shadow;		/* (c) MMU_SHADOW */
	struct atomic32 flush_policy;	/* (a) enum flush_policy */
	struct atomic32 slot_zaps_all;	/* (a) with a slot go all shadow pages: shadow/zap.c */
	struct atomic64 max_pages;	/* (a) shadow pages; 0: by the memory's size */

	/*
	 * Host memory being taken away: mmu/notifier.h.  Set changes before
	 * mmu_init() if it is shared, or leave it NULL for own_changes.
	 */
	struct host_changes *changes;	/* (c) */
	struct host_changes own_changes; /* (o) */
	struct atomic64 invalidate_seq;	/* (a) ended ones that met a slot */

	/* The flush debt: mmu/tlb/flush.h. */
	struct atomic64 owed;		/* (a) */
	struct atomic64 paid;		/* (a) written under flush_lock */
	uint64_t age_debt;		/* [l] `paid` from which on no TLB hides a use */
	struct mutex flush_lock;	/* (c) rank RANK_FLUSH */

	/* Changed under slots_lock and flush_lock, read under one of them. */
	struct atomic_ptr vcpus[MMU_MAX_VCPUS]; /* (a) struct mmu_vcpu, or NULL */
	struct atomic32 n_vcpus;	/* (a) of the above in use, gaps included */

	/* N_VM_STATS counters; set it before mmu_init(), or leave it NULL to count in
	 * own_stats. */
	struct atomic64 *stats;		/* (c) of (a) */
	struct atomic64 own_stats[N_VM_STATS]; /* (a) */
};

static inline void mmu_count_n(struct mmu *m, enum vm_stat stat, uint64_t n)
{
	atomic64_fetch_add(&m->stats[stat], n);
}

#define mmu_count(m, name) mmu_count_n(m, VM_STAT_##name, 1)

/* Work done under the lock for write, in entries of tables and lists: between lock and unlock it
 * must not grow with anything that a guest chooses. */
static inline void mmu_visited(struct mmu *m, uint64_t n) REQUIRES(m->lock)
{
	atomic64_owner_add(&m->stats[VM_STAT_mmu_visited], n);
}

/*
 * @slots must be initialised; this MMU becomes the one that they call. 0 or -ENOMEM.
 */
int mmu_init(struct mmu *m, struct alloc *alloc, struct slots *slots,
	     struct host_memory host) MUST_CHECK;
/* No vCPU is left, and no thread in any call. */
void mmu_destroy(struct mmu *m);

/* 0, -ENOMEM, or -EINVAL if there are MMU_MAX_VCPUS. */
int mmu_vcpu_init(struct mmu_vcpu *v, struct mmu *m) MUST_CHECK;
/* It is not in guest mode, and will not be again. */
void mmu_vcpu_destroy(struct mmu_vcpu *v);

/*
 * The vCPU's thread has changed v->paging.  Flushes all translations; for a change of the
 * privilege alone there is tlb_set_privilege().
 */
void mmu_paging_changed(struct mmu_vcpu *v);

/* INVLPG.  In guest mode and back. */
void mmu_invlpg(struct mmu_vcpu *v, gva_t gva);

/*
 * KVM_SET_NR_MMU_PAGES and KVM_GET_NR_MMU_PAGES: the limit of shadow pages.  By default it is the
 * same share of the memory as in KVM. Direct tables are not limited.  No lock held, or the MMU
 * lock.
 */
#define MMU_MIN_PAGES 64u
void mmu_set_page_limit(struct mmu *m, uint64_t n_pages);
uint64_t mmu_page_limit(const struct mmu *m);

/* Is there an mmu_prefault() in this mode? */
bool mmu_can_prefault(enum mmu_mode mode);

/* Has the MMU to be told of writes to guest memory?  mmu_track_write(). */
static inline bool mmu_tracks_writes(const struct mmu *m)
{
	return m->ops->track_written;
}

/*
 * KVM_RESET_DIRTY_RINGS: frees the entries that the client has marked in every vCPU's ring.
 * Returns the number of entries.  No lock held.
 */
uint32_t mmu_reset_dirty_rings(struct mmu *m);

#endif
