/* SPDX-License-Identifier: MIT */
/*
 * A table above the lowest level is read as data and then written: it stays tracked, as
 * those above it could not be told that it is out of date.
 */
#include "check/world/scenario.h"

#define GVA (2ull << 20)

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	host_poke(GUEST_PD, 8, gpte(GUEST_PT2, GPTE_ALL));
	host_poke(GUEST_PT2, 0, gpte(2, GPTE_ALL));
	/* The same tables again behind another entry, with a table of their own. */
	host_poke(14, 0, gpte(3, GPTE_ALL));
	guest_watch(GVA);
	guest_read_watched(0, GVA);
	guest_read_watched(1, GVA);
	vcpu_read(0, page(GUEST_PD));
}

static void guest0(void)
{
	guest_set_gpte(0, GUEST_PD, 1, gpte(14, GPTE_ALL));
	guest_invlpg(0, GVA);
	guest_read_watched(0, GVA);
	vcpu_stop(0);
}

static void guest1(void)
{
	guest_read_watched(1, GVA);
	guest_load_cr3(1, GUEST_PML4);
	guest_read_watched(1, GVA);
	vcpu_stop(1);
}

SCENARIO(upper_table,
	.name = "upper-table",
	.about = "a guest changes an entry of a directory that it has read as data",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 } },
		.finish = look_no_further,
	});
