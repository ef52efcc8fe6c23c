/* SPDX-License-Identifier: MIT */
/*
 * machine/pic.h - the pair of 8259A interrupt controllers of a PC.
 *
 * The second one's output is input 2 of the first.  Whose output is raised is told to the
 * machine, which kicks a vCPU; that acknowledges, and gets the vector.
 */
#ifndef MACHINE_PIC_H
#define MACHINE_PIC_H

#include <stdbool.h>
#include <stdint.h>

#include "sync/atomic.h"
#include "sync/lock.h"

#define PIC_PINS 16u

/* The registers of one, as a client saves them. */
struct pic_chip {
	uint8_t last_irr;	/* levels of the inputs, to find edges */
	uint8_t irr, imr, isr;
	uint8_t priority_add;	/* the input of highest priority */
	uint8_t irq_base;	/* vector of input 0 */
	uint8_t read_reg_select; /* 1: ISR, 0: IRR */
	uint8_t poll;
	uint8_t special_mask;
	uint8_t init_state;	/* the initialisation word that is expected; 0: none */
	uint8_t auto_eoi;
	uint8_t rotate_on_auto_eoi;
	uint8_t special_fully_nested_mode;
	uint8_t init4;		/* a fourth initialisation word follows */
	uint8_t elcr;		/* inputs that are triggered by level */
};

struct pic;

struct pic_ops {
	/* The output has gone up.  With the lock. */
	void (*output)(struct pic *p);
	/* An input is no longer masked.  With the lock. */
	void (*unmasked)(struct pic *p, unsigned int pin);
	/* An interrupt is no longer in service.  Without it. */
	void (*ended)(struct pic *p, unsigned int pin);
};

/* (c) constant after creation  (a) atomic  [x] under lock x */
struct pic {
	struct mutex lock;		/* (c) rank RANK_PIC */
	struct pic_chip chip[2];	/* [lock] */
	uint32_t lines[PIC_PINS];	/* [lock] which sources raise the pin */
	uint32_t ended;			/* [lock] pins to tell of when the lock is dropped */
	struct atomic32 raised;		/* (a) the output; changed under the lock */
	const struct pic_ops *ops;	/* (c) */
};

void pic_init(struct pic *p, const struct pic_ops *ops);
void pic_destroy(struct pic *p);

/* One of a pin's sources raises or lowers it: 1, INTERRUPT_COALESCED or INTERRUPT_IGNORED. */
int pic_set_line(struct pic *p, unsigned int pin, unsigned int source, bool level);
/* The vCPU that takes it: the vector. */
uint8_t pic_acknowledge(struct pic *p);

/* True if @port is one of theirs. */
bool pic_read_port(struct pic *p, uint16_t port, uint8_t *value);
bool pic_write_port(struct pic *p, uint16_t port, uint8_t value);

void pic_get_chip(struct pic *p, unsigned int n, struct pic_chip *state);
void pic_set_chip(struct pic *p, unsigned int n, const struct pic_chip *state);

#endif
