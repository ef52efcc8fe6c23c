/* SPDX-License-Identifier: MIT */
/* A ring that is full stops the vCPU before the write. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1, .rings = true, .ring_entries = 64 + 2,
					       .host_pages = 80 });
	client_set_slot(0, 0, 80, 0, KVM_MEM_LOG_DIRTY_PAGES);
}

static void guest(void)
{
	for (gfn_t gfn = 0; gfn < 70; gfn++)
		if (vcpu_write(0, page(gfn)) == DONE_RING_FULL)
			break;
	vcpu_stop(0);
}

static void reaper(void)
{
	client_reap_ring(0, 0);
}

SCENARIO(ring_full,
	.name = "ring-full",
	.about = "a vCPU dirties more pages than its ring holds while it is reaped",
	.bound = -2,
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest }, { "reaper", reaper } },
		.finish = look_no_further,
	});
