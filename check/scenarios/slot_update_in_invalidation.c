/* SPDX-License-Identifier: MIT */
/*
 * A slot appears between the start and the end of an invalidation of the memory that
 * it shows to the guest.
 */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 1, 0, 0);
}

static void guest(void)
{
	vcpu_write(0, page(2));
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

static void client(void)
{
	client_set_slot(1, 2, 1, 2, 0);
}

static void host(void)
{
	host_unmap(&vm->mmu, 2, 1);
}

SCENARIO(slot_update_in_invalidation,
	.name = "slot-update-in-invalidation",
	.about = "a slot is made over memory whose invalidation is open",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest }, { "client", client }, { "host", host } },
		.finish = look_no_further,
	});
