/* SPDX-License-Identifier: MIT */
/*
 * kvm/revoke.h - a change of the process's memory, in step with all of its VMs.
 */
#ifndef KVM_REVOKE_H
#define KVM_REVOKE_H

#include "base/types.h"
#include "mem/host_changes.h"
#include "sync/thread.h"

struct hva_range {
	hva_t start, end;
};
#define REVOKE_MAX_RANGES 8u

static inline bool hva_range_is_empty(struct hva_range r)
{
	return hva_le(r.end, r.start);
}

/*
 * Runs @change while the ranges are invalidated in every VM of the process, including VMs created
 * meanwhile, by the rules of mmu/notifier.h.  Before process_init(), and in a child that has not
 * called it, it only runs @change.  No lock is held meanwhile, and only faults on these ranges
 * wait; but signal handlers do not run on this thread, since one that never returned would leave
 * the record open for ever.  @n is at most REVOKE_MAX_RANGES.
 */
void revoke_around(const struct hva_range *ranges, unsigned int n, void (*change)(void *ctx),
		   void *ctx);

/* The same in two parts, on one thread.  Every begin needs its end, which keeps errno. */
struct revocation {
	unsigned int n;
	struct hva_range ranges[REVOKE_MAX_RANGES];
	struct host_change record[REVOKE_MAX_RANGES];
	thread_sigmask_t saved;
};

void revoke_begin(struct revocation *r, const struct hva_range *ranges, unsigned int n);
void revoke_end(struct revocation *r);

#endif
