/* SPDX-License-Identifier: MIT */
/* machine/lapic_vectors.c - from a message to the vCPU: IRR, ISR, TMR, priorities. */
#include "base/compiler.h"
#include "machine/lapic_internal.h"
#include "machine/startup.h"

#define N_VECTORS 256u

static uint32_t bit_of(uint8_t vector)
{
	return 1u << (vector % 32);
}

static int highest(const struct lapic *l, unsigned int base)
{
	for (unsigned int i = N_VECTORS / 32; i-- > 0;) {
		uint32_t bits = atomic32_load_relaxed(&l->reg[base / 16 + i]);

		if (bits)
			return (int)(i * 32) + 31 - __builtin_clz(bits);
	}
	return -1;
}

/* TMR first: whoever finds the bit of IRR finds the trigger mode that belongs to it. */
static void set_pending(struct lapic *l, uint8_t vector, bool level)
{
	struct atomic32 *tmr = lapic_word_of(l, LAPIC_TMR, vector);
	uint32_t bit = bit_of(vector);

	if (level && !(atomic32_load_relaxed(tmr) & bit))
		atomic32_fetch_or(tmr, bit);
	else if (!level && (atomic32_load_relaxed(tmr) & bit))
		atomic32_fetch_and(tmr, ~bit);
	atomic32_fetch_or(lapic_word_of(l, LAPIC_IRR, vector), bit);
}

bool lapic_accept(struct lapic *l, const struct interrupt *i)
{
	switch (i->delivery) {
	case DELIVER_FIXED:
	case DELIVER_LOWEST:
		/* The end of a level is no interrupt. */
		if ((i->level && !i->asserted) || !lapic_is_enabled(l))
			return false;
		set_pending(l, i->vector, i->level);
		break;
	case DELIVER_NMI:
		atomic32_fetch_add(&l->nmis, 1);
		break;
	case DELIVER_INIT:
		/* INIT with level and without assert only synchronised the APICs of old. */
		if (i->level && !i->asserted)
			return true;
		startup_post_init(&l->startup);
		break;
	case DELIVER_STARTUP:
		startup_post_sipi(&l->startup, i->vector);
		break;
	case DELIVER_UNHALT:
		atomic32_store_relaxed(&l->unhalted, 1);
		break;
	default:
		return false;
	}
	l->ops->kick(l);
	return true;
}

uint32_t lapic_ppr(const struct lapic *l)
{
	uint32_t tpr = lapic_reg(l, LAPIC_TPR);
	int in_service = highest(l, LAPIC_ISR);
	uint32_t class = in_service < 0 ? 0 : (uint32_t)in_service & 0xf0;

	return (tpr & 0xf0) >= class ? tpr & 0xff : class;
}

int lapic_pending_vector(const struct lapic *l)
{
	int vector = lapic_is_on(l) ? highest(l, LAPIC_IRR) : -1;

	if (vector < 0 || ((uint32_t)vector & 0xf0) <= (lapic_ppr(l) & 0xf0))
		return -1;
	return vector;
}

void lapic_take_vector(struct lapic *l, uint8_t vector)
{
	struct atomic32 *isr = lapic_word_of(l, LAPIC_ISR, vector);

	/* One that comes after this is another interrupt. */
	atomic32_fetch_and(lapic_word_of(l, LAPIC_IRR, vector), ~bit_of(vector));
	atomic32_store_relaxed(isr, atomic32_load_relaxed(isr) | bit_of(vector));
}

void lapic_end_interrupt(struct lapic *l)
{
	int vector = highest(l, LAPIC_ISR);
	struct atomic32 *isr;
	bool level;

	if (vector < 0)
		return;
	isr = lapic_word_of(l, LAPIC_ISR, (uint8_t)vector);
	atomic32_store_relaxed(isr, atomic32_load_relaxed(isr) & ~bit_of((uint8_t)vector));
	level = atomic32_load_relaxed(lapic_word_of(l, LAPIC_TMR, (uint8_t)vector)) &
		bit_of((uint8_t)vector);
	if (lapic_reg(l, LAPIC_SVR) & LAPIC_SVR_NO_EOI_BROADCAST)
		level = false;
	l->ops->eoi(l, (uint8_t)vector, level);
}

void lapic_local_event(struct lapic *l, unsigned int lvt)
{
	uint32_t entry = lapic_reg(l, lvt);
	struct interrupt i = {
		.vector = (uint8_t)entry,
		.delivery = lvt == LAPIC_LVT_TIMER ? DELIVER_FIXED : (entry & LVT_MODE) >> 8,
		.asserted = true,
	};

	if (lapic_is_on(l) && !(entry & LVT_MASKED))
		lapic_accept(l, &i);
}

bool lapic_accepts_extint(const struct lapic *l)
{
	uint32_t entry = lapic_reg(l, LAPIC_LVT_LINT0);

	/* An APIC that is off lets the pin through to the processor. */
	return !lapic_is_on(l) ||
	       (!(entry & LVT_MASKED) && (entry & LVT_MODE) == (uint32_t)DELIVER_EXTINT << 8);
}
