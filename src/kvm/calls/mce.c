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
	return mce_setup(&c->vcpu->cpu, *(const uint64_t *)c->data) ? 0 : -EINVAL;
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

	return mce_report(&c->vcpu->cpu, &e) ? 0 : -EINVAL;
}
