/* SPDX-License-Identifier: MIT */
/* The dirty ring: a vCPU pushes while the client reaps and resets. */
#include "check/world/scenario.h"

static void one_vcpu(void)
{
	machine_make_with_slot((struct machine_options){ .vcpus = 1, .rings = true },
			       KVM_MEM_LOG_DIRTY_PAGES);
}

static void reap_ring_0(void)
{
	client_reap_ring(0, 0);
}

/* --- one reaper: takes entries, resets, copies -------------------------------- */

static void vcpu0_writes_pages_1_2_1(void)
{
	vcpu_write(0, page(1));
	vcpu_write(0, page(2));
	vcpu_write(0, page(1));
	vcpu_stop(0);
}

static void ring_missed_nothing(void)
{
	client_reap_ring(0, 0);
	oracle_compare(0, 0, 4);
}

SCENARIO(ring_reset,
	.about = "a vCPU dirties pages while its ring is reaped and reset",
	.program = {
		.setup = one_vcpu,
		.thread = { { "vCPU 0", vcpu0_writes_pages_1_2_1 }, { "reaper", reap_ring_0 } },
		.finish = ring_missed_nothing,
	});

/* --- two reapers -----------------------------------------------------------------
 *
 * Both reset all rings: the second may find none of the entries that it has marked, as
 * the first has taken them.  When its reset returns, it copies.
 */

static void page_1_is_in_ring_0(void)
{
	machine_make_with_slot((struct machine_options){ .vcpus = 2, .rings = true },
			       KVM_MEM_LOG_DIRTY_PAGES);
	vcpu_write(0, page(1));
}

static void vcpu0_writes_page_1(void)
{
	vcpu_write(0, page(1));
	vcpu_stop(0);
}

/* It is empty. */
static void reap_ring_1(void)
{
	client_reap_ring(0, 1);
}

static void rings_missed_nothing(void)
{
	client_reap_ring(0, 0);
	client_reap_ring(0, 1);
	oracle_compare(0, 0, 4);
}

SCENARIO(ring_two_reapers,
	.about = "two threads reap a ring each, and each reset takes what both have marked",
	.program = {
		.setup = page_1_is_in_ring_0,
		.thread = {
			{ "vCPU 0", vcpu0_writes_page_1 },
			{ "reaper A", reap_ring_1 },
			{ "reaper B", reap_ring_0 },
		},
		.finish = rings_missed_nothing,
	});

/* --- a ring that is full stops the vCPU before the write ---------------------- */

static void ring_is_small(void)
{
	machine_make((struct machine_options){ .vcpus = 1, .rings = true, .ring_entries = 64 + 2,
					       .host_pages = 80 });
	client_set_slot(0, 0, 80, 0, KVM_MEM_LOG_DIRTY_PAGES);
}

static void vcpu0_writes_until_the_ring_is_full(void)
{
	for (uint64_t gfn = 0; gfn < 70; gfn++)
		if (vcpu_write(0, page(gfn)) == DONE_RING_FULL)
			break;
	vcpu_stop(0);
}

SCENARIO(ring_full,
	.about = "a vCPU dirties more pages than its ring holds while it is reaped",
	.bound = -2,
	.program = {
		.setup = ring_is_small,
		.thread = {
			{ "vCPU 0", vcpu0_writes_until_the_ring_is_full },
			{ "reaper", reap_ring_0 },
		},
	});

/* --- the client has written nonsense: only its own memory may suffer ---------- */

static void pages_8_and_1_are_in_the_ring(void)
{
	one_vcpu();
	client_set_slot(1, 8, 1, 4, 0);
	vcpu_write(0, page(8));
	vcpu_write(0, page(1));
	vcpu_stop(0);
}

static void vcpu0_writes_page_8(void)
{
	vcpu_write(0, page(8));
	vcpu_stop(0);
}

static void client_scribbles(void)
{
	struct kvm_dirty_gfn *e = &vm->vcpu[0].ring.entries[0];

	shared64_store_relaxed(&e->offset, ~0ull - 1);
	shared32_store_release(&e->flags, KVM_DIRTY_GFN_F_RESET);
	mmu_reset_dirty_rings(&vm->mmu);
}

SCENARIO(ring_scribbled,
	.about = "the client marks a ring entry whose page number it has made up",
	.program = {
		.setup = pages_8_and_1_are_in_the_ring,
		.thread = { { "vCPU 0", vcpu0_writes_page_8 }, { "client", client_scribbles } },
	});
