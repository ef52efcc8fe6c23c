/* SPDX-License-Identifier: MIT */
/* MMIO is remembered, and forgotten when a slot appears. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 1, 0, 0);
}

static void guest(void)
{
	vcpu_read(0, page(2));
	vcpu_read(0, page(2));
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

static void client(void)
{
	client_set_slot(1, 2, 1, 2, 0);
}

SCENARIO(mmio_cache,
	.name = "mmio-cache",
	.about = "a vCPU takes MMIO exits where a slot is made",
	.bound = 1,
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest }, { "client", client } },
		.finish = look_no_further,
	});
