/* SPDX-License-Identifier: MIT */
/*
 * mmu/tlb/tlb.h - the software TLB: hit path and flushes.
 *
 * TLB_OWNER_ONLY: everything here is called by the vCPU's own thread; others
 * post a request (mmu/tlb/request.h).
 */
#ifndef MMU_TLB_H
#define MMU_TLB_H

#include "mmu/limits.h"
#include "mmu/vcpu.h"
#include "sync/window.h"

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

/* 0 or -ENOMEM. */
int tlb_init(struct mmu_vcpu *v) MUST_CHECK;
void tlb_destroy(struct mmu_vcpu *v);

static ALWAYS_INLINE struct tlb_entry *tlb_entry_of(const struct mmu_vcpu *v, gva_t gva)
{
	return &v->tlb[(gva.raw >> PAGE_SHIFT) & (TLB_ENTRIES - 1)];
}

/*
 * The tag that an access of @bytes at @gva must find.  It is that of the last byte's page, in the
 * entry of the first byte's: an access that crosses a page boundary never hits.
 */
static ALWAYS_INLINE uint64_t tlb_tag(const struct mmu_vcpu *v, gva_t gva, unsigned int bytes)
{
	return ((gva.raw + bytes - 1) & PAGE_MASK) | v->tlb_context;
}

/* The flush number of the entries that can hit. */
static ALWAYS_INLINE uint64_t tlb_flush_number(const struct mmu_vcpu *v)
{
	return (v->tlb_context & PAGE_OFFSET_MASK) >> TLB_FLUSH_SHIFT;
}

/*
 * The hit path: one window (sync/window.h).  False: no entry, or the access faulted.  In guest
 * mode.  load_at also returns the address, for later accesses of the same instruction: valid for
 * the epoch read before.
 */
#define TLB_DEFINE_HITS(bits)                                                                 \
	static ALWAYS_INLINE bool tlb_load_at##bits(const struct mmu_vcpu *v, gva_t gva,      \
						    bool to_modify, void **host,              \
						    uint##bits##_t *value)                    \
	{                                                                                     \
		const struct tlb_entry *e = tlb_entry_of(v, gva);                             \
											      \
		return window_hit_load_at##bits(&v->tlb_context,                              \
						to_modify ? &e->write : &e->read, &e->addend, \
						(gva.raw + bits / 8 - 1) & PAGE_MASK,         \
						gva.raw, host, value);                        \
	}                                                                                     \
	static ALWAYS_INLINE bool tlb_load##bits(const struct mmu_vcpu *v, gva_t gva,         \
						 uint##bits##_t *value)                       \
	{                                                                                     \
		void *unused;                                                                 \
											      \
		return tlb_load_at##bits(v, gva, false, &unused, value);                      \
	}                                                                                     \
	static ALWAYS_INLINE bool tlb_store##bits(const struct mmu_vcpu *v, gva_t gva,        \
						  uint##bits##_t value)                       \
	{                                                                                     \
		const struct tlb_entry *e = tlb_entry_of(v, gva);                             \
											      \
		return window_hit_store##bits(&v->tlb_context, &e->write, &e->addend,         \
					      (gva.raw + bits / 8 - 1) & PAGE_MASK, gva.raw,  \
					      value);                                         \
	}

TLB_DEFINE_HITS(8)
TLB_DEFINE_HITS(16)
TLB_DEFINE_HITS(32)
TLB_DEFINE_HITS(64)

/*
 * For other accesses: the host address, or NULL.  In guest mode; use it in a window with the
 * epoch read before this call.
 */
static ALWAYS_INLINE void *tlb_read(const struct mmu_vcpu *v, gva_t gva, unsigned int bytes)
{
	const struct tlb_entry *e = tlb_entry_of(v, gva);

	if (unlikely(e->read != tlb_tag(v, gva, bytes)))
		return NULL;
	return (void *)(uintptr_t)(gva.raw + e->addend);
}

static ALWAYS_INLINE void *tlb_write(const struct mmu_vcpu *v, gva_t gva, unsigned int bytes)
{
	const struct tlb_entry *e = tlb_entry_of(v, gva);

	if (unlikely(e->write != tlb_tag(v, gva, bytes)))
		return NULL;
	return (void *)(uintptr_t)(gva.raw + e->addend);
}

static ALWAYS_INLINE void *tlb_exec(const struct mmu_vcpu *v, gva_t gva)
{
	const struct tlb_entry *e = tlb_entry_of(v, gva);

	if (unlikely(e->exec != tlb_tag(v, gva, 1)))
		return NULL;
	return (void *)(uintptr_t)(gva.raw + e->addend);
}

/*
 * Sampled before a walk: its results are valid while the epoch is unchanged, and become entries
 * of this context.  A flush during the walk makes all of them stale.
 */
struct tlb_stamp {
	uint64_t epoch, context;
};

/* The owner, in guest mode. */
struct tlb_stamp tlb_stamp(struct mmu_vcpu *v);

/* What a walk has found for an address. */
struct tlb_page {
	const void *host;	/* of the address itself */
	bool writable;		/* writes may hit the entry too */
	bool large;		/* the guest's page, or ours, is over 4 KiB */
};

/*
 * Makes an entry for the page at @gva.  @stamp: sampled before @page was looked up.  True: a
 * write to a page that this TLB held for execution.
 */
bool tlb_fill(struct mmu_vcpu *v, gva_t gva, enum access access, struct tlb_stamp stamp,
	      struct tlb_page page);

/* Flushes everything, or the page at @gva (INVLPG). */
void tlb_flush_all(struct mmu_vcpu *v);
void tlb_flush_page(struct mmu_vcpu *v, gva_t gva);

/*
 * From now on accesses to these pages, and to no others, never hit: each is translated anew.  At
 * most TLB_WATCHES.  Also outside guest mode.
 */
void tlb_watch(struct mmu_vcpu *v, const struct tlb_watch *watches, unsigned int n);

/* Follows a change of paging.cpl, paging.ac or CR4.SMAP. */
void tlb_set_privilege(struct mmu_vcpu *v);

#endif
