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
#include "mmu/range.h"
#include "mmu/spte.h"
#include "mmu/vcpu.h"
#include "sync/lock.h"

enum vm_stat {
#define VM_STAT(name, kind, text) VM_STAT_##name,
#define VCPU_STAT(name, kind, text)
#include "base/stats.def"
#undef VM_STAT
#undef VCPU_STAT
	N_VM_STATS,
};

/* One of our page tables, and what we record about it. */
struct table {
	struct spte_slot spte[ENTRIES_PER_TABLE];
	struct table *next_dead;	/* [l] or of its zapper: unlinked, not yet freed */
	int level;			/* (c) of its entries */
	bool for_mmio;			/* (c) direct: made to remember MMIO */
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

/* The operations of a paging mode. */
struct mmu_ops {
	/* 0 or -ENOMEM; destroy is called in either case. */
	int (*init)(struct mmu *m);
	void (*destroy)(struct mmu *m);
	/* Drops every leaf that overlaps a piece of @r, with the MMU lock held for write; returns
	 * their number.  The caller records the debt. */
	uint64_t (*zap_leafs)(struct mmu *m, struct range *r);
	/* Take the MMU lock.  The first drops every MMIO entry: the slots' generation is marked,
	 * so that none is installed meanwhile.  The second drops the slot [start, end), and
	 * flushes. */
	void (*zap_mmio)(struct mmu *m);
	void (*zap_slot)(struct mmu *m, gfn_t start, gfn_t end);
	/* Take the MMU lock: for logging.  The caller flushes. */
	void (*write_protect)(struct mmu *m, gfn_t start, gfn_t end, int first_level);
	void (*write_protect_mask)(struct mmu *m, gfn_t first, uint64_t mask);
	/* With the MMU lock held for write: true if any leaf in a piece of @r was used since that
	 * was last cleared.  @clear: clears it. */
	bool (*age)(struct mmu *m, struct range *r, bool clear);
	/* Take the MMU lock.  If smaller pages of our own choice map the large frame of @level
	 * that begins at @gfn, zaps them, so that the next fault maps it as a whole.  TLB entries
	 * stay correct. */
	bool (*is_split)(struct mmu *m, gfn_t gfn, int level);
	void (*collapse)(struct mmu *m, gfn_t gfn, int level);
	/* Frees unlinked tables, if there are many, or @all.  No lock held, no RCU section;
	 * flushes. */
	void (*reap)(struct mmu *m, bool all);
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
	struct shadow *shadow;		/* (c) MMU_SHADOW */
	struct atomic32 flush_policy;	/* (a) enum flush_policy */
	struct atomic64 max_pages;	/* (a) shadow pages; 0: by the memory's size */

	/*
	 * Host memory being taken away: mmu/notifier.h.  Set changes before
	 * mmu_init() if it is shared, or leave it NULL for own_changes.
	 */
	struct host_changes *changes;	/* (c) */
	struct host_changes own_changes; /* (o) */
	struct atomic64 invalidate_seq;	/* (a) ended ones that met a slot */

	/* The flush debt: mmu/flush.h. */
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
	rwlock_assert_held_write(&m->lock);
	atomic64_owner_add(&m->stats[VM_STAT_mmu_visited], n);
}

/* Counts @n more leafs of this level. */
void mmu_count_leafs(struct mmu *m, int level, int64_t n);

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

/*
 * KVM_RESET_DIRTY_RINGS: frees the entries that the client has marked in every vCPU's ring.
 * Returns the number of entries.  No lock held.
 */
uint32_t mmu_reset_dirty_rings(struct mmu *m);

#endif
