/* SPDX-License-Identifier: MIT */
/*
 * kvm/steal_time.h - KVM_FEATURE_STEAL_TIME: the guest reads for how long each of its vCPUs could
 * have run and did not, since its thread had no processor.
 *
 * The host counts that for the thread.  It is looked at when KVM_RUN begins and while it runs, but
 * not more often than every few milliseconds: it is a file that is opened, and a guest's
 * accounting is no finer.  Once the client has a filter for its system calls, the time stands
 * still.
 */
#ifndef KVM_STEAL_TIME_H
#define KVM_STEAL_TIME_H

#include <stdint.h>

#include "mmu/verdict.h"

struct vcpu;

/* [l] vcpu->lock */
struct steal_time {
	uint64_t looked;	/* [l] the host's counter, at the last look */
	const void *thread;	/* [l] the one that was looked at: where a variable of its own is */
	uint64_t waited_ns;	/* [l] what the host had counted for it */
	uint64_t owed_ns;	/* [l] not in the guest's structure yet */
};

/* Writes what the guest's structure should show and does not.  vcpu->lock held, outside guest
 * mode.  MMU_OK also if there is none; MMU_RETRY, MMU_RING_FULL: not yet. */
enum mmu_verdict steal_time_update(struct vcpu *vcpu);

#endif
