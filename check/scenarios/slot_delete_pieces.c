/* SPDX-License-Identifier: MIT */
/*
 * A slot is so large that the MMU lock is given up on the way.  The host takes a page of
 * the piece that is done: it finds nothing mapped, and must find the debt.
 */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 1, 0, 0);
	client_set_slot(1, 2, 4, 2, 0);
	for (gfn_t gfn = 2; gfn < 6; gfn++)
		vcpu_read(0, page(gfn));
}

static void guest(void)
{
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

static void client(void)
{
	client_delete_slot(1);
}

static void host(void)
{
	host_unmap(&vm->mmu, 2, 1);
}

SCENARIO(slot_delete_pieces,
	.name = "slot-delete-pieces",
	.about = "a slot is deleted piece by piece while the host takes a page of it that a "
		 "vCPU uses",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest }, { "client", client }, { "host", host } },
		.finish = look_no_further,
	});
