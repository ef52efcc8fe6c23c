/* SPDX-License-Identifier: MIT */
/*
 * mmu/guest/walk.h - walks of the guest's page tables, as the CPU makes them.
 *
 * All formats: 32-bit (4-byte entries, 4 MiB pages, PSE-36), PAE, 4 and 5 levels;
 * with NX, CR0.WP, SMEP, SMAP and protection keys.  SDM 3A chapter 4.
 */
#ifndef MMU_WALK_H
#define MMU_WALK_H

#include "mmu/guest/gpte.h"
#include "mmu/mmu.h"
#include "mmu/paging/table.h"
#include "mmu/tlb/tlb.h"
#include "mmu/verdict.h"

enum walk_verdict {
	WALK_OK,
	WALK_FAULT,	/* the guest's fault: walk.error_code */
	WALK_MISS,	/* our tables lack walk.missing: fault it in, walk again */
	WALK_BLOCKED,	/* walk.blocked says why an entry cannot be read */
	WALK_RACED,	/* others keep changing the entries, or a flush intervened */
};

#define WALK_MAX_STEPS 5

/* The address of an entry and its contents. */
struct walk_step {
	gpa_t gpa;
	uint64_t entry;
};

struct walk {
	/* what is asked */
	gva_t gva;
	enum access access;
	/* By step from the root, the marks of entries in read-only memory: there A and D are
	 * not set. */
	uint64_t read_only[WALK_MAX_STEPS];
	/* the result */
	struct tlb_stamp stamp;	/* by our tables: from before the walk */
	gpa_t gpa;
	uint32_t error_code;
	bool writable;		/* a write is allowed, and the entry is dirty */
	bool dirty;		/* the entry is, or may be taken for it */
	int level;		/* of the leaf, in the guest's tables */
	struct rights rights;
	struct gpt_kind kind;
	struct walk_step step[WALK_MAX_STEPS];
	int n_steps;
	/* for WALK_MISS */
	gpa_t missing;
	enum access missing_access; /* ACCESS_WRITE: to set an entry's A or D bit */
	int missing_step;	/* and this the entry's number */
	struct table_entry entry; /* ours that does not translate it */
	void *absent;		/* not NULL: translated, but the host has no page there */
	/* for WALK_BLOCKED */
	enum mmu_verdict blocked;
};

/* All that a walk needs; the rest is its result. */
static inline void walk_begin(struct walk *w, gva_t gva, enum access access)
{
	w->gva = gva;
	w->access = access;
	for (int i = 0; i < WALK_MAX_STEPS; i++)
		w->read_only[i] = 0;
}

/* Never 0: entries are aligned. */
static inline uint64_t walk_read_only_mark(gpa_t entry)
{
	return entry.raw | 1;
}

/* By our direct tables, in guest mode; the privilege is that of v->paging, here
 * and below. */
enum walk_verdict walk_guest(struct mmu_vcpu *v, struct walk *w);

/* By the memory slots, outside guest mode.  MMU_OK, MMU_GUEST_FAULT, MMU_RETRY, or the reason why
 * an entry cannot be read. */
enum mmu_verdict walk_guest_slots(struct mmu_vcpu *v, struct walk *w);

/*
 * Renews the stamp of a walk that led to a fault, which has been taken.  False: walk again, there
 * was a flush.
 */
bool walk_renew(struct mmu_vcpu *v, struct walk *w);

/*
 * The host address of a page of the guest's tables, if our direct tables translate it for this
 * access.  NULL: *e is the entry that does not.  In guest mode; valid for @stamp.  Sets A, and D
 * for a write.  Pinned while it lasts.
 */
void *walk_gpa(struct mmu_vcpu *v, struct tlb_stamp stamp, gpa_t gpa, enum access access,
	       struct table_entry *e);

#endif
