/* SPDX-License-Identifier: MIT */
/*
 * A vCPU with nothing to do sleeps on its word of requests (machine/wakeup.h), while others set
 * what is to wake it, and flushes use the same word.  What it finds goes by the code of the
 * local APIC.  A wake-up that is lost is a deadlock.
 */
#include "check/engine/timeline.h"
#include "check/world/scenario.h"
#include "machine/lapic.h"
#include "machine/startup.h"
#include "machine/wakeup.h"
#include "mmu/tlb/request.h"

#define VECTOR_A 0x41
#define VECTOR_B 0x62

static struct halted {
	struct wakeup wakeup;
	struct lapic lapic;
	struct atomic32 stop;		/* what a client's kick says */
	unsigned int n_taken;		/* the vCPU's own */
	bool init_received, started;	/* likewise */
	uint32_t startup_vector;
} *halted;

static void kick(struct lapic *l)
{
	wakeup_kick(&container_of(l, struct halted, lapic)->wakeup);
}

static const struct lapic_ops ops = { .kick = kick };

static void vcpu_may_halt(void)
{
	machine_make_with_slot((struct machine_options){ .vcpus = 1 }, 0);
	halted = arena_alloc(sizeof(*halted));
	halted->lapic.ops = &ops;
	atomic64_store_relaxed(&halted->lapic.base, LAPIC_BASE_DEFAULT | LAPIC_BASE_ENABLED);
	atomic32_store_relaxed(&halted->lapic.reg[LAPIC_SVR / 16], LAPIC_SVR_ENABLED);
	wakeup_init(&halted->wakeup, &vm->vcpu[0].requests, REQUEST_KICK);
	timeline_register(&halted->wakeup.asleep, 4, 0, WORD_NUMBER, "asleep");
	timeline_register(&halted->lapic.reg[LAPIC_IRR / 16], 8 * 4, 4, WORD_HEX, "IRR");
	timeline_register(&halted->lapic.startup, 4, 0, WORD_HEX, "INIT and SIPI");
	timeline_register(&halted->stop, 4, 0, WORD_NUMBER, "stop");
}

static void send(uint8_t vector, enum delivery delivery)
{
	const struct interrupt i = { .vector = vector, .delivery = delivery, .asserted = true };

	lapic_accept(&halted->lapic, &i);
}

/* --- HLT and an interrupt --------------------------------------------------------- */

static bool takes_interrupt(void *arg)
{
	int vector = lapic_pending_vector(&halted->lapic);

	(void)arg;
	if (vector < 0)
		return false;
	timeline_note("takes vector %#x", (unsigned int)vector);
	lapic_take_vector(&halted->lapic, (uint8_t)vector);
	/* The EOI: nothing stays in service. */
	atomic32_store_relaxed(&halted->lapic.reg[LAPIC_ISR / 16 + vector / 32], 0);
	halted->n_taken++;
	return true;
}

static void vcpu0_halts_twice(void)
{
	wakeup_wait(&halted->wakeup, takes_interrupt, NULL, 0);
	wakeup_wait(&halted->wakeup, takes_interrupt, NULL, 0);
}

static void device_sends_a(void)
{
	send(VECTOR_A, DELIVER_FIXED);
}

static void device_sends_b(void)
{
	send(VECTOR_B, DELIVER_FIXED);
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

static bool takes_startup(void *arg)
{
	uint32_t startup = startup_take(&halted->lapic.startup);

	(void)arg;
	if (startup & STARTUP_INIT)
		halted->init_received = true;
	if ((startup & STARTUP_SIPI) && halted->init_received) {
		halted->started = true;
		halted->startup_vector = startup & STARTUP_VECTOR;
	}
	return halted->started;
}

static void vcpu0_waits_for_sipi(void)
{
	wakeup_wait(&halted->wakeup, takes_startup, NULL, 0);
	if (halted->startup_vector != 0x10)
		sched_fail(VERDICT_WRONG, "it started at vector %#x", halted->startup_vector);
}

static void vcpu1_sends_init_and_sipi(void)
{
	send(0, DELIVER_INIT);
	send(0x10, DELIVER_STARTUP);
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

static bool is_to_stop(void *arg)
{
	(void)arg;
	return atomic32_load_relaxed(&halted->stop);
}

/* The flush that was asked for meanwhile is not forgotten. */
static void vcpu0_halts_and_goes_on(void)
{
	wakeup_wait(&halted->wakeup, is_to_stop, NULL, 0);
	vcpu_read(0, page(1));
	vcpu_stop(0);
}

static void client_kicks(void)
{
	atomic32_store_relaxed(&halted->stop, 1);
	wakeup_kick(&halted->wakeup);
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
