/* SPDX-License-Identifier: MIT */
/*
 * mmu/tlb.h - the software TLB: the hit path, and how it is emptied.
 *
 * TLB_OWNER_ONLY: everything here is called by the vCPU's own thread; others
 * post a request (mmu/request.h).
 */
#ifndef MMU_TLB_H
#define MMU_TLB_H

#include "mmu/vcpu.h"

/* 0 or -ENOMEM. */
int tlb_init(struct mmu_vcpu *v) MUST_CHECK;
void tlb_destroy(struct mmu_vcpu *v);

static ALWAYS_INLINE struct tlb_entry *tlb_entry_of(const struct mmu_vcpu *v, gva_t gva)
{
	return &v->tlb[(gva >> PAGE_SHIFT) & (TLB_ENTRIES - 1)];
}

/*
 * The tag that an access of @bytes at @gva must find.  It is that of the last
 * byte's page in the entry of the first byte's: an access that leaves its page
 * never hits.
 */
static ALWAYS_INLINE uint64_t tlb_tag(const struct mmu_vcpu *v, gva_t gva, unsigned int bytes)
{
	return ((gva + bytes - 1) & PAGE_MASK) | v->tlb_context;
}

/*
 * The hit path.  Host address or NULL.  In guest mode; the address is good until
 * guest mode is next left, and no longer.
 */
static ALWAYS_INLINE void *tlb_read(const struct mmu_vcpu *v, gva_t gva, unsigned int bytes)
{
	const struct tlb_entry *e = tlb_entry_of(v, gva);

	if (unlikely(e->read != tlb_tag(v, gva, bytes)))
		return NULL;
	return (void *)(uintptr_t)(gva + e->addend);
}

static ALWAYS_INLINE void *tlb_write(const struct mmu_vcpu *v, gva_t gva, unsigned int bytes)
{
	const struct tlb_entry *e = tlb_entry_of(v, gva);

	if (unlikely(e->write != tlb_tag(v, gva, bytes)))
		return NULL;
	return (void *)(uintptr_t)(gva + e->addend);
}

static ALWAYS_INLINE void *tlb_exec(const struct mmu_vcpu *v, gva_t gva)
{
	const struct tlb_entry *e = tlb_entry_of(v, gva);

	if (unlikely(e->exec != tlb_tag(v, gva, 1)))
		return NULL;
	return (void *)(uintptr_t)(gva + e->addend);
}

/*
 * Makes an entry for the page at @gva: @host is where @gva itself lies.  @writable:
 * a write may hit it too.  @large: it was made from a page over 4 KiB.  True: a
 * write to what this TLB held for execution.
 */
bool tlb_fill(struct mmu_vcpu *v, gva_t gva, enum access access, const void *host, bool writable,
	      bool large);

/* Forgets everything, or the page at @gva (INVLPG), or one kind of access. */
void tlb_flush_all(struct mmu_vcpu *v);
void tlb_flush_page(struct mmu_vcpu *v, gva_t gva);

/* Follows a change of paging.cpl, paging.ac or CR4.SMAP. */
void tlb_set_privilege(struct mmu_vcpu *v);

#endif
