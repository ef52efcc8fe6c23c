/* SPDX-License-Identifier: MIT */
/*
 * The generation has three bits here: eight changes, and an MMIO entry from before the
 * first looks current.
 */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 1, 0, 0);
	for (int i = 0; i < 3; i++) {
		client_set_slot(1, 4, 1, 4, 0);
		client_delete_slot(1);
	}
}

static void guest(void)
{
	vcpu_read(0, page(2));
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

static void client(void)
{
	client_set_slot(1, 2, 1, 2, 0);
	client_set_slot(2, 4, 1, 4, 0);
	for (unsigned int i = 3; i < 8; i++)
		client_set_slot(i, 2 + i, 1, i, 0);
}

static void finish(void)
{
	client_set_slot(0, 0, 1, 0, KVM_MEM_LOG_DIRTY_PAGES);
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

SCENARIO(mmio_generation_wraps,
	.name = "mmio-generation-wraps",
	.about = "a vCPU caches MMIO while the slots change until the generation repeats",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest }, { "client", client } },
		.finish = finish,
	});
