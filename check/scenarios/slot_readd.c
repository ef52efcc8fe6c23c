/* SPDX-License-Identifier: MIT */
/* Deleted and made again over other memory. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 2, 1, 2, 0);
}

static void guest(void)
{
	vcpu_write(0, page(2));
	vcpu_read(0, page(2));
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

static void client(void)
{
	client_delete_slot(0);
	client_set_slot(0, 2, 1, 3, 0);
}

SCENARIO(slot_readd,
	.name = "slot-readd",
	.about = "a slot is deleted and made again over other memory while a vCPU uses it",
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest }, { "client", client } },
		.finish = look_no_further,
	});
