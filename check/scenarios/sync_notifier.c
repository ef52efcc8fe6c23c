/* SPDX-License-Identifier: MIT */
/*
 * The guest's own change drops a translation and leaves the TLB to the guest: a debt.
 * The host takes the page back, finds nothing mapped, and must consult the debt.
 */
#include "check/world/scenario.h"

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	guest_watch(page(2));
	guest_read_watched(0, page(2));
}

/* Has no reason to forget anything: its guest has not asked it to. */
static void guest0(void)
{
	guest_read_watched(0, page(2));
	guest_read_watched(0, page(2));
	vcpu_stop(0);
}

static void guest1(void)
{
	guest_set_gpte(1, GUEST_PT, 2, gpte(3, GPTE_ALL));
	guest_invlpg(1, page(2));
	vcpu_stop(1);
}

static void host(void)
{
	host_unmap(&vm->mmu, 2, 1);
}

SCENARIO(sync_notifier,
	.name = "sync-notifier",
	.about = "a translation that the guest's own change has dropped is still in "
		 "another TLB when the host takes the page back",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 }, { "host", host } },
		.finish = look_no_further,
	});
