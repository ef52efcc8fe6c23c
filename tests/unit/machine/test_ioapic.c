/* SPDX-License-Identifier: MIT */
/* tests/unit/machine/test_ioapic.c - the IOAPIC, and the routes that lead to it. */
#include "fixture.h"

#include <stdlib.h>

#include "machine/routes.h"

#define LEVEL 0x8000u
#define MASKED 0x10000u
#define REMOTE_IRR 0x4000u

static struct ioapic io;
static struct pic pic;
static struct routes routes;
static struct interrupt last;
static unsigned int n_delivered, n_unmasked, n_ended;
static int answer;
static bool lowers_when_told;

static int deliver(struct ioapic *i, const struct interrupt *interrupt)
{
	(void)i;
	last = *interrupt;
	n_delivered++;
	return answer;
}

static void note_unmasked(struct ioapic *i, unsigned int pin)
{
	(void)i;
	(void)pin;
	n_unmasked++;
}

static void note_ended(struct ioapic *i, unsigned int pin)
{
	n_ended++;
	if (lowers_when_told)
		ioapic_set_line(i, pin, 0, false);
}

static const struct ioapic_ops ioapic_ops = {
	.deliver = deliver,
	.unmasked = note_unmasked,
	.ended = note_ended,
};

static void ignore_output(struct pic *p)
{
	(void)p;
}

static void ignore_pin(struct pic *p, unsigned int pin)
{
	(void)p;
	(void)pin;
}

static const struct pic_ops pic_ops = {
	.output = ignore_output,
	.unmasked = ignore_pin,
	.ended = ignore_pin,
};

static int setup(void **state)
{
	world_setup(state);
	n_delivered = n_unmasked = n_ended = 0;
	answer = 1;
	lowers_when_told = false;
	ioapic_init(&io, &w.timers, &ioapic_ops);
	pic_init(&pic, &pic_ops);
	routes_init(&routes, &w.all, &pic, &io);
	return 0;
}

static int teardown(void **state)
{
	ioapic_destroy(&io);
	pic_destroy(&pic);
	free(atomic_ptr_load_relaxed(&routes.table));
	return world_teardown(state);
}

static void write_reg(uint32_t index, uint32_t value)
{
	assert_true(ioapic_write(&io, IOAPIC_BASE_DEFAULT, &index, 4));
	assert_true(ioapic_write(&io, IOAPIC_BASE_DEFAULT + 0x10, &value, 4));
}

static uint32_t read_reg(uint32_t index)
{
	uint32_t value = 0;

	assert_true(ioapic_write(&io, IOAPIC_BASE_DEFAULT, &index, 1));
	assert_true(ioapic_read(&io, IOAPIC_BASE_DEFAULT + 0x10, &value, 4));
	return value;
}

static void set_entry(unsigned int pin, uint32_t low, uint32_t high)
{
	write_reg(0x11 + pin * 2, high);
	write_reg(0x10 + pin * 2, low);
}

static int pulse(unsigned int pin)
{
	int result = ioapic_set_line(&io, pin, 0, true);

	ioapic_set_line(&io, pin, 0, false);
	return result;
}

static void registers_are_the_data_sheets(void **state)
{
	uint64_t wide = 0;

	(void)state;
	assert_int_equal(read_reg(1), 0x170011);
	write_reg(0, UINT32_MAX);
	assert_int_equal(read_reg(0), 0x0f000000);
	assert_int_equal(read_reg(2), 0x0f000000);
	assert_int_equal(read_reg(0x10), MASKED);
	assert_int_equal(read_reg(0x40), UINT32_MAX);
	write_reg(0x40, 5);
	write_reg(0xff, 5);
	set_entry(23, UINT32_MAX, 0xab000000);
	assert_int_equal(read_reg(0x3e), UINT32_MAX & ~(1u << 12 | REMOTE_IRR));
	assert_int_equal(read_reg(0x3f), 0xab000000);
	assert_true(ioapic_read(&io, IOAPIC_BASE_DEFAULT + 0x10, &wide, 8));
	assert_int_equal(wide, 0xab000000);
	assert_true(ioapic_read(&io, IOAPIC_BASE_DEFAULT + 0x80, &wide, 8));
	assert_int_equal(wide, 0);
	assert_false(ioapic_read(&io, IOAPIC_BASE_DEFAULT + 0x100, &wide, 4));
	assert_false(ioapic_write(&io, IOAPIC_BASE_DEFAULT - 1, &wide, 4));
}

static void an_edge_is_a_message(void **state)
{
	(void)state;
	assert_int_equal(pulse(4), -1);
	set_entry(4, 0x0900 | 0x31, 0x05000000);
	assert_int_equal(n_unmasked, 1);
	assert_int_equal(pulse(4), 1);
	assert_int_equal(last.vector, 0x31);
	assert_int_equal(last.delivery, DELIVER_LOWEST);
	assert_true(last.logical);
	assert_false(last.level);
	assert_int_equal(last.dest, 5);
	/* It is up already. */
	assert_int_equal(ioapic_set_line(&io, 4, 0, true), 1);
	assert_int_equal(ioapic_set_line(&io, 4, 1, true), 0);
	assert_int_equal(n_delivered, 2);
	ioapic_end(&io, 0x31, false);
	assert_int_equal(n_ended, 1);
	assert_int_equal(n_delivered, 2);
	assert_int_equal(ioapic_set_line(&io, 24, 0, true), -1);
}

static void a_level_is_remote_until_its_end(void **state)
{
	(void)state;
	set_entry(9, LEVEL | 0x41, 0);
	assert_int_equal(ioapic_set_line(&io, 9, 0, true), 1);
	assert_int_equal(read_reg(0x22), REMOTE_IRR | LEVEL | 0x41);
	assert_int_equal(ioapic_set_line(&io, 9, 0, true), -1);
	assert_int_equal(n_delivered, 1);
	/* Still up at the end: again. */
	ioapic_end(&io, 0x41, true);
	assert_int_equal(n_delivered, 2);
	lowers_when_told = true;
	ioapic_end(&io, 0x41, true);
	assert_int_equal(n_delivered, 2);
	assert_int_equal(read_reg(0x22), LEVEL | 0x41);
	/* Its end was not told to it, so it stays. */
	lowers_when_told = false;
	ioapic_set_line(&io, 9, 0, true);
	ioapic_end(&io, 0x41, false);
	assert_int_equal(read_reg(0x22), REMOTE_IRR | LEVEL | 0x41);
	ioapic_end(&io, 0x42, true);
	assert_int_equal(read_reg(0x22), REMOTE_IRR | LEVEL | 0x41);
}

static void a_level_waits_behind_its_mask(void **state)
{
	(void)state;
	set_entry(9, MASKED | LEVEL | 0x41, 0);
	assert_int_equal(ioapic_set_line(&io, 9, 0, true), -1);
	set_entry(9, LEVEL | 0x41, 0);
	assert_int_equal(n_delivered, 1);
	/* Remote IRR is read only; but an edge has none. */
	write_reg(0x22, LEVEL | 0x41);
	assert_int_equal(read_reg(0x22), REMOTE_IRR | LEVEL | 0x41);
	write_reg(0x22, MASKED | 0x41);
	write_reg(0x22, MASKED | LEVEL | 0x41);
	assert_int_equal(read_reg(0x22), MASKED | LEVEL | 0x41);
}

static void nobody_takes_a_level_and_it_is_not_remote(void **state)
{
	(void)state;
	answer = INTERRUPT_COALESCED;
	set_entry(9, LEVEL | 0x41, 0);
	assert_int_equal(ioapic_set_line(&io, 9, 0, true), 0);
	assert_int_equal(read_reg(0x22), LEVEL | 0x41);
}

static void a_storm_is_slowed_down(void **state)
{
	(void)state;
	set_entry(9, LEVEL | 0x41, 0);
	ioapic_set_line(&io, 9, 0, true);
	for (unsigned int i = 0; i < 9999; i++)
		ioapic_end(&io, 0x41, true);
	assert_int_equal(n_delivered, 10000);
	ioapic_end(&io, 0x41, true);
	assert_int_equal(n_delivered, 10000);
	world_pass(9999999);
	assert_int_equal(n_delivered, 10000);
	world_pass(1);
	assert_int_equal(n_delivered, 10001);
}

static void a_clients_state_is_raised_again(void **state)
{
	struct ioapic_state s;

	(void)state;
	set_entry(3, 0x33, 0);
	set_entry(9, LEVEL | 0x41, 0);
	ioapic_set_line(&io, 3, 0, true);
	ioapic_set_line(&io, 9, 0, true);
	ioapic_get_state(&io, &s);
	/* The edge has been delivered. */
	assert_int_equal(s.irr, 1u << 9);
	s.entry[9] &= ~(uint64_t)REMOTE_IRR;
	n_delivered = 0;
	ioapic_set_state(&io, &s);
	assert_int_equal(n_delivered, 1);
	memset(&s, 0xff, sizeof(s));
	ioapic_set_state(&io, &s);
	s.base = IOAPIC_BASE_DEFAULT;
	ioapic_set_state(&io, &s);
	assert_int_equal(read_reg(1), 0x170011);
	for (uint32_t index = 0; index < 256; index++)
		write_reg(index, read_reg(index));
}

static struct route_table *table_of(unsigned int n)
{
	struct route_table *t = calloc(1, sizeof(*t) + n * sizeof(t->route[0]));

	assert_non_null(t);
	t->n = n;
	return t;
}

static void the_default_routes(void **state)
{
	struct route_table *t = table_of(ROUTES_DEFAULT_ENTRIES);

	(void)state;
	routes_fill_default(t);
	assert_int_equal(t->n, ROUTES_DEFAULT_ENTRIES);
	routes_sort(t);
	assert_true(routes_are_valid(&routes, t));
	assert_null(routes_replace(&routes, t));
	assert_int_equal(routes_find_gsi(&routes, CONTROLLER_IOAPIC, 2), 2);
	assert_int_equal(routes_find_gsi(&routes, CONTROLLER_PIC_2, 7), 15);
	assert_int_equal(routes_find_gsi(&routes, CONTROLLER_PIC_1, 2), 2);
	assert_int_equal(routes_find_gsi(&routes, CONTROLLER_PIC_1, 8), -1);
	set_entry(4, 0x31, 0);
	/* The PIC and the IOAPIC. */
	assert_int_equal(routes_set_line(&routes, 4, LINE_CLIENT, true), 2);
	assert_int_equal(routes_set_line(&routes, 4, LINE_CLIENT, true), 0);
	assert_int_equal(routes_set_line(&routes, 4, LINE_CLIENT, false), 2);
	assert_int_equal(routes_set_line(&routes, 20, LINE_CLIENT, true), -1);
	assert_int_equal(routes_set_line(&routes, 24, LINE_CLIENT, true), -1);
	assert_int_equal(routes_pulse(&routes, UINT32_MAX, LINE_CLIENT), -1);
}

static void a_table_is_ordered_and_checked(void **state)
{
	struct route_table *t = table_of(100);

	(void)state;
	for (unsigned int i = 0; i < 100; i++)
		t->route[i] = (struct route){ .gsi = i * 37 % 100, .is_message = true };
	routes_sort(t);
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(t->route[i].gsi, i);
	assert_true(routes_are_valid(&routes, t));
	t->route[1].gsi = 0;
	assert_false(routes_are_valid(&routes, t));
	t->n = 1;
	t->route[0] = (struct route){ .controller = CONTROLLER_PIC_1, .pin = 8 };
	assert_false(routes_are_valid(&routes, t));
	t->route[0] = (struct route){ .controller = CONTROLLER_IOAPIC, .pin = 24 };
	assert_false(routes_are_valid(&routes, t));
	t->route[0] = (struct route){ .controller = 3 };
	assert_false(routes_are_valid(&routes, t));
	t->route[0] = (struct route){ .gsi = ROUTES_MAX_GSIS, .is_message = true };
	assert_false(routes_are_valid(&routes, t));
	t->route[0] = (struct route){ .controller = CONTROLLER_IOAPIC };
	assert_true(routes_are_valid(&routes, t));
	routes.ioapic = NULL;
	assert_false(routes_are_valid(&routes, t));
	t->n = 3;
	for (unsigned int i = 0; i < 3; i++)
		t->route[i] = (struct route){ .gsi = 5, .controller = (uint8_t)(i % 2) };
	assert_false(routes_are_valid(&routes, t));
	free(t);
}

static void messages_are_taken_apart(void **state)
{
	(void)state;
	assert_int_equal(routes_send_message(&routes, 0xfee02000, 0x4042), 1);
	assert_int_equal(lapic_pending_vector(&w.lapic[2]), 0x42);
	assert_int_equal(routes_send_message(&routes, 0xfeeff000, 0x0043), 4);
	assert_int_equal(routes_send_message(&routes, 0x100fee01000, 0x44), 1);
	assert_int_equal(lapic_pending_vector(&w.lapic[1]), 0x44);
	/* With the upper bits of the identifier there is nobody. */
	atomic32_store_relaxed(&routes.wide_messages, 1);
	assert_int_equal(routes_send_message(&routes, 0x10000fee01000, 0x44), -1);
	assert_int_equal(routes_send_message(&routes, 0xfee03000, 0xc045), 1);
	assert_int_equal(lapic_reg(&w.lapic[3], LAPIC_TMR + 0x20), 1u << 5);
}

static void level_vectors_of_the_clients_ioapic_are_known(void **state)
{
	struct route_table *t = table_of(3);

	(void)state;
	t->route[0] = (struct route){ .gsi = 1, .is_message = true, .address = 0xfee01000,
				      .data = 0xc051 };
	t->route[1] = (struct route){ .gsi = 2, .is_message = true, .address = 0xfee01000,
				      .data = 0x0052 };
	t->route[2] = (struct route){ .gsi = 24, .is_message = true, .address = 0xfee01000,
				      .data = 0xc053 };
	assert_null(routes_replace(&routes, t));
	assert_true(routes_has_level_vector(&routes, 24, &w.lapic[1], 0x51));
	assert_false(routes_has_level_vector(&routes, 24, &w.lapic[0], 0x51));
	assert_false(routes_has_level_vector(&routes, 24, &w.lapic[1], 0x52));
	assert_false(routes_has_level_vector(&routes, 24, &w.lapic[1], 0x53));
	assert_int_equal(routes_pulse(&routes, 24, LINE_CLIENT), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(registers_are_the_data_sheets),
		TEST(an_edge_is_a_message),
		TEST(a_level_is_remote_until_its_end),
		TEST(a_level_waits_behind_its_mask),
		TEST(nobody_takes_a_level_and_it_is_not_remote),
		TEST(a_storm_is_slowed_down),
		TEST(a_clients_state_is_raised_again),
		TEST(the_default_routes),
		TEST(a_table_is_ordered_and_checked),
		TEST(messages_are_taken_apart),
		TEST(level_vectors_of_the_clients_ioapic_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
