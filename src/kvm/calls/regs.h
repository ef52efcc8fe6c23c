/* SPDX-License-Identifier: MIT */
/* kvm/calls/regs.h - registers for KVM_GET/SET_* and for kvm_run's sync_regs. */
#ifndef KVM_REGS_H
#define KVM_REGS_H

#include <linux/kvm.h>

#include "cpu/cpu.h"

struct vcpu;

void regs_get(struct cpu *cpu, struct kvm_regs *r);
void regs_set(struct cpu *cpu, const struct kvm_regs *r);
void sregs_get(struct cpu *cpu, struct kvm_sregs *s);
/* 0, or -EINVAL and nothing has changed. */
int sregs_set(struct cpu *cpu, const struct kvm_sregs *s) MUST_CHECK;
void events_get(struct vcpu *vcpu, struct kvm_vcpu_events *e);
int events_set(struct vcpu *vcpu, const struct kvm_vcpu_events *e) MUST_CHECK;

#endif
