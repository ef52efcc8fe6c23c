/* SPDX-License-Identifier: MIT */
/*
 * Requests, kicks and entries: a vCPU goes in and out of the guest with its TLB full
 * while somebody flushes, who has nothing but to wait for it.
 */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1, .cannot_interrupt = true });
	client_set_slot(0, 0, 4, 0, 0);
	vcpu_write(0, page(1));
	vcpu_stop(0);
}

static void guest(void)
{
	vcpu_read(0, page(1));
	vcpu_stop(0);
	vcpu_read(0, page(1));
	vcpu_stop(0);
}

static void host(void)
{
	host_unmap(&vm->mmu, 1, 1);
}

SCENARIO(request_kick_entry,
	.name = "request-kick-entry",
	.about = "a vCPU enters and leaves the guest with a full TLB while the host unmaps "
		 "a page",
	.bound = 1,
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest }, { "host", host } },
		.finish = look_no_further,
	});
