/* SPDX-License-Identifier: MIT */
/*
 * mmu/ops.h - what the two paging modes do differently: all of it.
 *
 * A mode is chosen once, by mmu_init(); nothing else asks which it is.
 */
#ifndef MMU_OPS_H
#define MMU_OPS_H

#include "mem/slots.h"
#include "mmu/paging/paging.h"
#include "mmu/paging/range.h"
#include "mmu/verdict.h"

struct mmu;
struct mmu_result;
struct mmu_vcpu;

/* What becomes of the marks of use. */
enum age {
	AGE_TEST,		/* they stay */
	AGE_CLEAR,		/* TLBs keep what they have: it costs only precision, and
				 * leaves a debt (AGE_LEAVES_DEBT) */
	AGE_CLEAR_FLUSH,	/* an access from now on is seen, whoever cleared before */
};

/* Which unlinked tables are freed, those after a flush. */
enum reap {
	REAP_IF_MANY,		/* none, unless many wait */
	REAP_ALL,
};

struct mmu_ops {
	/* 0 or -ENOMEM; destroy is called in either case. */
	int (*init)(struct mmu *m);
	void (*destroy)(struct mmu *m);

	/*
	 * By the vCPU's thread.  translate, in guest mode: mmu_translate(), which has found
	 * no MMIO remembered.
	 */
	enum mmu_verdict (*translate)(struct mmu_vcpu *v, gva_t gva, enum access access,
				      struct mmu_result *result);
	/* mmu_prefault(); NULL: nothing is mapped but by a guest virtual address. */
	enum mmu_verdict (*prefault)(struct mmu_vcpu *v, gpa_t gpa, uint64_t *bytes);

	/*
	 * Of a mode that makes its tables from the guest's; all NULL in one that does not.
	 * invlpg, in guest mode and back: the TLB has forgotten the page.  track_written,
	 * outside: see mmu_track_write().  drop_roots, outside: those that are obsolete
	 * (REQUEST_ROOTS).  vcpu_destroy: drops what the vCPU holds.
	 */
	void (*invlpg)(struct mmu_vcpu *v, gva_t gva);
	void (*track_written)(struct mmu_vcpu *v, gpa_t gpa, unsigned int bytes);
	void (*drop_roots)(struct mmu_vcpu *v);
	void (*vcpu_destroy)(struct mmu_vcpu *v);
	/* Zaps some of the pages that are over the limit.  True: there are more.  No lock. */
	bool (*trim)(struct mmu *m);

	/* For the host, with the MMU lock held for write.  Drops every leaf that overlaps a
	 * piece of @r; returns their number.  The caller records the debt. */
	uint64_t (*zap_leafs)(struct mmu *m, struct range *r);
	/* True if any leaf in a piece of @r was used since that was last cleared.  The caller
	 * flushes. */
	bool (*age)(struct mmu *m, struct range *r, enum age how);

	/* Take the MMU lock.  If smaller pages of our own choice map the large frame of @level
	 * that begins at @gfn, zaps them, so that the next fault maps it as a whole.  TLB entries
	 * stay correct. */
	bool (*is_split)(struct mmu *m, gfn_t gfn, int level);
	void (*collapse)(struct mmu *m, gfn_t gfn, int level);
	/* Frees unlinked tables.  No lock held, no RCU section; flushes. */
	void (*reap)(struct mmu *m, enum reap which);

	/* What a change of the memory slots asks. */
	struct slots_ops slots;
};

#endif
