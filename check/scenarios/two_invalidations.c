/* SPDX-License-Identifier: MIT */
/*
 * Two invalidations overlap in time.  The window that faults look at must cover both
 * until the last has ended.
 */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 4, 0, 0);
}

static void guest(void)
{
	vcpu_write(0, page(1));
	vcpu_read(0, page(1));
	vcpu_stop(0);
}

static void host1(void)
{
	host_unmap(&vm->mmu, 1, 1);
}

static void host3(void)
{
	host_unmap(&vm->mmu, 3, 1);
}

SCENARIO(two_invalidations,
	.name = "two-invalidations",
	.about = "a vCPU faults in a page of the first of two invalidations that overlap "
		 "in time",
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest }, { "host A", host1 }, { "host B", host3 } },
		.finish = look_no_further,
	});
