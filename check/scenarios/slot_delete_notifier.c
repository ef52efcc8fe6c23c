/* SPDX-License-Identifier: MIT */
/* A slot goes while the host takes its memory by another thread. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(1, 2, 1, 2, 0);
	vcpu_write(0, page(2));
}

static void guest(void)
{
	vcpu_read(0, page(2));
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

SCENARIO(slot_delete_notifier,
	.name = "slot-delete-notifier",
	.about = "a slot is deleted by one thread while another unmaps its memory",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest }, { "client", client }, { "host", host } },
		.finish = look_no_further,
	});
