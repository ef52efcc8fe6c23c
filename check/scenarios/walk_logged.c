/* SPDX-License-Identifier: MIT */
/* The MMU itself writes to guest memory: A and D bits of tables that are logged. */
#include "check/world/scenario.h"

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 1 }, KVM_MEM_LOG_DIRTY_PAGES);
	/* The walk has A and D bits to set, in pages that are logged as well. */
	host_poke(GUEST_PT, 0, gpte(0, GPTE_P | GPTE_W | GPTE_U));
	guest_watch(page(0));
	client_copy_all(0, 0);
}

static void guest(void)
{
	guest_write_watched(0, page(0));
	guest_write_watched(0, page(0));
	vcpu_stop(0);
}

static void client(void)
{
	client_get_log(0, 0);
}

static void finish(void)
{
	client_get_log(0, 0);
	oracle_compare(0, 0, 4);
	oracle_compare(0, GUEST_PT, 1);
}

SCENARIO(walk_logged,
	.name = "walk-logged",
	.about = "accessed and dirty bits are set in guest tables that are logged while "
		 "the log is harvested",
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest }, { "client", client } },
		.finish = finish,
	});
