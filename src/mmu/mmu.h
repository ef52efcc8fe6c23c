/* SPDX-License-Identifier: MIT */
/*
 * mmu/mmu.h - the MMU of one VM.
 *
 * Knows no instruction set engine and no ioctl.  Below it are the memory slots
 * and the host memory; above it whoever runs vCPUs.
 */
#ifndef MMU_MMU_H
#define MMU_MMU_H

#include "mem/alloc.h"
#include "mem/host.h"
#include "mem/slots.h"
#include "mmu/spte.h"
#include "mmu/vcpu.h"
#include "sync/lock.h"

#define MMU_MAX_VCPUS 1024u

enum vm_stat {
#define VM_STAT(name, kind, text) VM_STAT_##name,
#define VCPU_STAT(name, kind, text)
#include "base/stats.def"
#undef VM_STAT
#undef VCPU_STAT
	N_VM_STATS,
};

/* A page table of ours, and what is known about it. */
struct table {
	struct spte_slot spte[ENTRIES_PER_TABLE];
	struct table *next_dead;	/* of its zapper: unlinked, not yet freed */
	int level;			/* (c) of its entries */
};

/* (c) constant after creation  (a) atomic  [l] lock for write, read under it */
struct mmu {
	struct rwlock lock;		/* (c) "the MMU lock", rank RANK_MMU */
	struct alloc *alloc;		/* (c) */
	struct slots *slots;		/* (c) */
	struct host_memory host;	/* (c) */
	struct pool tables;		/* (c) */
	struct table *root;		/* (c) of the direct tables, level 5 */

	/* Host memory being taken away: mmu/notifier.h. */
	struct atomic64 invalidate_seq;	/* (a) written under lock */
	unsigned int invalidate_count;	/* [l] */
	hva_t invalidate_start;		/* [l] hull of the open invalidations */
	hva_t invalidate_end;		/* [l] */

	/* The flush debt: mmu/flush.h. */
	struct atomic64 owed;		/* (a) */
	struct atomic64 paid;		/* (a) written under flush_lock */
	struct mutex flush_lock;	/* (c) rank RANK_FLUSH */
	struct atomic32 flush_round;	/* (a) 1: one is under way; written under flush_lock */
	struct atomic32 flush_parked;	/* (a) vCPUs that sleep until it is over */

	/* Changed under slots_lock and flush_lock, read under one of them. */
	struct atomic_ptr vcpus[MMU_MAX_VCPUS]; /* struct mmu_vcpu, or NULL */
	struct atomic32 n_vcpus;	/* (a) of the above in use, gaps included */

	/* (c) N_VM_STATS counters; set it before mmu_init(), or leave it NULL to
	 * count in own_stats. */
	struct atomic64 *stats;
	struct atomic64 own_stats[N_VM_STATS];
};

static inline void mmu_count_n(struct mmu *m, enum vm_stat stat, uint64_t n)
{
	atomic64_fetch_add(&m->stats[stat], n);
}

#define mmu_count(m, name) mmu_count_n(m, VM_STAT_##name, 1)

/*
 * @slots must have been initialised and become this MMU's: it answers for them.
 * 0 or -ENOMEM.
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
 * The vCPU's thread has changed v->paging.  Everything but a change of only the
 * privilege (tlb_set_privilege()) forgets all translations.
 */
void mmu_paging_changed(struct mmu_vcpu *v);

/*
 * KVM_RESET_DIRTY_RINGS: takes back what the client has marked in every vCPU's
 * ring.  Returns the number of entries.  No lock held.
 */
uint32_t mmu_reset_dirty_rings(struct mmu *m);

#endif
