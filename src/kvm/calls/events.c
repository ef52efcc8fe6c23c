/* SPDX-License-Identifier: MIT */
/* kvm/calls/events.c - exceptions, interrupts and NMIs that wait for their delivery. */
#include "cpu/event/interrupt.h"
#include "kvm/calls/call.h"
#include "kvm/calls/regs.h"
#include "kvm/irqchip/irqchip.h"

#define OPCODE_INT3 0xcc
#define OPCODE_INT 0xcd

/* A software interrupt recurs when its instruction runs again. */
static void get_exception(const struct vcpu *vcpu, struct kvm_vcpu_events *e)
{
	const struct cpu_event *event = &vcpu->cpu.event;

	if (!event->pending || event->software || event->interrupt)
		return;
	e->exception.nr = event->vector;
	e->exception.has_error_code = event->has_error;
	e->exception.error_code = event->error_code;
	/* With a payload it has not reached CR2 or DR6 yet. */
	e->exception.pending = event->has_payload;
	e->exception.injected = !event->has_payload;
	e->exception_has_payload = event->has_payload;
	e->exception_payload = event->payload;
}

void events_get(struct vcpu *vcpu, struct kvm_vcpu_events *e)
{
	const struct cpu *cpu = &vcpu->cpu;
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
	get_exception(vcpu, e);
	if (atomic32_load_relaxed(&vcpu->vm->has_payloads))
		e->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (atomic32_load_relaxed(&vcpu->vm->has_triple_faults)) {
		e->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
		e->triple_fault.pending = cpu->shutdown;
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

/* The flags that the client may set, by what it has enabled. */
static uint32_t known_flags(const struct vm *vm)
{
	uint32_t known = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
			 KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;

	if (atomic32_load_relaxed(&vm->has_payloads))
		known |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (atomic32_load_relaxed(&vm->has_triple_faults))
		known |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	return known;
}

/* Pending or injected is the same to us, but for the payload; without the flag only the latter
 * is there. */
static struct cpu_event exception_of(const struct kvm_vcpu_events *e)
{
	bool with_payload = e->flags & KVM_VCPUEVENT_VALID_PAYLOAD;
	bool pending = with_payload && e->exception.pending;

	return (struct cpu_event){
		.pending = e->exception.injected || pending,
		.vector = e->exception.nr,
		.has_error = e->exception.has_error_code,
		.error_code = e->exception.error_code,
		.has_payload = pending && e->exception_has_payload,
		.payload = e->exception_payload,
	};
}

/* INT n, whose delivery was interrupted: it begins again, and returns after the instruction. */
static struct cpu_event software_interrupt(struct cpu *cpu, uint8_t vector)
{
	uint8_t bytes[2] = { 0 };

	cpu_peek(cpu, cpu_linear_rip(cpu), bytes, sizeof(bytes));
	return (struct cpu_event){
		.pending = true, .software = true, .vector = vector,
		.length = bytes[0] == OPCODE_INT ? 2 : bytes[0] == OPCODE_INT3 ? 1 : 0,
	};
}

static void set_shutdown(struct vcpu *vcpu, const struct kvm_vcpu_events *e)
{
	if (e->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT)
		vcpu->cpu.shutdown = e->triple_fault.pending;
}

int events_set(struct vcpu *vcpu, const struct kvm_vcpu_events *e)
{
	struct cpu_event exception = exception_of(e);
	struct cpu *cpu = &vcpu->cpu;

	if (e->flags & ~known_flags(vcpu->vm))
		return -EINVAL;
	if (exception.pending && (exception.vector > 31 || exception.vector == EXC_NMI))
		return -EINVAL;
	/* There is no SMM. */
	if ((e->flags & KVM_VCPUEVENT_VALID_SMM) && (e->smi.smm || e->smi.pending))
		return -EINVAL;

	cpu->event = exception;
	interrupt_restore(cpu, &(struct cpu_interrupts){
		.accepted = e->interrupt.injected && !e->interrupt.soft,
		.vector = e->interrupt.nr,
		.nmi_accepted = e->nmi.injected,
		.nmis = e->flags & KVM_VCPUEVENT_VALID_NMI_PENDING ?
				(uint8_t)MIN(e->nmi.pending, 2) : cpu->interrupts.nmis,
		.nmi_blocked = e->nmi.masked,
	});
	if (e->interrupt.injected && e->interrupt.soft && !cpu->event.pending)
		cpu->event = software_interrupt(cpu, e->interrupt.nr);
	if (e->flags & KVM_VCPUEVENT_VALID_SHADOW)
		set_shadow(cpu, e->interrupt.shadow);
	set_shutdown(vcpu, e);
	return 0;
}

long call_get_vcpu_events(struct call *c)
{
	events_get(c->vcpu, c->data);
	return 0;
}

long call_set_vcpu_events(struct call *c)
{
	return events_set(c->vcpu, c->data);
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
