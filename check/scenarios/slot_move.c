/* SPDX-License-Identifier: MIT */
/* A slot moves: its pages are at the old place or the new, and then at the new. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 2 });
	client_set_slot(0, 2, 1, 2, 0);
}

static void guest0(void)
{
	vcpu_write(0, page(2));
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

static void guest1(void)
{
	vcpu_read(1, page(4));
	vcpu_write(1, page(4));
	vcpu_stop(1);
}

static void client(void)
{
	client_set_slot(0, 4, 1, 2, 0);
}

SCENARIO(slot_move,
	.name = "slot-move",
	.about = "two vCPUs use the old and the new place of a slot that moves",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 }, { "client", client } },
		.finish = look_no_further,
	});
