/* SPDX-License-Identifier: MIT */
/*
 * A vCPU with nothing to do sleeps on its word of requests (machine/wakeup.h), while others set
 * what is to wake it, and flushes use the same word.  What it finds goes by the code of the
 * local APIC.
 */
#include "check/world/halt.h"
#include "check/world/scenario.h"

#define VECTOR_A 0x41
#define VECTOR_B 0x62

static void vcpu_may_halt(void)
{
	machine_make_with_slot((struct machine_options){ .vcpus = 1 }, 0);
	halt_make();
}

/* --- HLT and an interrupt --------------------------------------------------------- */

static void vcpu0_halts_twice(void)
{
	halt_until_interrupt();
	halt_until_interrupt();
}

static void device_sends_a(void)
{
	halt_send(VECTOR_A, DELIVER_FIXED);
}

static void device_sends_b(void)
{
	halt_send(VECTOR_B, DELIVER_FIXED);
}

SCENARIO(halt_irr,
	.about = "a vCPU halts, and two devices each send it an interrupt",
	.modes = TDP_ONLY,
	.program = {
		.setup = vcpu_may_halt,
		.thread = {
			{ "vCPU 0", vcpu0_halts_twice },
			{ "device A", device_sends_a },
			{ "device B", device_sends_b },
		},
	});

/* --- a vCPU that was not started yet ---------------------------------------------- */

static void vcpu0_waits_for_sipi(void)
{
	halt_until_startup();
}

static void vcpu1_sends_init_and_sipi(void)
{
	halt_send(0, DELIVER_INIT);
	halt_send(HALT_STARTUP_VECTOR, DELIVER_STARTUP);
}

SCENARIO(halt_startup,
	.about = "a vCPU waits to be started, and another sends INIT and SIPI without a pause",
	.modes = TDP_ONLY,
	.program = {
		.setup = vcpu_may_halt,
		.thread = {
			{ "vCPU 0", vcpu0_waits_for_sipi },
			{ "vCPU 1", vcpu1_sends_init_and_sipi },
		},
	});

/* --- a kick of the client's, while the host takes a page back ---------------------- */

static void page_1_is_in_the_tlb(void)
{
	vcpu_may_halt();
	vcpu_write(0, page(1));
	vcpu_stop(0);
}

/* The flush that was asked for meanwhile is not forgotten. */
static void vcpu0_halts_and_goes_on(void)
{
	halt_until_stop();
	vcpu_read(0, page(1));
	vcpu_stop(0);
}

static void client_kicks(void)
{
	halt_stop();
}

SCENARIO(halt_kick,
	.about = "a vCPU halts with a full TLB; the host takes a page back, and the client kicks",
	.modes = TDP_ONLY,
	.bound = -1,
	.program = {
		.setup = page_1_is_in_the_tlb,
		.thread = {
			{ "vCPU 0", vcpu0_halts_and_goes_on },
			{ "host", host_unmaps_page_1 },
			{ "client", client_kicks },
		},
	});
