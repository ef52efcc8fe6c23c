/* SPDX-License-Identifier: MIT */
/*
 * machine/lapic.h - a local APIC: its registers, its timer, and what it offers to its vCPU.
 * SDM 3A chapter 11 (10 in older ones).
 *
 * Three sorts of threads use it:
 *
 *   the owner	the thread that has the vCPU: all registers, the timer, IRR -> ISR
 *   senders	other vCPUs, devices, the client: they set bits of IRR and TMR and the signals
 *		(NMI, INIT, SIPI), and read ID, LDR, DFR, SVR, LVTs and the base
 *   the service	timers.h: it sets timer_due
 *
 * Senders and the service take no lock.  What they set is set before the kick, and the owner
 * looks at it after it has taken the kick back (machine/wakeup.h), so nothing set is overlooked.
 * What can happen:
 *
 *   - A sender sets a bit of IRR while the owner moves that vector to ISR.  The owner clears the
 *     bit first: the new interrupt is delivered after the one being taken.
 *   - Two senders use one vector with different trigger modes: TMR has either.  The guest has
 *     programmed that.
 *   - A sender finds the APIC enabled or addressed while the owner changes that: the message is
 *     from before or from after the change.
 */
#ifndef MACHINE_LAPIC_H
#define MACHINE_LAPIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/interrupt.h"
#include "machine/timers.h"
#include "sync/atomic.h"

/* Registers: byte offsets in the page; those of x2APIC are MSR 0x800 + offset / 16. */
enum {
	LAPIC_ID = 0x20,
	LAPIC_VERSION = 0x30,
	LAPIC_TPR = 0x80,
	LAPIC_ARBITRATION = 0x90,
	LAPIC_PPR = 0xa0,
	LAPIC_EOI = 0xb0,
	LAPIC_LDR = 0xd0,
	LAPIC_DFR = 0xe0,
	LAPIC_SVR = 0xf0,
	LAPIC_ISR = 0x100,		/* 8 registers each */
	LAPIC_TMR = 0x180,
	LAPIC_IRR = 0x200,
	LAPIC_ESR = 0x280,
	LAPIC_LVT_CMCI = 0x2f0,
	LAPIC_ICR = 0x300,
	LAPIC_ICR_HIGH = 0x310,
	LAPIC_LVT_TIMER = 0x320,
	LAPIC_LVT_THERMAL = 0x330,
	LAPIC_LVT_PERF = 0x340,
	LAPIC_LVT_LINT0 = 0x350,
	LAPIC_LVT_LINT1 = 0x360,
	LAPIC_LVT_ERROR = 0x370,
	LAPIC_INITIAL_COUNT = 0x380,
	LAPIC_CURRENT_COUNT = 0x390,
	LAPIC_DIVIDE = 0x3e0,
	LAPIC_SELF_IPI = 0x3f0,
};
#define LAPIC_BYTES 0x400u
#define LAPIC_WORDS (LAPIC_BYTES / 16)

#define LAPIC_BASE_DEFAULT 0xfee00000ull
#define LAPIC_BASE_BSP (1u << 8)
#define LAPIC_BASE_X2APIC (1u << 10)
#define LAPIC_BASE_ENABLED (1u << 11)

#define LAPIC_SVR_ENABLED (1u << 8)
#define LAPIC_SVR_NO_EOI_BROADCAST (1u << 12)
#define LAPIC_VERSION_NO_EOI_BROADCAST (1u << 24)

#define LVT_MASKED (1u << 16)
#define LVT_MODE 0x700u			/* enum delivery << 8 */

#define MSR_X2APIC_FIRST 0x800u
#define MSR_X2APIC_LAST 0x8ffu

struct lapic;

/* What a local APIC asks of what is around it. */
struct lapic_ops {
	/* The owner is to look at it.  Any thread. */
	void (*kick)(struct lapic *l);
	/* The owner has ended the interrupt in service with this vector. */
	void (*eoi)(struct lapic *l, uint8_t vector, bool level);
	/* The guest's time-stamp counter, and how many nanoseconds @ticks of it take. */
	uint64_t (*tsc)(struct lapic *l);
	uint64_t (*tsc_to_ns)(struct lapic *l, uint64_t ticks);
};

struct lapics;

/* (c) constant after creation  (a) atomic  (o) the owner's */
struct lapic {
	struct atomic32 reg[LAPIC_WORDS]; /* (a) by offset / 16; in x2APIC mode ID is the whole */
	struct atomic64 base;		/* (a) MSR 0x1b; the owner writes */
	struct atomic32 nmis;		/* (a) that wait */
	struct atomic32 unhalted;	/* (a) a halt ends, or does not begin */
	struct atomic32 startup;	/* (a) INIT and SIPI that wait: machine/startup.h */
	struct atomic32 arbitrations;	/* (a) lowest priority: how often it was chosen */
	struct lapics *all;		/* (c) */
	struct timers *timers;		/* (c) */
	const struct lapic_ops *ops;	/* (c) */
	uint32_t id;			/* (c) of the vCPU */
	bool has_tsc_deadline;		/* (o) by the guest's CPUID */
	bool has_cmci;			/* (o) a seventh entry of the local vector table */
	bool has_directed_eoi;		/* (o) the IOAPIC is the client's, and CPUID has x2APIC */

	struct timer timer;		/* [timers.lock] */
	struct atomic32 timer_due;	/* (a) set by the service: the clock is to be looked at */
	uint64_t target;		/* (o) when it expires; 0: it is stopped */
	uint64_t period;		/* (o) ns, of the initial count */
	uint64_t tsc_deadline;		/* (o) MSR 0x6e0 */
};

/* As after power-up.  @bsp: of the bootstrap processor. */
void lapic_init(struct lapic *l, struct lapics *all, struct timers *timers,
		const struct lapic_ops *ops, uint32_t id, bool bsp);
void lapic_destroy(struct lapic *l);

/* --- any thread ------------------------------------------------------------------- */

static inline uint32_t lapic_reg(const struct lapic *l, unsigned int offset)
{
	return atomic32_load_relaxed(&l->reg[offset / 16]);
}

static inline bool lapic_is_on(const struct lapic *l)
{
	return atomic64_load_relaxed(&l->base) & LAPIC_BASE_ENABLED;
}

static inline bool lapic_is_x2apic(const struct lapic *l)
{
	return atomic64_load_relaxed(&l->base) & LAPIC_BASE_X2APIC;
}

/* By the base and by the spurious-interrupt register. */
static inline bool lapic_is_enabled(const struct lapic *l)
{
	return lapic_is_on(l) && (lapic_reg(l, LAPIC_SVR) & LAPIC_SVR_ENABLED);
}

/* An interrupt for it: true if it was taken. */
bool lapic_accept(struct lapic *l, const struct interrupt *i);

/* --- the owner -------------------------------------------------------------------- */

/* INIT: registers as after power-up, but for ID and mode. */
void lapic_reset(struct lapic *l);
/* The client or the guest has written MSR 0x1b, and the value was found good. */
void lapic_set_base(struct lapic *l, uint64_t base);

/* As the client sets machine checks up; the interrupt that tells of errors is due. */
void lapic_set_cmci(struct lapic *l, bool has_cmci);
void lapic_signal_cmci(struct lapic *l);

/* False: not a register of it in this mode, or a reserved value (#GP). */
bool lapic_read_msr(struct lapic *l, uint32_t index, uint64_t *value) MUST_CHECK;
bool lapic_write_msr(struct lapic *l, uint32_t index, uint64_t value) MUST_CHECK;
uint64_t lapic_get_tsc_deadline(struct lapic *l);
void lapic_set_tsc_deadline(struct lapic *l, uint64_t value);

/* True if @gpa is in its page, and the access was made. */
bool lapic_read(struct lapic *l, uint64_t gpa, void *data, unsigned int bytes);
bool lapic_write(struct lapic *l, uint64_t gpa, const void *data, unsigned int bytes);

/* CR8 is bits 7:4 of TPR. */
static inline unsigned int lapic_get_cr8(const struct lapic *l)
{
	return (lapic_reg(l, LAPIC_TPR) >> 4) & 0xf;
}

void lapic_set_cr8(struct lapic *l, unsigned int cr8);

/* Takes over what the timer has done meanwhile.  Before a look at what is pending. */
void lapic_poll(struct lapic *l);
/* The vector that may be delivered now by priority, or -1. */
int lapic_pending_vector(const struct lapic *l);
/* It goes from IRR to ISR: the vCPU delivers it. */
void lapic_take_vector(struct lapic *l, uint8_t vector);
/* Does the PIC's output get through? */
bool lapic_accepts_extint(const struct lapic *l);

/*
 * All registers, as 32-bit words at multiples of 16.  With the identifier as in the mode it is
 * in; setting expects the base to be set.
 */
void lapic_get_state(struct lapic *l, uint8_t state[LAPIC_BYTES]);
void lapic_set_state(struct lapic *l, const uint8_t state[LAPIC_BYTES]);

#endif
