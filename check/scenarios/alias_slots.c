/* SPDX-License-Identifier: MIT */
/* Two slots show the same host memory; the host takes it back. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 4, 0, 0);
	client_set_slot(1, 8, 4, 0, 0);
	vcpu_write(0, page(1));
	/* It stays: a table that loses its last entry is flushed for that alone. */
	vcpu_write(0, page(2));
}

static void guest(void)
{
	vcpu_read(0, page(1));
	vcpu_read(0, page(9));
	vcpu_stop(0);
}

static void host(void)
{
	host_unmap(&vm->mmu, 1, 1);
}

SCENARIO(alias_slots,
	.name = "alias-slots",
	.about = "the host takes back memory that two slots show to the guest",
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest }, { "host", host } },
		.finish = look_no_further,
	});
