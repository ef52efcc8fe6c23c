/* SPDX-License-Identifier: MIT */
/*
 * mem/host_changes.h - ranges of host memory that are about to change.
 *
 * While host memory is being unmapped, moved or protected, the range is on record, whether or not
 * a slot covers it: a slot, or a VM, may be created before the change is done.  A fault checks
 * the record before it installs a translation.  One record serves all MMUs that map the same host
 * memory.
 *
 * Only faults wait for a change to end, outside guest mode and with no lock held: the thread that
 * makes the change may itself wait for other threads for any time (a handler of userfaultfd), and
 * those may make any call.
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

/* True if a change of any part of [start, end) is on record.  Also under the MMU lock. */
bool host_changes_meet(struct host_changes *c, hva_t start, hva_t end);

/*
 * Waits until there is none, or for a moment: the caller must check for other work from time to
 * time.  Outside guest mode, no lock held.
 */
void host_changes_wait(struct host_changes *c, hva_t start, hva_t end);

#endif
