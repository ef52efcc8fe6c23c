/* SPDX-License-Identifier: MIT */
/* machine/lapic_internal.h - between the files of the local APIC. */
#ifndef MACHINE_LAPIC_INTERNAL_H
#define MACHINE_LAPIC_INTERNAL_H

#include "machine/lapic.h"

static inline void lapic_set_reg(struct lapic *l, unsigned int offset, uint32_t value)
{
	atomic32_store_relaxed(&l->reg[offset / 16], value);
}

/* Of ISR, TMR and IRR. */
static inline struct atomic32 *lapic_word_of(struct lapic *l, unsigned int base, uint8_t vector)
{
	return &l->reg[base / 16 + vector / 32];
}

/* --- machine/lapic_vectors.c ------------------------------------------------------ */

uint32_t lapic_ppr(const struct lapic *l);
void lapic_end_interrupt(struct lapic *l);
/* The event of an entry of the local vector table has come. */
void lapic_local_event(struct lapic *l, unsigned int lvt);

/* --- machine/lapic_timer.c -------------------------------------------------------- */

void lapic_timer_init(struct lapic *l);
void lapic_timer_stop(struct lapic *l);
/* Its three registers are written. */
void lapic_timer_set_lvt(struct lapic *l, uint32_t value);
void lapic_timer_set_count(struct lapic *l, uint32_t value);
void lapic_timer_set_divide(struct lapic *l, uint32_t value);
uint32_t lapic_timer_count(struct lapic *l);
/* The registers were set by the client: goes on from the current count. */
void lapic_timer_restart(struct lapic *l, uint32_t count);

#endif
