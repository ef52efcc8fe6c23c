/* SPDX-License-Identifier: MIT */
/* The client has written nonsense into an entry: only its own memory may suffer. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1, .rings = true });
	client_set_slot(0, 0, 4, 0, KVM_MEM_LOG_DIRTY_PAGES);
	client_set_slot(1, 8, 1, 4, 0);
	vcpu_write(0, page(8));
	vcpu_write(0, page(1));
	vcpu_stop(0);
}

static void guest(void)
{
	vcpu_write(0, page(8));
	vcpu_stop(0);
}

static void client(void)
{
	struct kvm_dirty_gfn *e = &vm->vcpu[0].ring.entries[0];

	shared64_store_relaxed(&e->offset, ~0ull - 1);
	shared32_store_release(&e->flags, KVM_DIRTY_GFN_F_RESET);
	mmu_reset_dirty_rings(&vm->mmu);
}

SCENARIO(ring_scribbled,
	.name = "ring-scribbled",
	.about = "the client marks a ring entry whose page number it has made up",
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest }, { "client", client } },
		.finish = look_no_further,
	});
