/* SPDX-License-Identifier: MIT */
/*
 * A slot that holds a table of the guest's is deleted, and made again over other memory.
 * What is said there is what counts from then on, though no processor was asked to forget
 * anything; and a fault may have read the old table just before.
 */
#include "check/world/scenario.h"

#define GVA (2ull << 20)
#define TABLE 32	/* the guest frame, in its own slot */

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 2, .host_pages = 18 }, 0);
	client_set_slot(1, TABLE, 1, 17, 0);
	host_poke(GUEST_PD, 8, gpte(TABLE, GPTE_ALL));
	host_poke(17, 0, gpte(2, GPTE_ALL));
	host_poke(16, 0, gpte(3, GPTE_ALL));
}

static void guest0(void)
{
	vcpu_read(0, GVA);
	vcpu_stop(0);
}

static void guest1(void)
{
	vcpu_read(1, GVA);
	vcpu_stop(1);
}

static void client(void)
{
	client_delete_slot(1);
	client_set_slot(1, TABLE, 1, 16, 0);
}

static void finish(void)
{
	for (unsigned int n = 0; n < 2; n++) {
		vcpu_read(n, GVA);
		vcpu_stop(n);
		if (!oracle_is_blind && vm->last_page[n] != 3)
			sched_fail(VERDICT_STALE_RIGHT,
				   "vCPU %u goes by a guest table that is no more", n);
	}
}

SCENARIO(slot_tables,
	.name = "slot-tables",
	.about = "the slot of a guest table is deleted, and made again over another table, "
		 "while vCPUs fault through it",
	.modes = SHADOW_ONLY, .bound = -2,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 }, { "client", client } },
		.finish = finish,
	});
