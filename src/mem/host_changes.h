/* SPDX-License-Identifier: MIT */
/*
 * mem/host_changes.h - ranges of host memory that are about to change.
 *
 * Whoever unmaps, moves or protects host memory has the range on record meanwhile,
 * whether or not a slot has it: a slot, or a VM, may come into being before the change
 * is done.  A fault asks the record before it installs what it has found.  One record
 * serves all MMUs that show the same host memory.
 *
 * Nobody but a fault waits for a change to end, and it does so outside guest mode and
 * with no lock held: the thread that makes the change may itself wait for others, for
 * as long as they like (a handler of userfaultfd), and those may do what they like.
 */
#ifndef MEM_HOST_CHANGES_H
#define MEM_HOST_CHANGES_H

#include "base/list.h"
#include "base/types.h"
#include "sync/atomic.h"
#include "sync/lock.h"

/* On record from open to close; the caller's, on its stack. */
struct host_change {
	struct cds_list_head node;	/* [lock] */
	hva_t start, end;		/* [lock] */
	bool is_open;			/* the caller's own */
};

struct host_changes {
	struct mutex lock;		/* (c) rank RANK_CHANGES */
	struct cds_list_head open;	/* [lock] struct host_change */
	struct atomic32 n_open;		/* (a) of them; written under lock */
	struct atomic32 n_closed;	/* (a) ever: what faults sleep on */
	struct atomic32 n_asleep;	/* (a) */
};

void host_changes_init(struct host_changes *c);
void host_changes_destroy(struct host_changes *c);

/* Any thread, in any order, no lock held.  A full barrier. */
void host_change_open(struct host_changes *c, struct host_change *change, hva_t start, hva_t end);
void host_change_close(struct host_changes *c, struct host_change *change);

/* Is a change of any part of [start, end) on record?  Also under the MMU lock. */
bool host_changes_meet(struct host_changes *c, hva_t start, hva_t end);

/*
 * Waits until there is none, or for a moment: the caller has to look every so often at
 * what else is wanted of it.  Outside guest mode, no lock held.
 */
void host_changes_wait(struct host_changes *c, hva_t start, hva_t end);

#endif
