/* SPDX-License-Identifier: MIT */
/*
 * A fault finds another page in the guest's entry than the shadow says, and replaces it.
 * Another TLB still has the old page, which the host takes back.
 */
#include "check/world/scenario.h"

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	host_poke(GUEST_PT, 2 * 8, gpte(2, GPTE_P | GPTE_U | GPTE_A));
	guest_watch(page(2));
	guest_read_watched(0, page(2));
	vcpu_read(1, page(GUEST_PT));
	/* Unseen: the shadow keeps the old entry, and no INVLPG is due. */
	guest_set_gpte(1, GUEST_PT, 9, gpte(9, GPTE_ALL));
	guest_set_gpte(1, GUEST_PT, 2, gpte(3, GPTE_ALL));
}

static void guest0(void)
{
	guest_read_watched(0, page(2));
	vcpu_stop(0);
}

static void guest1(void)
{
	guest_write_watched(1, page(2));
	vcpu_stop(1);
}

static void host(void)
{
	host_unmap(&vm->mmu, 2, 1);
}

SCENARIO(replace_leaf,
	.name = "replace-leaf",
	.about = "a fault replaces a shadow entry by another page while a TLB has the old "
		 "one and the host takes it back",
	.modes = SHADOW_ONLY, .bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 }, { "host", host } },
		.finish = look_no_further,
	});
