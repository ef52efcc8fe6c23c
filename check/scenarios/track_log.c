/* SPDX-License-Identifier: MIT */
/*
 * The two sorts of write protection meet.  The dirty log has taken W and not flushed yet;
 * then the page becomes a page table, and write tracking finds it read-only.  A TLB can
 * write to it all the same: MMU-writable says so.
 */
#include "check/world/scenario.h"
#include "check/engine/timeline.h"

#define GVA (2ull << 20)

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, KVM_MEM_LOG_DIRTY_PAGES);
	host_poke(GUEST_PD, 8, gpte(GUEST_PT2, GPTE_ALL));
	host_poke(GUEST_PT2, 0, gpte(2, GPTE_ALL));
	guest_watch(GVA);
	/* Still an ordinary page: nobody has used it as a table. */
	guest_set_gpte(0, GUEST_PT2, 5, 0);
	vcpu_boundary(0);
	/* The first half of a harvest: W is gone, the flush is to come. */
	vm->slots.ops->write_protect_pages(vm->slots.ops_ctx, vm->slots.by_id[0], GUEST_PT2, 1);
}

static void guest0(void)
{
	guest_set_gpte(0, GUEST_PT2, 0, gpte(3, GPTE_ALL));
	guest_invlpg(0, GVA);
	guest_read_watched(0, GVA);
	vcpu_stop(0);
}

static void guest1(void)
{
	guest_read_watched(1, GVA);
	vcpu_stop(1);
}

static void client(void)
{
	timeline_note("KVM_GET_DIRTY_LOG: the flush after the MMU lock");
	vm->slots.ops->flush(vm->slots.ops_ctx);
	timeline_note("KVM_GET_DIRTY_LOG returns");
}

SCENARIO(track_log,
	.name = "track-log",
	.about = "a page becomes a guest page table while the dirty log has it read-only "
		 "and not flushed yet",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 }, { "client", client } },
		.finish = look_no_further,
	});
