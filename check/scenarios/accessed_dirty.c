/* SPDX-License-Identifier: MIT */
/*
 * The walk sets A and D in a guest entry while the guest changes it: neither may undo the
 * other.
 */
#include "check/world/scenario.h"

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	host_poke(GUEST_PT, 2 * 8, gpte(2, GPTE_P | GPTE_W | GPTE_U));
	guest_watch(page(2));
}

static void guest0(void)
{
	guest_write_watched(0, page(2));
	vcpu_stop(0);
}

static void guest1(void)
{
	guest_set_gpte(1, GUEST_PT, 2, gpte(3, GPTE_P | GPTE_W | GPTE_U));
	vcpu_stop(1);
}

static void finish(void)
{
	uint64_t entry = host_peek_at(GUEST_PT, 2 * 8);

	if (!oracle_is_blind && entry >> PAGE_SHIFT != 3)
		sched_fail(VERDICT_STALE_RIGHT,
			   "the guest's write to its table was undone by an accessed or dirty bit");
}

SCENARIO(accessed_dirty,
	.name = "accessed-dirty",
	.about = "a walk sets accessed and dirty bits in an entry that the guest changes",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 } },
		.finish = finish,
	});
