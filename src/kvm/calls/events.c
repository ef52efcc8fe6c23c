/* SPDX-License-Identifier: MIT */
/* kvm/calls/events.c - exceptions, interrupts and NMIs that wait for their delivery. */
#include "cpu/event/interrupt.h"
#include "kvm/calls/call.h"
#include "kvm/calls/regs.h"
#include "kvm/irqchip/irqchip.h"

void events_get(struct cpu *cpu, struct kvm_vcpu_events *e)
{
	const struct cpu_event *event = &cpu->event;
	int vector = interrupt_accepted(cpu);

	*e = (struct kvm_vcpu_events){
		.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW,
		.interrupt.shadow = cpu->interrupt_shadow,
		.nmi.injected = interrupt_nmi_accepted(cpu),
		.nmi.pending = !!cpu->interrupts.nmis,
		.nmi.masked = cpu->interrupts.nmi_blocked,
	};
	if (vector >= 0) {
		e->interrupt.injected = 1;
		e->interrupt.nr = (uint8_t)vector;
	}
	if (event->pending && !event->software && !event->interrupt) {
		/* A software interrupt recurs when its instruction runs again. */
		e->exception.injected = 1;
		e->exception.nr = event->vector;
		e->exception.has_error_code = event->has_error;
		e->exception.error_code = event->error_code;
	}
}

_Static_assert(SHADOW_MOV_SS == KVM_X86_SHADOW_INT_MOV_SS && SHADOW_STI == KVM_X86_SHADOW_INT_STI,
	       "the client's bits");

/* Without the shadow no #DB is held back. */
static void set_shadow(struct cpu *cpu, uint8_t shadow)
{
	cpu->interrupt_shadow = shadow & (SHADOW_MOV_SS | SHADOW_STI);
	if (!(shadow & SHADOW_MOV_SS))
		cpu->debug.held = 0;
}

int events_set(struct cpu *cpu, const struct kvm_vcpu_events *e)
{
	const uint32_t known = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
			       KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;

	if (e->flags & ~known)
		return -EINVAL;
	if (e->exception.injected && (e->exception.nr > 31 || e->exception.nr == EXC_NMI))
		return -EINVAL;
	/* INT n recurs; there is no SMM. */
	if ((e->interrupt.injected && e->interrupt.soft) ||
	    ((e->flags & KVM_VCPUEVENT_VALID_SMM) && (e->smi.smm || e->smi.pending)))
		return -EINVAL;

	cpu->event = (struct cpu_event){
		.pending = e->exception.injected,
		.vector = e->exception.nr,
		.has_error = e->exception.has_error_code,
		.error_code = e->exception.error_code,
	};
	interrupt_restore(cpu, &(struct cpu_interrupts){
		.accepted = e->interrupt.injected,
		.vector = e->interrupt.nr,
		.nmi_accepted = e->nmi.injected,
		.nmis = e->flags & KVM_VCPUEVENT_VALID_NMI_PENDING ?
				(uint8_t)MIN(e->nmi.pending, 2) : cpu->interrupts.nmis,
		.nmi_blocked = e->nmi.masked,
	});
	if (e->flags & KVM_VCPUEVENT_VALID_SHADOW)
		set_shadow(cpu, e->interrupt.shadow);
	return 0;
}

long call_get_vcpu_events(struct call *c)
{
	events_get(&c->vcpu->cpu, c->data);
	return 0;
}

long call_set_vcpu_events(struct call *c)
{
	return events_set(&c->vcpu->cpu, c->data);
}

/* The client asks first: kvm_run.ready_for_interrupt_injection. */
long call_interrupt(struct call *c)
{
	const struct kvm_interrupt *interrupt = c->data;

	if (interrupt->irq > 255)
		return -EINVAL;
	if (c->vcpu->irqchip)
		return irqchip_queue_external(c->vcpu, (uint8_t)interrupt->irq);
	interrupt_accept(&c->vcpu->cpu, (uint8_t)interrupt->irq);
	return 0;
}

long call_nmi(struct call *c)
{
	interrupt_nmi(&c->vcpu->cpu);
	return 0;
}
