/* SPDX-License-Identifier: MIT */
/*
 * Two reapers.  Both reset all rings: the second may find none of the entries that it
 * has marked, as the first has taken them.  When its reset returns, it copies.
 */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 2, .rings = true });
	client_set_slot(0, 0, 4, 0, KVM_MEM_LOG_DIRTY_PAGES);
	vcpu_write(0, page(1));
}

static void guest(void)
{
	vcpu_write(0, page(1));
	vcpu_stop(0);
}

/* Vcpu 0's ring is B's to reap; A reaps that of vCPU 1, which is empty. */
static void reaper_a(void)
{
	client_reap_ring(0, 1);
}

static void reaper_b(void)
{
	client_reap_ring(0, 0);
}

static void finish(void)
{
	client_reap_ring(0, 0);
	client_reap_ring(0, 1);
	oracle_compare(0, 0, 4);
}

SCENARIO(ring_two_reapers,
	.name = "ring-two-reapers",
	.about = "two threads reap a ring each, and each reset takes what both have marked",
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = {
			{ "vCPU 0", guest },
			{ "reaper A", reaper_a },
			{ "reaper B", reaper_b },
		},
		.finish = finish,
	});
