/* SPDX-License-Identifier: MIT */
/*
 * The debt with two flushers outside the lock.  There is debt from before.  A has seen
 * it and flushes; so does B, which is done first.  A vCPU caches a translation anew,
 * another drops it: new debt.  Now A is done: it may not take this for what it paid.
 */
#include "check/scenario.h"

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	guest_watch(page(2));
	guest_read_watched(0, page(2));
	guest_read_watched(0, page(2));
	guest_set_gpte(1, GUEST_PT, 7, gpte(6, GPTE_ALL));
	guest_invlpg(1, page(7));
	vcpu_read(1, page(7));
	guest_set_gpte(1, GUEST_PT, 7, gpte(7, GPTE_ALL));
	guest_invlpg(1, page(7));
	vcpu_stop(1);
}

static void guest0(void)
{
	guest_read_watched(0, page(2));
	guest_read_watched(0, page(2));
	vcpu_stop(0);
}

static void guest1(void)
{
	guest_set_gpte(1, GUEST_PT, 2, gpte(3, GPTE_ALL));
	vcpu_stop(1);
}

/* Nothing is mapped here: it flushes for the debt. */
static void host_a(void)
{
	host_unmap(&vm->mmu, 5, 1);
}

static void host_b(void)
{
	host_unmap(&vm->mmu, 4, 1);
	host_unmap(&vm->mmu, 2, 1);
}

SCENARIO(debt_two_flushers,
	.name = "debt-two-flushers",
	.about = "two invalidations flush for old debt while a guest's change makes new "
		 "debt",
	.modes = SHADOW_ONLY, .bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 4,
		.thread = {
			{ "vCPU 0", guest0 },
			{ "vCPU 1", guest1 },
			{ "host A", host_a },
			{ "host B", host_b },
		},
		.finish = look_no_further,
	});
