/* SPDX-License-Identifier: MIT */
/*
 * Two flushes at a time, and new debt between.  A flush may only pay what it had read
 * before its requests went out.
 */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 2 });
	client_set_slot(0, 0, 4, 0, 0);
	vcpu_write(0, page(1));
	vcpu_write(0, page(2));
	vcpu_stop(0);
}

static void guest(void)
{
	vcpu_read(0, page(1));
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

static void host_a(void)
{
	host_unmap(&vm->mmu, 1, 1);
}

static void host_b(void)
{
	host_unmap(&vm->mmu, 2, 1);
}

SCENARIO(two_flushers,
	.name = "two-flushers",
	.about = "two invalidations flush at the same time, each with debt of its own",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest }, { "host A", host_a }, { "host B", host_b } },
		.finish = look_no_further,
	});
