/* SPDX-License-Identifier: MIT */
/*
 * A large page of the guest's, which the host has in small ones, becomes read-only.  What
 * was mapped while it was writable is in a shadow page of its own and stays there.
 */
#include "check/world/scenario.h"

#define GVA (2ull << 20)

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	host_poke(GUEST_PD, 8, gpte(0, GPTE_ALL | GPTE_PS));
	guest_watch(GVA + page(2));
	guest_write_watched(0, GVA + page(2));
}

static void guest0(void)
{
	guest_set_gpte(0, GUEST_PD, 1, gpte(0, GPTE_PS | (GPTE_ALL & ~GPTE_W)));
	guest_invlpg(0, GVA + page(2));
	vcpu_read(0, GVA + page(3));
	guest_write_watched(0, GVA + page(2));
	vcpu_stop(0);
}

static void guest1(void)
{
	guest_write_watched(1, GVA + page(2));
	vcpu_stop(1);
}

SCENARIO(large_guest_page,
	.name = "large-guest-page",
	.about = "a large page of the guest's becomes read-only while another vCPU writes to it",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 } },
		.finish = look_no_further,
	});
