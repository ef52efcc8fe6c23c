/* SPDX-License-Identifier: MIT */
#include "machine/routes.h"

#include "sync/rcu.h"

#define PIC_CHIP_PINS 8u

/* A message: SDM 3A 11.11. */
#define ADDRESS_LOGICAL (1u << 2)
#define ADDRESS_LOWEST (1u << 3)	/* redirection hint */
#define DATA_LEVEL (1u << 15)

void routes_init(struct routes *r, struct lapics *lapics, struct pic *pic, struct ioapic *ioapic)
{
	r->lapics = lapics;
	r->pic = pic;
	r->ioapic = ioapic;
	atomic_ptr_store_relaxed(&r->table, NULL);
	atomic32_store_relaxed(&r->wide_messages, 0);
}

/* --- tables ----------------------------------------------------------------------- */

static bool is_possible(const struct routes *r, const struct route *e)
{
	if (e->gsi >= ROUTES_MAX_GSIS)
		return false;
	/* With 32 bits of identifier the rest of the upper word's last byte is reserved. */
	if (e->is_message)
		return !atomic32_load_relaxed(&r->wide_messages) || !(e->address >> 32 & 0xff);
	switch (e->controller) {
	case CONTROLLER_PIC_1:
	case CONTROLLER_PIC_2:
		return r->pic && e->pin < PIC_CHIP_PINS;
	case CONTROLLER_IOAPIC:
		return r->ioapic && e->pin < IOAPIC_PINS;
	default:
		return false;
	}
}

static bool collide(const struct route *a, const struct route *b)
{
	return a->gsi == b->gsi &&
	       (a->is_message || b->is_message || a->controller == b->controller);
}

/* In order: those of one GSI are neighbours. */
bool routes_are_valid(const struct routes *r, const struct route_table *t)
{
	for (unsigned int i = 0; i < t->n; i++) {
		if (!is_possible(r, &t->route[i]))
			return false;
		for (unsigned int k = 1; k <= ROUTES_PER_GSI && k <= i; k++)
			if (collide(&t->route[i], &t->route[i - k]))
				return false;
	}
	return true;
}

static void sift(struct route *route, unsigned int root, unsigned int n)
{
	for (unsigned int child = 2 * root + 1; child < n; child = 2 * root + 1) {
		struct route moved = route[root];

		if (child + 1 < n && route[child].gsi < route[child + 1].gsi)
			child++;
		if (route[child].gsi <= moved.gsi)
			return;
		route[root] = route[child];
		route[child] = moved;
		root = child;
	}
}

/* A heap: the client chooses the order, and has thousands. */
void routes_sort(struct route_table *t)
{
	for (unsigned int i = t->n / 2; i-- > 0;)
		sift(t->route, i, t->n);
	for (unsigned int n = t->n; n > 1; n--) {
		struct route last = t->route[n - 1];

		t->route[n - 1] = t->route[0];
		t->route[0] = last;
		sift(t->route, 0, n - 1);
	}
}

struct route_table *routes_replace(struct routes *r, struct route_table *t)
{
	struct route_table *old = atomic_ptr_load_relaxed(&r->table);

	atomic_ptr_store_release(&r->table, t);
	rcu_synchronize();
	return old;
}

void routes_fill_default(struct route_table *t)
{
	t->n = 0;
	for (uint32_t gsi = 0; gsi < IOAPIC_PINS; gsi++) {
		if (gsi < PIC_PINS)
			t->route[t->n++] = (struct route){
				.gsi = gsi,
				.controller = gsi < PIC_CHIP_PINS ? CONTROLLER_PIC_1 :
								    CONTROLLER_PIC_2,
				.pin = gsi % PIC_CHIP_PINS,
			};
		t->route[t->n++] = (struct route){
			.gsi = gsi,
			.controller = CONTROLLER_IOAPIC,
			.pin = (uint8_t)gsi,
		};
	}
}

static unsigned int first_of(const struct route_table *t, uint32_t gsi)
{
	unsigned int low = 0, high = t->n;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;

		if (t->route[middle].gsi < gsi)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Copies: what they lead to is done outside the read section. */
static unsigned int find_routes(struct routes *r, uint32_t gsi, struct route found[ROUTES_PER_GSI])
{
	const struct route_table *t;
	unsigned int n = 0;

	rcu_read_begin();
	t = atomic_ptr_load_acquire(&r->table);
	for (unsigned int i = t ? first_of(t, gsi) : 0; t && n < ROUTES_PER_GSI && i < t->n; i++) {
		if (t->route[i].gsi != gsi)
			break;
		found[n++] = t->route[i];
	}
	rcu_read_end();
	return n;
}

/* --- raising ---------------------------------------------------------------------- */

static struct interrupt message_of(struct routes *r, uint64_t address, uint32_t data)
{
	struct interrupt i = {
		.dest = address >> 12 & 0xff,
		.vector = (uint8_t)data,
		.delivery = data >> 8 & 7,
		.logical = address & ADDRESS_LOGICAL,
		.level = data & DATA_LEVEL,
		.asserted = true,
		.lowest = address & ADDRESS_LOWEST,
	};

	if (atomic32_load_relaxed(&r->wide_messages))
		i.dest |= (uint32_t)(address >> 32) & ~0xffu;
	return i;
}

int routes_send_message(struct routes *r, uint64_t address, uint32_t data)
{
	const struct interrupt i = message_of(r, address, data);

	return lapics_deliver(r->lapics, &i);
}

static int set_one(struct routes *r, const struct route *e, unsigned int source, bool level)
{
	/* A message has no end. */
	if (e->is_message)
		return level ? routes_send_message(r, e->address, e->data) : INTERRUPT_IGNORED;
	if (e->controller == CONTROLLER_IOAPIC)
		return ioapic_set_line(r->ioapic, e->pin, source, level);
	return pic_set_line(r->pic, e->controller * PIC_CHIP_PINS + e->pin, source, level);
}

int routes_set_line(struct routes *r, uint32_t gsi, unsigned int source, bool level)
{
	struct route found[ROUTES_PER_GSI];
	unsigned int n = find_routes(r, gsi, found);
	int result = INTERRUPT_IGNORED;

	for (unsigned int i = 0; i < n; i++) {
		int taken = set_one(r, &found[i], source, level);

		if (taken >= 0)
			result = MAX(result, 0) + taken;
	}
	return result;
}

int routes_pulse(struct routes *r, uint32_t gsi, unsigned int source)
{
	int result = routes_set_line(r, gsi, source, true);

	routes_set_line(r, gsi, source, false);
	return result;
}

/* --- back from a pin or a vector -------------------------------------------------- */

int routes_find_gsi(struct routes *r, enum controller controller, unsigned int pin)
{
	const struct route_table *t;
	int gsi = -1;

	rcu_read_begin();
	t = atomic_ptr_load_acquire(&r->table);
	for (unsigned int i = 0; t && i < t->n && gsi < 0; i++) {
		const struct route *e = &t->route[i];

		if (!e->is_message && e->controller == controller && e->pin == pin)
			gsi = (int)e->gsi;
	}
	rcu_read_end();
	return gsi;
}

bool routes_has_level_vector(struct routes *r, unsigned int n_gsis, const struct lapic *l,
			     uint8_t vector)
{
	const struct route_table *t;
	bool found = false;

	rcu_read_begin();
	t = atomic_ptr_load_acquire(&r->table);
	for (unsigned int i = 0; t && i < t->n && t->route[i].gsi < n_gsis && !found; i++) {
		const struct route *e = &t->route[i];
		struct interrupt m;

		if (!e->is_message)
			continue;
		m = message_of(r, e->address, e->data);
		found = m.level && m.vector == vector && lapics_is_meant(r->lapics, l, &m);
	}
	rcu_read_end();
	return found;
}
