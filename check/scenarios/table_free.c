/* SPDX-License-Identifier: MIT */
/*
 * A slot that fills a whole table goes: the table is freed, while one vCPU walks it in
 * guest mode and another in a fault.
 */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 2, .host_pages = 512 });
	client_set_slot(0, 512, 512, 0, 0);
	vcpu_write(0, page(513));
	vcpu_stop(0);
}

static void guest0(void)
{
	vcpu_read(0, page(513));
	vcpu_stop(0);
}

static void guest1(void)
{
	vcpu_write(1, page(514));
	vcpu_stop(1);
}

static void client(void)
{
	client_delete_slot(0);
}

SCENARIO(table_free,
	.name = "table-free",
	.about = "a page table is freed with its slot while two vCPUs walk it",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 }, { "client", client } },
		.finish = look_no_further,
	});
