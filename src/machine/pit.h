/* SPDX-License-Identifier: MIT */
/*
 * machine/pit.h - the 8254 interval timer of a PC, and port 0x61.  Intel 8254 data sheet.
 *
 * Channel 0 interrupts.  Guests that count its interrupts lose time if one is dropped, so each
 * waits until the one before it has ended (reinjection).  Channel 2 is the speaker's: its
 * gate and its output are in port 0x61.
 */
#ifndef MACHINE_PIT_H
#define MACHINE_PIT_H

#include <stdbool.h>
#include <stdint.h>

#include "machine/timers.h"
#include "sync/lock.h"

#define PIT_CHANNELS 3u
#define PIT_HZ 1193182u
#define PIT_NO_MODE 0xffu	/* never programmed: channel 0 does not interrupt */

/* One channel, as a client saves it. */
struct pit_channel {
	uint32_t count;		/* that was loaded: 1 to 65536 */
	uint16_t latched_count;
	uint8_t count_latched;	/* which bytes of it are still to be read; 0: not latched */
	uint8_t status_latched;
	uint8_t status;
	uint8_t read_state, write_state; /* which byte is next */
	uint8_t write_latch;
	uint8_t rw_mode;
	uint8_t mode;		/* 0 to 5, or PIT_NO_MODE */
	uint8_t bcd;
	uint8_t gate;
	int64_t loaded_at;	/* CLOCK_MONOTONIC, ns */
};

struct pit;

struct pit_ops {
	/* Channel 0's output goes up and down: what became of the interrupt, see interrupt.h. */
	int (*pulse)(struct pit *p);
};

/* (c) constant after creation  (a) atomic  [x] under lock x */
struct pit {
	struct mutex lock;		/* (c) rank RANK_PIT */
	struct pit_channel channel[PIT_CHANNELS]; /* [lock] */
	bool speaker_on;		/* [lock] port 0x61, bit 1 */
	bool hpet_legacy;		/* [lock] the HPET has taken channel 0's place */
	uint64_t target, period;	/* [lock] channel 0, in ns; 0: it does not interrupt */
	struct atomic32 drops;		/* (a) no reinjection */
	struct atomic32 in_flight;	/* (a) an interrupt whose end is awaited */
	struct atomic32 pending;	/* (a) interrupts that have not ended, with that one */
	struct timer timer;		/* timers.h */
	struct timers *timers;		/* (c) */
	const struct pit_ops *ops;	/* (c) */
	bool has_port_61;		/* (c) */
};

void pit_init(struct pit *p, struct timers *timers, const struct pit_ops *ops, bool has_port_61);
void pit_destroy(struct pit *p);

/* True if @port is one of its. */
bool pit_read_port(struct pit *p, uint16_t port, uint8_t *value);
bool pit_write_port(struct pit *p, uint16_t port, uint8_t value);

/* Its interrupt has ended.  Any thread, with no lock of a controller. */
void pit_interrupt_ended(struct pit *p);
/* Its pin is no longer masked: what was awaited may never come.  Any thread. */
void pit_forget_interrupts(struct pit *p);
void pit_set_reinjection(struct pit *p, bool on);

/* What a client saves. */
struct pit_state {
	struct pit_channel channel[PIT_CHANNELS];
	bool hpet_legacy, speaker_on;
};
struct pit_state pit_get_state(struct pit *p);
/* Channel 0 begins its period now. */
void pit_set_state(struct pit *p, const struct pit_state *state);

#endif
