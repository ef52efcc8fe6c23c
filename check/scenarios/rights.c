/* SPDX-License-Identifier: MIT */
/* What the guest's tables allow: to whom, for what, and with which error code not. */
#include "check/engine/timeline.h"
#include "check/world/scenario.h"

#define GVA (2ull << 20)	/* page 3, by a directory entry for the supervisor only */
#define CODE (4ull << 20)	/* page 3, by one that forbids to execute */
#define KEYED 4			/* a page with protection key 1 */
#define KEY_1 (1ull << GPTE_PKEY_SHIFT)
#define PKRU_1_READ_ONLY 8u
#define PKRU_1_NOT_AT_ALL 4u

static void guest_with_all_rights(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	host_poke(GUEST_PD, 8, gpte(GUEST_PT2, GPTE_ALL & ~GPTE_U));
	host_poke(GUEST_PD, 16, gpte(GUEST_PT2, GPTE_ALL | GPTE_NX));
	host_poke(GUEST_PT2, 0, gpte(3, GPTE_ALL));
	host_poke(GUEST_PT, KEYED * 8, gpte(KEYED, GPTE_ALL | KEY_1));
	for (unsigned int n = 0; n < 2; n++)
		vm->vcpu[n].paging.cr4 |= X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE;
	guest_watch(page(2));
	guest_watch(GVA);
	guest_watch(CODE);
	guest_watch(page(KEYED));
}

/* --- one vCPU, and all that may be refused ---------------------------------------- */

static void vcpu0_as_user(void)
{
	guest_set_cpl(0, 3);
	vcpu_execute(0, page(2));
	guest_read_watched(0, GVA);
	guest_read_watched(0, CODE);
	vcpu_execute(0, CODE);
	guest_set_pkru(0, PKRU_1_READ_ONLY);
	guest_read_watched(0, page(KEYED));
	guest_write_watched(0, page(KEYED));
	guest_set_pkru(0, PKRU_1_NOT_AT_ALL);
	guest_read_watched(0, page(KEYED));
	vcpu_execute(0, page(KEYED));
	guest_set_cpl(0, 0);
}

static void vcpu0_as_supervisor(void)
{
	guest_set_ac(0, true);
	guest_read_watched(0, page(2));
	guest_set_ac(0, false);
	guest_read_watched(0, page(2));
	vcpu_execute(0, page(2));
	vcpu_execute(0, GVA);
	guest_write_watched(0, GVA);
}

static void vcpu0_tries_all(void)
{
	vcpu0_as_user();
	vcpu0_as_supervisor();
	vcpu_stop(0);
}

/* It has to find the guest's translations all the same. */
static void host_moves_page_3(void)
{
	host_move(&vm->mmu, 3, 1);
}

SCENARIO(rights,
	.about = "a vCPU tries what its tables allow and what they do not while the host moves a "
		 "page",
	.bound = -2,
	.program = {
		.setup = guest_with_all_rights,
		.thread = {
			{ "vCPU 0", vcpu0_tries_all },
			{ "host", host_moves_page_3 },
		},
	});

/* --- rights are taken away -------------------------------------------------------- */

static void vcpu0_uses_page_2_as_user(void)
{
	guest_set_cpl(0, 3);
	guest_write_watched(0, page(2));
	vcpu_execute(0, page(2));
	guest_set_cpl(0, 0);
	guest_invlpg(0, page(2));
	guest_set_cpl(0, 3);
	guest_read_watched(0, page(2));
	guest_write_watched(0, page(2));
	vcpu_execute(0, page(2));
	vcpu_stop(0);
}

static uint64_t less(void)
{
	switch (sched_ask(4, 0, true)) {
	case 0:
		timeline_note("no writing");
		return GPTE_ALL & ~GPTE_W;
	case 1:
		timeline_note("no user");
		return GPTE_ALL & ~GPTE_U;
	case 2:
		timeline_note("no execution");
		return GPTE_ALL | GPTE_NX;
	default:
		timeline_note("a reserved bit");
		return GPTE_ALL | 1ull << 50;
	}
}

static void vcpu1_takes_a_right(void)
{
	guest_set_ac(1, true);
	guest_set_gpte(1, GUEST_PT, 2, gpte(2, less()));
	guest_invlpg(1, page(2));
	guest_read_watched(1, page(2));
	vcpu_stop(1);
}

SCENARIO(rights_taken,
	.about = "a vCPU takes a right from a page that another uses in user mode",
	.bound = -2,
	.program = {
		.setup = guest_with_all_rights,
		.thread = {
			{ "vCPU 0", vcpu0_uses_page_2_as_user },
			{ "vCPU 1", vcpu1_takes_a_right },
		},
	});
