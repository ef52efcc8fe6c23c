/* SPDX-License-Identifier: MIT */
/*
 * The host takes back all that a page table maps: the table goes as well, while one vCPU
 * walks it and another makes a new one in its place.
 */
#include "check/world/scenario.h"
#include "mmu/notifier.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 2, .host_pages = 512 });
	client_set_slot(0, 0, 512, 0, 0);
	vcpu_read(0, page(1));
	vcpu_stop(0);
}

static void guest0(void)
{
	vcpu_read(0, page(1));
	vcpu_stop(0);
}

static void guest1(void)
{
	vcpu_write(1, page(2));
	vcpu_stop(1);
}

static void host(void)
{
	struct invalidation inv;

	mmu_invalidate_begin(&vm->mmu, host_hva(0), host_hva(512), &inv);
	mmu_invalidate_end(&inv);
	host_unmap(&vm->mmu, 1, 1);
}

SCENARIO(table_emptied,
	.name = "table-emptied",
	.about = "the host takes back all that a page table maps, while two vCPUs use it",
	.bound = -2,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 }, { "host", host } },
		.finish = look_no_further,
	});
