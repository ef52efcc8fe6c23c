/* SPDX-License-Identifier: MIT */
/* machine/pic.c - see pic.h.  Intel 8259A data sheet. */
#include "machine/pic.h"

#include "base/compiler.h"
#include "machine/interrupt.h"

#define CASCADE 2u			/* the first one's input for the second */
#define SPURIOUS 7u
#define NONE (-1)
#define PORT_ELCR 0x4d0u
/* The timer, the keyboard, the cascade, the clock and the coprocessor are edges. */
static const uint8_t elcr_known[] = { 0xf8, 0xde };
static const uint16_t ports[] = { 0x20, 0xa0 };

static unsigned int number(const struct pic *p, const struct pic_chip *c)
{
	return (unsigned int)(c - p->chip);
}

/* How far the most urgent of @inputs is from the highest priority; 8: there is none. */
static unsigned int priority_of(const struct pic_chip *c, uint8_t inputs)
{
	unsigned int n = 0;

	while (n < 8 && !(inputs & 1u << ((n + c->priority_add) & 7)))
		n++;
	return n;
}

/* The input that would interrupt now, or NONE. */
static int find_request(const struct pic *p, const struct pic_chip *c)
{
	unsigned int wanted = priority_of(c, c->irr & ~c->imr), busy;
	uint8_t in_service = c->isr;

	/* What is masked holds nothing back in special mask mode. */
	if (c->special_mask)
		in_service &= ~c->imr;
	/* More of the second's interrupts may come while one of its is in service. */
	if (c->special_fully_nested_mode && number(p, c) == 0)
		in_service &= (uint8_t)~(1u << CASCADE);
	busy = priority_of(c, in_service);
	return wanted < busy ? (int)((wanted + c->priority_add) & 7) : NONE;
}

/* Level inputs follow the line; edges stay until they are taken.  True: a new request. */
static bool set_input(struct pic_chip *c, unsigned int input, bool level)
{
	uint8_t bit = (uint8_t)(1u << input), before = c->irr;
	bool is_new;

	if (c->elcr & bit) {
		is_new = level && !(c->irr & bit);
		c->irr = level ? c->irr | bit : c->irr & ~bit;
	} else {
		if (level && !(c->last_irr & bit))
			c->irr |= bit;
		is_new = c->irr != before;
	}
	c->last_irr = level ? c->last_irr | bit : c->last_irr & ~bit;
	return is_new;
}

static void update_output(struct pic *p) REQUIRES(p->lock)
{
	uint32_t raised;

	if (find_request(p, &p->chip[1]) != NONE) {
		set_input(&p->chip[0], CASCADE, true);
		set_input(&p->chip[0], CASCADE, false);
	}
	raised = find_request(p, &p->chip[0]) != NONE;
	if (atomic32_xchg(&p->raised, raised) < raised)
		p->ops->output(p);
}

static void end_input(struct pic *p, struct pic_chip *c, unsigned int input) REQUIRES(p->lock)
{
	c->isr &= (uint8_t)~(1u << input);
	p->ended |= 1u << (number(p, c) * 8 + input);
}

/* Those who are told may raise and lower lines. */
static void unlock_and_tell(struct pic *p) RELEASES(p->lock)
{
	uint32_t ended = p->ended;

	p->ended = 0;
	mutex_unlock(&p->lock);
	for (; ended; ended &= ended - 1)
		p->ops->ended(p, (unsigned int)__builtin_ctz(ended));
}

void pic_init(struct pic *p, const struct pic_ops *ops)
{
	*p = (struct pic){ .ops = ops };
	mutex_init(&p->lock, RANK_PIC);
}

void pic_destroy(struct pic *p)
{
	mutex_destroy(&p->lock);
}

int pic_set_line(struct pic *p, unsigned int pin, unsigned int source, bool level)
{
	struct pic_chip *c;
	int result = 1;
	bool is_new;

	if (pin >= PIC_PINS || source >= 32)
		return INTERRUPT_IGNORED;
	c = &p->chip[pin / 8];
	mutex_lock(&p->lock);
	if (level)
		p->lines[pin] |= 1u << source;
	else
		p->lines[pin] &= ~(1u << source);
	is_new = set_input(c, pin % 8, p->lines[pin]);
	if (c->imr & 1u << pin % 8)
		result = INTERRUPT_IGNORED;
	else if (p->lines[pin] && !is_new)
		result = INTERRUPT_COALESCED;
	update_output(p);
	mutex_unlock(&p->lock);
	return result;
}

static void take_input(struct pic *p, struct pic_chip *c, unsigned int input) REQUIRES(p->lock)
{
	uint8_t bit = (uint8_t)(1u << input);

	c->isr |= bit;
	if (!(c->elcr & bit))
		c->irr &= ~bit;
	if (!c->auto_eoi)
		return;
	if (c->rotate_on_auto_eoi)
		c->priority_add = (input + 1) & 7;
	end_input(p, c, input);
}

/* A request that has gone is input 7, with nothing in service. */
static uint8_t take_request(struct pic *p, struct pic_chip *c, unsigned int *input)
	REQUIRES(p->lock)
{
	int request = find_request(p, c);

	*input = request == NONE ? SPURIOUS : (unsigned int)request;
	if (request != NONE)
		take_input(p, c, *input);
	return (uint8_t)(c->irq_base + *input);
}

uint8_t pic_acknowledge(struct pic *p)
{
	unsigned int input;
	uint8_t vector;

	mutex_lock(&p->lock);
	vector = take_request(p, &p->chip[0], &input);
	if (input == CASCADE)
		vector = take_request(p, &p->chip[1], &input);
	update_output(p);
	unlock_and_tell(p);
	return vector;
}

/* --- registers -------------------------------------------------------------------- */

/* ICW1: requests of levels stay, those of edges are forgotten. */
static void begin_initialisation(struct pic *p, struct pic_chip *c, uint8_t value)
	REQUIRES(p->lock)
{
	uint8_t edges = c->irr & ~c->elcr;

	for (unsigned int input = 0; input < 8; input++)
		if (edges & 1u << input)
			end_input(p, c, input);
	*c = (struct pic_chip){
		.irr = c->irr & c->elcr,
		.elcr = c->elcr,
		.irq_base = c->irq_base,
		.init4 = value & 1,
		.auto_eoi = value & 1 ? c->auto_eoi : 0,
		.rotate_on_auto_eoi = c->rotate_on_auto_eoi,
		.special_fully_nested_mode = value & 1 ? c->special_fully_nested_mode : 0,
		.init_state = 1,
	};
}

/* OCW2: ends of interrupts, and rotation. */
static void write_eoi(struct pic *p, struct pic_chip *c, uint8_t value) REQUIRES(p->lock)
{
	enum { ROTATE = 4, SPECIFIC = 2, END = 1 };
	unsigned int command = value >> 5, input = value & 7, distance;

	if (!(command & END)) {
		if (!(command & SPECIFIC))
			c->rotate_on_auto_eoi = !!(command & ROTATE);
		else if (command & ROTATE)
			c->priority_add = (input + 1) & 7;
		return;
	}
	if (!(command & SPECIFIC)) {
		distance = priority_of(c, c->isr);
		if (distance == 8)
			return;
		input = (distance + c->priority_add) & 7;
	}
	if (command & ROTATE)
		c->priority_add = (input + 1) & 7;
	end_input(p, c, input);
}

/* OCW3. */
static void write_mode(struct pic_chip *c, uint8_t value)
{
	if (value & 0x04)
		c->poll = 1;
	if (value & 0x02)
		c->read_reg_select = value & 1;
	if (value & 0x40)
		c->special_mask = value >> 5 & 1;
}

static void write_command(struct pic *p, struct pic_chip *c, uint8_t value) REQUIRES(p->lock)
{
	if (value & 0x10)
		begin_initialisation(p, c, value);
	else if (value & 0x08)
		write_mode(c, value);
	else
		write_eoi(p, c, value);
}

static void write_mask(struct pic *p, struct pic_chip *c, uint8_t value) REQUIRES(p->lock)
{
	unsigned int opened = c->imr & ~value & 0xff;

	c->imr = value;
	for (; opened; opened &= opened - 1)
		p->ops->unmasked(p, number(p, c) * 8 + (unsigned int)__builtin_ctz(opened));
}

static void write_data(struct pic *p, struct pic_chip *c, uint8_t value) REQUIRES(p->lock)
{
	switch (c->init_state) {
	case 0:
		write_mask(p, c, value);
		break;
	case 1:
		c->irq_base = value & 0xf8;
		c->init_state = 2;
		break;
	case 2:
		/* Where the cascade is, is wired. */
		c->init_state = c->init4 ? 3 : 0;
		break;
	default:
		c->special_fully_nested_mode = value >> 4 & 1;
		c->auto_eoi = value >> 1 & 1;
		c->init_state = 0;
		break;
	}
}

/* A read after the poll command acknowledges. */
static uint8_t read_poll(struct pic *p, struct pic_chip *c) REQUIRES(p->lock)
{
	int request = find_request(p, c);

	c->poll = 0;
	if (request == NONE)
		return 0;
	take_input(p, c, (unsigned int)request);
	return (uint8_t)(0x80 | request);
}

/* NULL: not a port of theirs; else which chip's, and whether it is the second of two. */
static struct pic_chip *find_chip(struct pic *p, uint16_t port, bool *is_data)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(ports); i++) {
		*is_data = port & 1;
		if ((port & ~1u) == ports[i])
			return &p->chip[i];
	}
	return NULL;
}

bool pic_read_port(struct pic *p, uint16_t port, uint8_t *value)
{
	bool is_data;
	struct pic_chip *c = find_chip(p, port, &is_data);

	if (!c && port / 2 != PORT_ELCR / 2)
		return false;
	mutex_lock(&p->lock);
	if (!c)
		*value = p->chip[port & 1].elcr;
	else if (c->poll)
		*value = read_poll(p, c);
	else if (is_data)
		*value = c->imr;
	else
		*value = c->read_reg_select ? c->isr : c->irr;
	update_output(p);
	unlock_and_tell(p);
	return true;
}

bool pic_write_port(struct pic *p, uint16_t port, uint8_t value)
{
	bool is_data;
	struct pic_chip *c = find_chip(p, port, &is_data);

	if (!c && port / 2 != PORT_ELCR / 2)
		return false;
	mutex_lock(&p->lock);
	if (!c)
		p->chip[port & 1].elcr = value & elcr_known[port & 1];
	else if (is_data)
		write_data(p, c, value);
	else
		write_command(p, c, value);
	update_output(p);
	unlock_and_tell(p);
	return true;
}

/* --- by the client ---------------------------------------------------------------- */

void pic_get_chip(struct pic *p, unsigned int n, struct pic_chip *state)
{
	mutex_lock(&p->lock);
	*state = p->chip[n & 1];
	mutex_unlock(&p->lock);
}

void pic_set_chip(struct pic *p, unsigned int n, const struct pic_chip *state)
{
	mutex_lock(&p->lock);
	p->chip[n & 1] = *state;
	p->chip[n & 1].priority_add &= 7;
	p->chip[n & 1].elcr &= elcr_known[n & 1];
	update_output(p);
	mutex_unlock(&p->lock);
}
