/* SPDX-License-Identifier: MIT */
/* A slot goes while a vCPU uses it, then the host takes its memory. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 1, 0, 0);
	client_set_slot(1, 2, 1, 2, 0);
}

static void guest(void)
{
	vcpu_write(0, page(2));
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

static void client(void)
{
	client_delete_slot(1);
	host_unmap(&vm->mmu, 2, 1);
}

SCENARIO(slot_delete,
	.name = "slot-delete",
	.about = "a vCPU uses a slot that the client deletes, and then unmaps the memory "
		 "of",
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest }, { "client", client } },
		.finish = look_no_further,
	});
