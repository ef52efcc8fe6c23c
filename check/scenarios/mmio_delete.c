/* SPDX-License-Identifier: MIT */
/* RAM becomes MMIO: a write must not reach the memory any more. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 2 });
	client_set_slot(0, 2, 1, 2, 0);
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

static void guest0(void)
{
	vcpu_write(0, page(2));
	vcpu_write(0, page(2));
	vcpu_stop(0);
}

static void guest1(void)
{
	vcpu_read(1, page(2));
	vcpu_stop(1);
}

static void client(void)
{
	client_delete_slot(0);
}

SCENARIO(mmio_delete,
	.name = "mmio-delete",
	.about = "two vCPUs use a slot that becomes MMIO",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 }, { "client", client } },
		.finish = look_no_further,
	});
