/* SPDX-License-Identifier: MIT */
#include "check/world/halt.h"

#include "check/engine/arena.h"
#include "check/engine/sched.h"
#include "check/engine/timeline.h"
#include "check/world/machine.h"
#include "machine/lapic.h"
#include "machine/startup.h"
#include "machine/wakeup.h"
#include "mmu/tlb/request.h"

static struct halted {
	struct wakeup wakeup;
	struct lapic lapic;
	struct atomic32 stop;		/* what a client's kick says */
	bool init_received, started;	/* the vCPU's own */
	uint32_t startup_vector;
} *halted;

static void kick(struct lapic *l)
{
	wakeup_kick(&container_of(l, struct halted, lapic)->wakeup);
}

static const struct lapic_ops ops = { .kick = kick };

void halt_make(void)
{
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
	return true;
}

void halt_until_interrupt(void)
{
	wakeup_wait(&halted->wakeup, takes_interrupt, NULL, 0);
}

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

void halt_until_startup(void)
{
	wakeup_wait(&halted->wakeup, takes_startup, NULL, 0);
	if (halted->startup_vector != HALT_STARTUP_VECTOR)
		sched_fail(VERDICT_WRONG, "it started at vector %#x", halted->startup_vector);
}

static bool is_to_stop(void *arg)
{
	(void)arg;
	return atomic32_load_relaxed(&halted->stop);
}

void halt_until_stop(void)
{
	wakeup_wait(&halted->wakeup, is_to_stop, NULL, 0);
}

void halt_send(uint8_t vector, enum delivery delivery)
{
	const struct interrupt i = { .vector = vector, .delivery = delivery, .asserted = true };

	lapic_accept(&halted->lapic, &i);
}

void halt_stop(void)
{
	atomic32_store_relaxed(&halted->stop, 1);
	wakeup_kick(&halted->wakeup);
}
