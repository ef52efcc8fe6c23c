/* SPDX-License-Identifier: MIT */
/* mprotect(PROT_READ): when it has returned, nobody writes any more. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 2 });
	client_set_slot(0, 0, 4, 0, 0);
}

static void guest0(void)
{
	vcpu_write(0, page(1));
	vcpu_write(0, page(1));
	vcpu_stop(0);
}

static void guest1(void)
{
	vcpu_read(1, page(1));
	vcpu_write(1, page(1));
	vcpu_stop(1);
}

static void host(void)
{
	host_protect(&vm->mmu, 1, 1);
}

SCENARIO(host_protect,
	.name = "host-protect",
	.about = "two vCPUs write to a page that the host makes read-only",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 }, { "host", host } },
		.finish = look_no_further,
	});
