/* SPDX-License-Identifier: MIT */
/*
 * A guest takes a right from one of its pages, and one of its processors follows: the
 * shadow entry loses W, or goes.  The other processor's TLB may still write, as the
 * guest has not asked it to forget.  Then the client begins a log, takes one, clears
 * it, or resets a ring, and finds no writable entry to protect: its flush is due all
 * the same.
 */
#include "check/world/scenario.h"
#include "check/engine/timeline.h"
#include "mmu/tlb/tlb.h"

#define PAGE 2u
/* Rights are added and taken by one write: so a fault may follow it as well. */
#define BEFORE (GPTE_P | GPTE_W | GPTE_A | GPTE_D)
#define AFTER (BEFORE | GPTE_U)

static void make(struct machine_options o, uint32_t flags)
{
	o.vcpus = 2;
	guest_make(o, flags);
	host_poke(GUEST_PT, PAGE * 8, gpte(PAGE, BEFORE));
	/* The one that takes the right away is in user mode. */
	vm->vcpu[0].paging.cpl = 3;
	tlb_set_privilege(&vm->vcpu[0]);
	/* The table is given up to the guest's writes. */
	vcpu_read(0, page(GUEST_PT));
	guest_set_gpte(0, GUEST_PT, 7, gpte(7, GPTE_ALL));
	vcpu_stop(0);
	vcpu_write(1, page(PAGE));
	vcpu_stop(1);
}

static void set(uint64_t bits)
{
	guest_set_gpte(0, GUEST_PT, PAGE, gpte(PAGE, bits));
}

static void set_and_load_cr3(uint64_t bits)
{
	set(bits);
	guest_load_cr3(0, GUEST_PML4);
	vcpu_read(0, page(3));
}

static void guest0(void)
{
	switch (sched_ask(5, 0, true)) {
	case 0:
		timeline_note("takes D away, and loads CR3: a sync follows");
		set_and_load_cr3(AFTER & ~GPTE_D);
		break;
	case 1:
		timeline_note("takes D away, and allows user mode: a fault follows");
		set(AFTER & ~GPTE_D);
		vcpu_read(0, page(PAGE));
		break;
	case 2:
		timeline_note("takes D away, and does INVLPG");
		set(AFTER & ~GPTE_D);
		guest_invlpg(0, page(PAGE));
		break;
	case 3:
		timeline_note("takes A away, and loads CR3");
		set_and_load_cr3(AFTER & ~(GPTE_A | GPTE_D));
		break;
	default:
		timeline_note("protects the page, and loads CR3");
		set_and_load_cr3(AFTER & ~(GPTE_W | GPTE_D));
		break;
	}
	vcpu_stop(0);
}

static void guest1(void)
{
	vcpu_write(1, page(PAGE));
	vcpu_stop(1);
}

/* --- a log is taken ----------------------------------------------------------- */

static void setup_log(void)
{
	make((struct machine_options){ 0 }, KVM_MEM_LOG_DIRTY_PAGES);
}

static void finish_log(void)
{
	client_get_log(0, 0);
	oracle_compare(0, PAGE, 1);
}

SCENARIO(w_lost_get,
	.about = "a log is taken after a guest's change to its tables has made a page read-only",
	.modes = SHADOW_ONLY,
	.bound = -2,
	.program = {
		.setup = setup_log,
		.thread = {
			{ "vCPU 0", guest0 },
			{ "vCPU 1", guest1 },
			{ "client", client_harvests },
		},
		.finish = finish_log,
	});

/* --- a log is read and cleared ------------------------------------------------ */

static void setup_manual(void)
{
	make((struct machine_options){ .manual_protect = true }, KVM_MEM_LOG_DIRTY_PAGES);
}

static void get_and_clear(void)
{
	client_get_clear_copy(0, 0);
}

static void finish_manual(void)
{
	client_get_clear_copy(0, 0);
	oracle_compare(0, PAGE, 1);
}

SCENARIO(w_lost_clear,
	.about = "a log is cleared after a guest's change to its tables has made a page "
		 "read-only",
	.modes = SHADOW_ONLY,
	.bound = -2,
	.program = {
		.setup = setup_manual,
		.thread = {
			{ "vCPU 0", guest0 },
			{ "vCPU 1", guest1 },
			{ "client", get_and_clear },
		},
		.finish = finish_manual,
	});

/* --- a log begins ------------------------------------------------------------- */

static void setup_unlogged(void)
{
	make((struct machine_options){ 0 }, 0);
}

static void enable(void)
{
	client_set_slot(0, 0, GUEST_PAGES, 0, KVM_MEM_LOG_DIRTY_PAGES);
	client_copy_all(0, 0);
}

SCENARIO(w_lost_enable,
	.about = "a log begins after a guest's change to its tables has made a page read-only",
	.modes = SHADOW_ONLY,
	.bound = -2,
	.program = {
		.setup = setup_unlogged,
		.thread = {
			{ "vCPU 0", guest0 },
			{ "vCPU 1", guest1 },
			{ "client", enable },
		},
		.finish = finish_log,
	});

/* --- a ring is reset ---------------------------------------------------------- */

static void setup_ring(void)
{
	make((struct machine_options){ .rings = true }, KVM_MEM_LOG_DIRTY_PAGES);
}

static void reap(void)
{
	client_reap_ring(0, 1);
}

static void finish_ring(void)
{
	client_reap_ring(0, 0);
	client_reap_ring(0, 1);
	oracle_compare(0, PAGE, 1);
}

SCENARIO(w_lost_ring,
	.about = "a ring is reset after a guest's change to its tables has made a page "
		 "read-only",
	.modes = SHADOW_ONLY,
	.bound = -2,
	.program = {
		.setup = setup_ring,
		.thread = {
			{ "vCPU 0", guest0 },
			{ "vCPU 1", guest1 },
			{ "client", reap },
		},
		.finish = finish_ring,
	});
