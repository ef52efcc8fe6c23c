/* SPDX-License-Identifier: MIT */
/*
 * Ageing of much memory gives up the MMU lock on the way.  Who ages one page of it
 * meanwhile, and wants to see every use from then on, finds its translation old already,
 * and must find the debt.
 */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 4, 0, 0);
	vcpu_read(0, page(1));
	vcpu_read(0, page(2));
	vcpu_read(0, page(3));
	vcpu_stop(0);
}

static void host_a(void)
{
	mmu_age(&vm->mmu, host_hva(1), host_hva(4), AGE_CLEAR);
}

static void host_b(void)
{
	client_age(1, AGE_CLEAR_FLUSH);
}

/* Nobody has used it since. */
static void finish(void)
{
	vcpu_read(0, page(1));
	vcpu_stop(0);
	if (!oracle_is_blind && !client_age(1, AGE_TEST))
		sched_fail(VERDICT_WRONG, "a page that was used is not young");
}

SCENARIO(young_pieces,
	.name = "young-pieces",
	.about = "much memory is aged, piece by piece, while a page of it is aged with a flush",
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "host A", host_a }, { "host B", host_b } },
		.finish = finish,
	});
