/* SPDX-License-Identifier: MIT */
/* The host takes a page back while a vCPU faults it in, and while it uses it. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 4, 0, 0);
	/* Mapped for good: a table that the host's call empties goes too, and the flush that
	 * this takes would hide that there is none for the page. */
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

static void guest(void)
{
	vcpu_write(0, page(1));
	vcpu_read(0, page(1));
	vcpu_stop(0);
}

static void host(void)
{
	host_unmap(&vm->mmu, 1, 1);
}

SCENARIO(fault_notifier_page,
	.name = "fault-notifier-page",
	.about = "a vCPU faults in and uses a page that the host takes back by munmap",
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest }, { "host", host } },
		.finish = look_no_further,
	});
