/* SPDX-License-Identifier: MIT */
/*
 * kvm/irqchip/apic.h - a vCPU with a local APIC: between the processor (cpu/), which asks for
 * nothing but an event to deliver, and machine/.  The vCPU's own thread; only with vcpu->irqchip.
 */
#ifndef KVM_IRQCHIP_APIC_H
#define KVM_IRQCHIP_APIC_H

#include "kvm/irqchip/irqchip.h"

/* Of a vCPU that is being made; it can be taken back until it is added. */
void apic_init(struct vcpu *vcpu, struct irqchip *chip);
void apic_destroy(struct vcpu *vcpu);
void apic_add(struct vcpu *vcpu);

/* The client has replaced the CPUID. */
void apic_cpuid_changed(struct vcpu *vcpu);

/*
 * Takes over what has come meanwhile: INIT and SIPI, NMIs, an expired timer; ends a halt.
 * vcpu->mp_state and registers may change.
 */
void apic_take_events(struct vcpu *vcpu);
/* Before the guest runs on: an interrupt is accepted, or the first chance for it waited for. */
void apic_offer_interrupt(struct vcpu *vcpu);
/* After it: CR8 may have changed. */
void apic_after_run(struct vcpu *vcpu);
/* Sleeps until vcpu->mp_state changes: 0, or -EINTR because of a signal. */
int apic_wait(struct vcpu *vcpu, thread_sigmask_t blocked);

/* An EOI that the client's IOAPIC is to hear of: its vector, or -1.  Each is given once. */
int apic_take_eoi(struct vcpu *vcpu);
/* Is it the client's PIC that interrupts it, with none of its interrupts waiting? */
bool apic_hears_external(const struct vcpu *vcpu);

/* The access that the vCPU has met: true if it was a device's of ours, and is answered. */
bool apic_takes_mmio(struct vcpu *vcpu, uint8_t data[8]);
bool apic_takes_io(struct vcpu *vcpu);

#endif
