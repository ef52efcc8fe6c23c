/* SPDX-License-Identifier: MIT */
/* The host replaces a range while two vCPUs use it: each sees the old frames or the new. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 2 });
	client_set_slot(0, 0, 4, 0, 0);
}

static void guest0(void)
{
	vcpu_write(0, page(1));
	vcpu_write(0, page(2));
	vcpu_stop(0);
}

static void guest1(void)
{
	vcpu_read(1, page(2));
	vcpu_read(1, page(1));
	vcpu_stop(1);
}

static void host(void)
{
	host_replace(&vm->mmu, 1, 2);
}

SCENARIO(fault_notifier_range,
	.name = "fault-notifier-range",
	.about = "two vCPUs use a range that the host replaces by a new mapping",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 }, { "host", host } },
		.finish = look_no_further,
	});
