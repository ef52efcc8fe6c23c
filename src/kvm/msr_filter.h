/* SPDX-License-Identifier: MIT */
/*
 * kvm/msr_filter.h - which MSRs the guest may access, and which of its accesses the client
 * answers: KVM_X86_SET_MSR_FILTER, KVM_CAP_X86_USER_SPACE_MSR.
 *
 * The filter is replaced as a whole, by RCU: a running guest meets the new one at its next access.
 */
#ifndef KVM_MSR_FILTER_H
#define KVM_MSR_FILTER_H

#include "cpu/cpu.h"
#include "sync/atomic.h"

struct vm;

/* (a) atomic */
struct msr_filters {
	struct atomic_ptr filter;	/* (a) struct msr_filter, replaced under vm->lock; NULL */
	struct atomic32 exits;		/* (a) KVM_MSR_EXIT_REASON_*: what the client answers */
};

/* Of the processor of a struct vcpu. */
extern const struct cpu_msr_policy msr_filter_policy;

/* KVM_CAP_X86_USER_SPACE_MSR.  0 or -EINVAL. */
long msr_filter_set_exits(struct vm *vm, uint64_t reasons);
/* KVM_EXIT_X86_RDMSR's and _WRMSR's reason. */
uint32_t msr_filter_reason(enum msr_trouble why);

/* There are no vCPUs any more. */
void msr_filter_destroy(struct vm *vm);

#endif
