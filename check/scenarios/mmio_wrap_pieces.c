/* SPDX-License-Identifier: MIT */
/*
 * The generation begins again, and all tables are gone over with the MMU lock given up on
 * the way.  What a vCPU notes behind the piece that is done would be believed eight changes
 * later.
 */
#include "check/world/scenario.h"

/* In another table. */
#define FAR_PAGE (ENTRIES_PER_TABLE + 2)

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 1, 0, 0);
	for (int i = 0; i < 2; i++) {
		client_set_slot(1, 4, 1, 4, 0);
		client_delete_slot(1);
	}
	vcpu_read(0, page(2));
	vcpu_read(0, page(FAR_PAGE));
	vcpu_stop(0);
}

static void guest(void)
{
	vcpu_read(0, page(2));
	vcpu_read(0, page(FAR_PAGE));
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

/* From seven to eight. */
static void client(void)
{
	client_set_slot(1, 4, 1, 4, 0);
}

/* To fifteen. */
static void finish(void)
{
	client_set_slot(2, 2, 1, 2, 0);
	client_set_slot(3, FAR_PAGE, 1, 3, 0);
	for (unsigned int i = 4; i < 8; i++)
		client_set_slot(i, 4 + i, 1, i, 0);
	client_set_slot(0, 0, 1, 0, KVM_MEM_LOG_DIRTY_PAGES);
	vcpu_read(0, page(2));
	vcpu_read(0, page(FAR_PAGE));
	vcpu_stop(0);
}

SCENARIO(mmio_wrap_pieces,
	.name = "mmio-wrap-pieces",
	.about = "a vCPU notes MMIO while all of it is dropped, piece by piece, since the "
		 "generation begins again",
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest }, { "client", client } },
		.finish = finish,
	});
