/* SPDX-License-Identifier: MIT */
/*
 * A frame becomes a guest table.  No shadow entry maps it for writing any more, since the
 * guest has unmapped it; but another TLB may still hold what the guest's INVLPG has only
 * left as a debt, and write to the table unseen.
 */
#include "check/world/scenario.h"

#define GVA (2ull << 20)

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	host_poke(GUEST_PD, 8, gpte(GUEST_PT2, GPTE_ALL));
	host_poke(GUEST_PT2, 0, gpte(2, GPTE_ALL));
	guest_watch(GVA);
	/* Given up to the guest's writes, so that INVLPG has something to drop. */
	vcpu_read(0, page(GUEST_PT));
	guest_set_gpte(0, GUEST_PT, 7, gpte(7, GPTE_ALL));
	vcpu_stop(0);
	/* An ordinary page so far. */
	guest_set_gpte(1, GUEST_PT2, 5, 0);
	vcpu_stop(1);
	guest_set_gpte(0, GUEST_PT, GUEST_PT2, gpte(4, GPTE_ALL));
}

static void guest0(void)
{
	guest_invlpg(0, page(GUEST_PT2));
	guest_read_watched(0, GVA);
	vcpu_stop(0);
}

/* Has no reason yet to forget where the page was. */
static void guest1(void)
{
	guest_set_gpte(1, GUEST_PT2, 0, gpte(3, GPTE_ALL));
	guest_load_cr3(1, GUEST_PML4);
	guest_read_watched(1, GVA);
	vcpu_stop(1);
}

SCENARIO(write_debt,
	.name = "write-debt",
	.about = "a page becomes a guest table when its last writable translation was dropped "
		 "with no more than a debt",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 } },
		.finish = look_no_further,
	});
