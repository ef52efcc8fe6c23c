/* SPDX-License-Identifier: MIT */
/*
 * A table that a vCPU may write unseen (unsync), brought up to date by another's load of
 * CR3 while it is being written.
 */
#include "check/world/scenario.h"

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	guest_watch(page(2));
	guest_read_watched(1, page(2));
	vcpu_stop(1);
	vcpu_read(0, page(GUEST_PT));
	guest_set_gpte(0, GUEST_PT, 9, gpte(9, GPTE_ALL));
}

static void guest0(void)
{
	guest_set_gpte(0, GUEST_PT, 2, gpte(3, GPTE_ALL));
	guest_set_gpte(0, GUEST_PT, 2, gpte(4, GPTE_ALL));
	guest_invlpg(0, page(2));
	guest_read_watched(0, page(2));
	vcpu_stop(0);
}

static void guest1(void)
{
	guest_load_cr3(1, GUEST_PML4);
	guest_read_watched(1, page(2));
	vcpu_stop(1);
}

SCENARIO(unsync_sync,
	.name = "unsync-sync",
	.about = "a guest table is written unseen while another vCPU brings its shadow up "
		 "to date",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 } },
		.finish = look_no_further,
	});
