/* SPDX-License-Identifier: MIT */
/* kvm/calls/mce.c - machine checks. */
#include "cpu/state/mce.h"
#include "kvm/calls/call.h"

long call_get_mce_cap_supported(struct call *c)
{
	*(uint64_t *)c->data = MCE_SUPPORTED;
	return 0;
}

long call_setup_mce(struct call *c)
{
	const uint64_t *capabilities = c->data;

	if (!mce_setup(&c->vcpu->cpu, *capabilities))
		return -EINVAL;
	if (c->vcpu->irqchip)
		lapic_set_cmci(&c->vcpu->lapic, *capabilities & MCG_CMCI_P);
	return 0;
}

long call_set_mce(struct call *c)
{
	const struct kvm_x86_mce *m = c->data;
	struct mce_error e = {
		.status = m->status,
		.address = m->addr,
		.misc = m->misc,
		.mcg_status = m->mcg_status,
		.bank = m->bank,
	};

	bool interrupts;

	if (!mce_report(&c->vcpu->cpu, &e, &interrupts))
		return -EINVAL;
	if (interrupts && c->vcpu->irqchip)
		lapic_signal_cmci(&c->vcpu->lapic);
	return 0;
}
