/* SPDX-License-Identifier: MIT */
/* One reaper: takes entries, resets, copies. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1, .rings = true });
	client_set_slot(0, 0, 4, 0, KVM_MEM_LOG_DIRTY_PAGES);
}

static void guest(void)
{
	vcpu_write(0, page(1));
	vcpu_write(0, page(2));
	vcpu_write(0, page(1));
	vcpu_stop(0);
}

static void reaper(void)
{
	client_reap_ring(0, 0);
}

static void finish(void)
{
	client_reap_ring(0, 0);
	oracle_compare(0, 0, 4);
}

SCENARIO(ring_reset,
	.name = "ring-reset",
	.about = "a vCPU dirties pages while its ring is reaped and reset",
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest }, { "reaper", reaper } },
		.finish = finish,
	});
