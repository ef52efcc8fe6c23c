/* SPDX-License-Identifier: MIT */
/* Flushes of all TLBs: requests, kicks, the debt, and vCPUs that come and go. */
#include "check/engine/timeline.h"
#include "check/world/scenario.h"
#include "mmu/tlb/flush.h"
#include "mmu/tlb/tlb.h"

/* --- a vCPU goes in and out of the guest while somebody flushes --------------- */

/* Whoever flushes has nothing but to wait for it. */
static void page_1_is_in_the_tlb(void)
{
	machine_make_with_slot((struct machine_options){ .vcpus = 1, .cannot_interrupt = true },
			       0);
	vcpu_write(0, page(1));
	vcpu_stop(0);
}

static void vcpu0_goes_in_and_out(void)
{
	vcpu_read(0, page(1));
	vcpu_stop(0);
	vcpu_read(0, page(1));
	vcpu_stop(0);
}

SCENARIO(request_kick_entry,
	.about = "a vCPU enters and leaves the guest with a full TLB while the host unmaps "
		 "a page",
	.bound = 1,
	.program = {
		.setup = page_1_is_in_the_tlb,
		.thread = {
			{ "vCPU 0", vcpu0_goes_in_and_out },
			{ "host", host_unmaps_page_1 },
		},
	});

/* --- a flush pays only what it had read before its requests went out ---------- */

static void pages_1_and_2_are_in_the_tlb(void)
{
	machine_make_with_slot((struct machine_options){ .vcpus = 2 }, 0);
	vcpu_write(0, page(1));
	vcpu_write(0, page(2));
	vcpu_stop(0);
}

static void vcpu0_reads_both(void)
{
	vcpu_read(0, page(1));
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

SCENARIO(two_flushers,
	.about = "two invalidations flush at the same time, each with debt of its own",
	.bound = -1,
	.program = {
		.setup = pages_1_and_2_are_in_the_tlb,
		.thread = {
			{ "vCPU 0", vcpu0_reads_both },
			{ "host A", host_unmaps_page_1 },
			{ "host B", host_unmaps_page_2 },
		},
	});

/* --- a vCPU is made, and taken away, while a flush looks for whom to ask ------ */

static void vcpu1_is_to_come(void)
{
	machine_make_with_slot((struct machine_options){ .vcpus = 1 }, 0);
}

static void vcpu1_comes_and_goes(void)
{
	struct mmu_vcpu *v = &vm->vcpu[1];

	if (mmu_vcpu_init(v, &vm->mmu))
		sched_fail(VERDICT_WRONG, "no vCPU");
	v->paging.maxphyaddr = 48;
	vm->n_vcpus = 2;
	vcpu_write(1, page(1));
	vcpu_read(1, page(1));
	vcpu_stop(1);
	mmu_vcpu_destroy(v);
}

SCENARIO(late_vcpu,
	.about = "a vCPU is created, used and destroyed while the host unmaps a page",
	.program = {
		.setup = vcpu1_is_to_come,
		.thread = {
			{ "vCPU 1", vcpu1_comes_and_goes },
			{ "host", host_unmaps_page_1 },
		},
	});

/* --- new debt that looks like the old --------------------------------------------
 *
 * There is debt from before.  A has seen it and flushes, without the lock; so does B,
 * which is done first.  A vCPU caches a translation anew, and another's INVLPG drops it:
 * new debt.  Now A is done: it may not take this for what it paid.
 */

/* A shadow entry goes by INVLPG, with no flush: the first debt. */
static void one_debt(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	guest_watch(page(2));
	guest_read_watched(0, page(2));
	vcpu_read(1, page(7));
	vcpu_read(1, page(GUEST_PT));
	guest_set_gpte(1, GUEST_PT, 7, gpte(6, GPTE_ALL));
	guest_invlpg(1, page(7));
	vcpu_stop(1);
	vcpu_stop(0);
}

/* The second time by its TLB or not at all: what a fault would add is in other scenarios,
 * and with it there would be too much to explore. */
static void vcpu0_caches_it_anew(void)
{
	guest_read_watched(0, page(2));
	vcpu_boundary(0);
	if (tlb_read(&vm->vcpu[0], gva_of(page(2)), 8))
		guest_read_watched(0, page(2));
	vcpu_stop(0);
}

static void vcpu1_drops_it(void)
{
	guest_invlpg(1, page(2));
	vcpu_stop(1);
}

static void flusher(void)
{
	timeline_note("kvm_flush_remote_tlbs, without the MMU lock");
	flush_settle(&vm->mmu);
	timeline_note("its flush is done");
}

SCENARIO(debt_two_flushers,
	.about = "two flushes outside the lock pay old debt while a guest's change makes new debt, "
		 "and the host takes the page",
	.modes = SHADOW_ONLY,
	.bound = -1,
	.program = {
		.setup = one_debt,
		.thread = {
			{ "vCPU 0", vcpu0_caches_it_anew },
			{ "vCPU 1", vcpu1_drops_it },
			{ "flusher A", flusher },
			{ "flusher B", flusher },
			{ "host", host_unmaps_page_2 },
		},
	});
