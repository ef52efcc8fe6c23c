/* SPDX-License-Identifier: MIT */
/* kvm/irqchip/state.c - the controllers' and timers' registers, to the client and back. */
#include <string.h>

#include "kvm/calls/call.h"
#include "kvm/fd/client.h"
#include "kvm/irqchip/apic.h"

/* --- PIC and IOAPIC --------------------------------------------------------------- */

_Static_assert(offsetof(struct kvm_pic_state, elcr) == offsetof(struct pic_chip, elcr) &&
		       sizeof(struct pic_chip) == offsetof(struct kvm_pic_state, elcr_mask),
	       "the same registers in the same order");

static const uint8_t elcr_mask[] = { 0xf8, 0xde };

static void get_pic(struct irqchip *chip, unsigned int n, struct kvm_pic_state *to)
{
	struct pic_chip state;

	pic_get_chip(&chip->pic, n, &state);
	memcpy(to, &state, sizeof(state));
	to->elcr_mask = elcr_mask[n];
}

static void set_pic(struct irqchip *chip, unsigned int n, const struct kvm_pic_state *from)
{
	struct pic_chip state;

	memcpy(&state, from, sizeof(state));
	pic_set_chip(&chip->pic, n, &state);
}

static void get_ioapic(struct irqchip *chip, struct kvm_ioapic_state *to)
{
	struct ioapic_state s;

	ioapic_get_state(&chip->ioapic, &s);
	to->base_address = s.base;
	to->ioregsel = s.select;
	to->id = s.id;
	to->irr = s.irr;
	for (unsigned int i = 0; i < IOAPIC_PINS; i++)
		to->redirtbl[i].bits = s.entry[i];
}

static void set_ioapic(struct irqchip *chip, const struct kvm_ioapic_state *from)
{
	struct ioapic_state s = {
		.base = from->base_address,
		.select = from->ioregsel,
		.id = from->id,
		.irr = from->irr,
	};

	for (unsigned int i = 0; i < IOAPIC_PINS; i++)
		s.entry[i] = from->redirtbl[i].bits;
	ioapic_set_state(&chip->ioapic, &s);
}

long call_get_irqchip(struct call *c)
{
	struct irqchip *chip = irqchip_full(c->vm);
	struct kvm_irqchip *state = c->data;

	if (!chip)
		return -ENXIO;
	switch (state->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		get_pic(chip, state->chip_id, &state->chip.pic);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		get_ioapic(chip, &state->chip.ioapic);
		return 0;
	default:
		return -EINVAL;
	}
}

/* Its number says that it reads: nothing has been copied in. */
static int copy_in(struct call *c, size_t bytes)
{
	return copy_from_client(c->data, c->arg, bytes);
}

long call_set_irqchip(struct call *c)
{
	struct irqchip *chip = irqchip_full(c->vm);
	const struct kvm_irqchip *state = c->data;

	if (copy_in(c, sizeof(*state)))
		return -EFAULT;
	if (!chip)
		return -ENXIO;
	switch (state->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		set_pic(chip, state->chip_id, &state->chip.pic);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		set_ioapic(chip, &state->chip.ioapic);
		return 0;
	default:
		return -EINVAL;
	}
}

/* --- PIT -------------------------------------------------------------------------- */

_Static_assert(sizeof(struct pit_channel) == sizeof(struct kvm_pit_channel_state) &&
		       offsetof(struct pit_channel, gate) ==
			       offsetof(struct kvm_pit_channel_state, gate) &&
		       offsetof(struct pit_channel, loaded_at) ==
			       offsetof(struct kvm_pit_channel_state, count_load_time),
	       "the same fields in the same order");

long call_get_pit2(struct call *c)
{
	struct pit *pit = irqchip_pit(c->vm);
	struct kvm_pit_state2 *state = c->data;
	struct pit_state s;

	if (!pit)
		return -ENXIO;
	s = pit_get_state(pit);
	*state = (struct kvm_pit_state2){ 0 };
	memcpy(state->channels, s.channel, sizeof(s.channel));
	state->flags = (s.hpet_legacy ? KVM_PIT_FLAGS_HPET_LEGACY : 0) |
		       (s.speaker_on ? KVM_PIT_FLAGS_SPEAKER_DATA_ON : 0);
	return 0;
}

long call_set_pit2(struct call *c)
{
	struct pit *pit = irqchip_pit(c->vm);
	const struct kvm_pit_state2 *state = c->data;
	struct pit_state s = {
		.hpet_legacy = state->flags & KVM_PIT_FLAGS_HPET_LEGACY,
		.speaker_on = state->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON,
	};

	if (!pit)
		return -ENXIO;
	memcpy(s.channel, state->channels, sizeof(s.channel));
	pit_set_state(pit, &s);
	return 0;
}

long call_get_pit(struct call *c)
{
	struct pit *pit = irqchip_pit(c->vm);
	struct kvm_pit_state *state = c->data;
	struct pit_state s;

	if (!pit)
		return -ENXIO;
	s = pit_get_state(pit);
	memcpy(state->channels, s.channel, sizeof(s.channel));
	return 0;
}

long call_set_pit(struct call *c)
{
	struct pit *pit = irqchip_pit(c->vm);
	const struct kvm_pit_state *state = c->data;
	struct pit_state s = { 0 };

	if (copy_in(c, sizeof(*state)))
		return -EFAULT;
	if (!pit)
		return -ENXIO;
	memcpy(s.channel, state->channels, sizeof(s.channel));
	pit_set_state(pit, &s);
	return 0;
}

long call_reinject_control(struct call *c)
{
	struct pit *pit = irqchip_pit(c->vm);
	struct kvm_reinject_control control;

	if (copy_from_client(&control, c->arg, sizeof(control)))
		return -EFAULT;
	if (!pit)
		return -ENXIO;
	pit_set_reinjection(pit, control.pit_reinject);
	return 0;
}

/* --- the local APIC --------------------------------------------------------------- */

_Static_assert(sizeof(struct kvm_lapic_state) == LAPIC_BYTES, "the same registers");

/* To the client the identifier is in the upper byte in either mode, unless it wants all of it. */
static uint32_t clients_x2apic_id(const struct vcpu *vcpu)
{
	uint32_t api = atomic32_load_relaxed(&vcpu->vm->x2apic_api);

	return api & KVM_X2APIC_API_USE_32BIT_IDS ? vcpu->id : vcpu->id << 24;
}

long call_get_lapic(struct call *c)
{
	struct vcpu *vcpu = c->vcpu;
	uint8_t *regs = c->data;
	uint32_t id = clients_x2apic_id(vcpu);

	if (!vcpu->irqchip)
		return -EINVAL;
	lapic_get_state(&vcpu->lapic, regs);
	if (lapic_is_x2apic(&vcpu->lapic))
		memcpy(regs + LAPIC_ID, &id, sizeof(id));
	return 0;
}

long call_set_lapic(struct call *c)
{
	struct vcpu *vcpu = c->vcpu;
	const uint8_t *regs = c->data;
	uint32_t id;

	if (!vcpu->irqchip)
		return -EINVAL;
	memcpy(&id, regs + LAPIC_ID, sizeof(id));
	if (lapic_is_x2apic(&vcpu->lapic) && id != clients_x2apic_id(vcpu))
		return -EINVAL;
	lapic_set_state(&vcpu->lapic, regs);
	vcpu->cpu.cr8 = lapic_get_cr8(&vcpu->lapic);
	return 0;
}

/* Where the guest's TPR would be mirrored: nothing of ours writes there. */
long call_set_vapic_addr(struct call *c)
{
	return c->vcpu->irqchip ? 0 : -EINVAL;
}
