/* SPDX-License-Identifier: MIT */
/*
 * The host copies a guest table and puts the copy in its place.  A dirty bit that is set
 * between the two would stay behind.
 */
#include "check/world/scenario.h"

static enum outcome outcome;

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 1 }, 0);
	host_poke(GUEST_PT, 2 * 8, gpte(2, GPTE_P | GPTE_W | GPTE_U));
	guest_watch(page(2));
	/* Its shadow is there: who has made one walks again. */
	guest_read_watched(0, page(2));
	vcpu_stop(0);
}

static void guest(void)
{
	outcome = guest_write_watched(0, page(2));
	vcpu_stop(0);
}

static void host(void)
{
	host_move(&vm->mmu, GUEST_PT, 1);
}

static void finish(void)
{
	if (!oracle_is_blind && outcome == DONE_RAM && !(host_peek_at(GUEST_PT, 2 * 8) & GPTE_D))
		sched_fail(VERDICT_STALE_RIGHT,
			   "a page was written to, and its entry's dirty bit stayed behind in "
			   "memory that the host was about to take back");
}

SCENARIO(tables_moved,
	.name = "tables-moved",
	.about = "accessed and dirty bits are set in a guest table while the host moves it",
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest }, { "host", host } },
		.finish = finish,
	});
