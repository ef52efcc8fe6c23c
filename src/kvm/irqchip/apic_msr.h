/* SPDX-License-Identifier: MIT */
/* kvm/irqchip/apic_msr.h - the local APIC as the processor's MSRs reach it. */
#ifndef KVM_IRQCHIP_APIC_MSR_H
#define KVM_IRQCHIP_APIC_MSR_H

#include "cpu/cpu.h"

/* Of the processor of a struct vcpu with vcpu->irqchip. */
extern const struct cpu_apic apic_of_cpu;

#endif
