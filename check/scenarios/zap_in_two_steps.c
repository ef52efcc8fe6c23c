/* SPDX-License-Identifier: MIT */
/*
 * Two invalidations of one page.  The second finds nothing mapped, as the first has
 * zapped already; what it must find is the debt.
 */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 4, 0, 0);
	/* Mapped and in the TLB; in guest mode when the race begins. */
	vcpu_write(0, page(1));
	vcpu_write(0, page(2));
}

static void guest(void)
{
	vcpu_read(0, page(1));
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

static void host_a(void)
{
	host_unmap(&vm->mmu, 1, 2);
}

static void host_b(void)
{
	host_unmap(&vm->mmu, 1, 1);
}

SCENARIO(zap_in_two_steps,
	.name = "zap-in-two-steps",
	.about = "a second invalidation of a page comes while the first has zapped and not "
		 "yet flushed",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest }, { "host A", host_a }, { "host B", host_b } },
		.finish = look_no_further,
	});
