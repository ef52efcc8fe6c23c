/* SPDX-License-Identifier: MIT */
/*
 * A frame is mapped as often as may be.  For one more all that map it go, also those that
 * a TLB can write through; the one that is left is read-only, so the log's pass over the
 * tables finds nothing to take, and must flush all the same.
 */
#include "check/world/scenario.h"

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, KVM_MEM_LOG_DIRTY_PAGES);
	host_poke(GUEST_PT, 3 * 8, gpte(2, GPTE_ALL));
	host_poke(GUEST_PT, 4 * 8, gpte(2, GPTE_ALL));
	vcpu_write(0, page(2));
	vcpu_read(0, page(3));
	vcpu_read(1, page(1));
}

static void guest0(void)
{
	vcpu_write(0, page(2));
	vcpu_stop(0);
}

static void guest1(void)
{
	vcpu_read(1, page(4));
	vcpu_stop(1);
}

static void client(void)
{
	client_get_log(0, 0);
}

static void finish(void)
{
	client_get_log(0, 0);
	oracle_compare(0, 0, 8);
}

SCENARIO(rmap_full,
	.name = "rmap-full",
	.about = "a frame that as many entries map as may be is mapped once more, while its "
		 "slot is harvested and another vCPU writes to it",
	.modes = SHADOW_ONLY, .bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 }, { "client", client } },
		.finish = finish,
	});
