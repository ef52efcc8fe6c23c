/* SPDX-License-Identifier: MIT */
/*
 * The debt with two flushers outside the lock.  There is debt from before.  A has seen
 * it and flushes; so does B, which is done first.  A vCPU caches a translation anew, and
 * another's INVLPG drops it: new debt, which looks like the old.  Now A is done: it may
 * not take this for what it paid.
 */
#include "check/world/scenario.h"
#include "check/engine/timeline.h"
#include "mmu/flush.h"
#include "mmu/tlb.h"

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	guest_watch(page(2));
	guest_read_watched(0, page(2));
	vcpu_read(1, page(7));
	/* The shadow entry goes by INVLPG, with no flush: the first debt. */
	vcpu_read(1, page(GUEST_PT));
	guest_set_gpte(1, GUEST_PT, 7, gpte(6, GPTE_ALL));
	guest_invlpg(1, page(7));
	vcpu_stop(1);
	vcpu_stop(0);
}

/* The second time by its TLB or not at all: what a fault would add is in other scenarios,
 * and with it there would be too much to explore. */
static void guest0(void)
{
	guest_read_watched(0, page(2));
	vcpu_boundary(0);
	if (tlb_read(&vm->vcpu[0], page(2), 8))
		guest_read_watched(0, page(2));
	vcpu_stop(0);
}

static void guest1(void)
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

static void host(void)
{
	host_unmap(&vm->mmu, 2, 1);
}

SCENARIO(debt_two_flushers,
	.name = "debt-two-flushers",
	.about = "two flushes outside the lock pay old debt while a guest's change makes new debt, "
		 "and the host takes the page",
	.modes = SHADOW_ONLY,
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 5,
		.thread = {
			{ "vCPU 0", guest0 },
			{ "vCPU 1", guest1 },
			{ "flusher A", flusher },
			{ "flusher B", flusher },
			{ "host", host },
		},
		.finish = look_no_further,
	});
