/* SPDX-License-Identifier: MIT */
/*
 * kvm/hypercall.h - what the guest asks of KVM by VMCALL or VMMCALL.
 * Linux: Documentation/virt/kvm/x86/hypercalls.rst.
 */
#ifndef KVM_HYPERCALL_H
#define KVM_HYPERCALL_H

#include <stdbool.h>

struct vcpu;

/* The one that the vCPU has met.  False: it is the client's to answer, and kvm_run says what. */
bool hypercall_answer(struct vcpu *vcpu);
/* The client has. */
void hypercall_complete(struct vcpu *vcpu);

#endif
