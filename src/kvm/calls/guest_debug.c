/* SPDX-License-Identifier: MIT */
/*
 * kvm/calls/guest_debug.c - KVM_SET_GUEST_DEBUG: the client's own breakpoints and single steps.
 */
#include <string.h>

#include "cpu/state/debug.h"
#include "kvm/calls/call.h"
#include "kvm/vm.h"

#define INT3_BYTES 1

/* #BP as INT3 raises it: the guest's gate must let it through, and RIP is after it. */
static void inject(struct cpu *cpu, uint32_t control)
{
	if (control & KVM_GUESTDBG_INJECT_DB)
		cpu->event = (struct cpu_event){ .pending = true, .vector = EXC_DB };
	else
		cpu->event = (struct cpu_event){ .pending = true, .software = true,
						 .vector = EXC_BP, .length = INT3_BYTES };
}

long call_set_guest_debug(struct call *c)
{
	const struct kvm_guest_debug *debug = c->data;
	struct cpu *cpu = &c->vcpu->cpu;
	struct cpu_client_debug client = {
		.steps = debug->control & KVM_GUESTDBG_SINGLESTEP,
		.breaks = debug->control & KVM_GUESTDBG_USE_HW_BP,
		.takes_int3 = debug->control & KVM_GUESTDBG_USE_SW_BP,
		.holds_interrupts = debug->control & KVM_GUESTDBG_BLOCKIRQ,
		.dr7 = debug->arch.debugreg[7],
	};

	if (debug->control & ~(uint32_t)GUEST_DEBUG_CONTROLS)
		return -EINVAL;
	if (debug->control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)) {
		if (cpu->event.pending)
			return -EBUSY;
		inject(cpu, debug->control);
	}
	memcpy(client.dr, debug->arch.debugreg, sizeof(client.dr));
	debug_set_client(cpu, debug->control & KVM_GUESTDBG_ENABLE ? &client : NULL);
	return 0;
}
