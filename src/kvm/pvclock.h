/* SPDX-License-Identifier: MIT */
/*
 * kvm/pvclock.h - kvmclock: a clock that the guest reads from a page and its time-stamp counter.
 *
 * It shows nanoseconds since the VM was made, or since what KVM_SET_CLOCK says.  Each vCPU has a
 * page of its own; all derive from one instant and the counters, which are alike as far as the
 * client leaves them so, and the pages change only when one of these does.
 */
#ifndef KVM_PVCLOCK_H
#define KVM_PVCLOCK_H

#include "cpu/cpu.h"
#include "mmu/verdict.h"
#include "sync/atomic.h"

struct vm;
struct vcpu;

/* (c) constant after creation  (a) atomic */
struct pvclock {
	uint64_t tsc;			/* (c) the host's counter, at that instant */
	struct atomic64 offset;		/* (a) ns that the clock shows then */
	struct atomic64 tsc_offset;	/* (a) of the vCPU that the others follow */
	struct atomic32 tsc_khz;	/* (a) its rate; 0: there is none */
	struct atomic32 n_apart;	/* (a) vCPUs whose counter has another offset or rate */
};

void pvclock_init(struct pvclock *c);
uint64_t pvclock_now(const struct pvclock *c);

/* The client writes the counter.  As in the kernel zero, and what the counter of the others
 * shows within a second, mean: as theirs. */
void pvclock_write_tsc(struct vcpu *vcpu, uint64_t value);

/* Writes what the guest's pages should show and do not.  vcpu->lock held, outside guest mode.
 * MMU_OK also if there is no such page; MMU_RETRY, MMU_RING_FULL: not yet. */
enum mmu_verdict pvclock_update(struct vcpu *vcpu);

#endif
