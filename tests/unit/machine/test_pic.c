/* SPDX-License-Identifier: MIT */
/* tests/unit/machine/test_pic.c - the pair of 8259s. */
#include "fixture.h"

#include "machine/pic.h"

static struct pic pic;
static uint32_t ended, unmasked;
static unsigned int n_outputs;

static void count_output(struct pic *p)
{
	(void)p;
	n_outputs++;
}

static void note_unmasked(struct pic *p, unsigned int pin)
{
	(void)p;
	unmasked |= 1u << pin;
}

static void note_ended(struct pic *p, unsigned int pin)
{
	/* It may be used from here. */
	pic_set_line(p, 15, 9, false);
	ended |= 1u << pin;
}

static const struct pic_ops pic_ops = {
	.output = count_output,
	.unmasked = note_unmasked,
	.ended = note_ended,
};

static void out(uint16_t port, uint8_t value)
{
	assert_true(pic_write_port(&pic, port, value));
}

static uint8_t in(uint16_t port)
{
	uint8_t value = 0;

	assert_true(pic_read_port(&pic, port, &value));
	return value;
}

/* As firmware does it: vectors 8 and 0x70. */
static int setup(void **state)
{
	(void)state;
	ended = unmasked = n_outputs = 0;
	pic_init(&pic, &pic_ops);
	out(0x20, 0x11);
	out(0xa0, 0x11);
	out(0x21, 0x08);
	out(0xa1, 0x70);
	out(0x21, 0x04);
	out(0xa1, 0x02);
	out(0x21, 0x01);
	out(0xa1, 0x01);
	out(0x21, 0);
	out(0xa1, 0);
	ended = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pic_destroy(&pic);
	return 0;
}

static bool is_raised(void)
{
	return atomic32_load_relaxed(&pic.raised);
}

static int pulse(unsigned int pin)
{
	int result = pic_set_line(&pic, pin, 0, true);

	pic_set_line(&pic, pin, 0, false);
	return result;
}

static void an_edge_is_taken_once(void **state)
{
	(void)state;
	assert_int_equal(pulse(0), 1);
	assert_int_equal(n_outputs, 1);
	assert_int_equal(pulse(0), 0);
	assert_int_equal(in(0x20), 1);
	assert_int_equal(pic_acknowledge(&pic), 8);
	assert_false(is_raised());
	out(0x20, 0x0b);
	assert_int_equal(in(0x20), 1);
	out(0x20, 0x0a);
	assert_int_equal(in(0x20), 0);
	/* The next waits for the end of this one. */
	assert_int_equal(pulse(0), 1);
	assert_false(is_raised());
	out(0x20, 0x20);
	assert_int_equal(ended, 1);
	assert_true(is_raised());
	assert_int_equal(n_outputs, 2);
}

static void a_line_held_by_two_is_up_until_both_drop_it(void **state)
{
	(void)state;
	assert_true(pic_write_port(&pic, 0x4d1, 0xff));
	assert_int_equal(in(0x4d1), 0xde);
	assert_int_equal(pic_set_line(&pic, 11, 0, true), 1);
	assert_int_equal(pic_set_line(&pic, 11, 1, true), 0);
	pic_set_line(&pic, 11, 0, false);
	assert_true(is_raised());
	assert_int_equal(in(0xa0), 1u << 3);
	pic_set_line(&pic, 11, 1, false);
	assert_int_equal(in(0xa0), 0);
	/* The first has latched the edge of its cascade: a spurious one of the second. */
	assert_true(is_raised());
	assert_int_equal(pic_acknowledge(&pic), 0x77);
}

static void a_level_comes_again_after_its_end(void **state)
{
	(void)state;
	out(0x4d0, 0xff);
	assert_int_equal(in(0x4d0), 0xf8);
	pic_set_line(&pic, 5, 0, true);
	assert_int_equal(pic_acknowledge(&pic), 13);
	assert_false(is_raised());
	out(0x20, 0x65);
	assert_true(is_raised());
	pic_set_line(&pic, 5, 0, false);
	assert_false(is_raised());
	assert_int_equal(pic_acknowledge(&pic), 15);
	assert_int_equal(in(0x20), 0);
}

static void the_second_comes_through_the_first(void **state)
{
	(void)state;
	pulse(8);
	pulse(1);
	assert_int_equal(pic_acknowledge(&pic), 9);
	out(0x20, 0x20);
	assert_int_equal(pic_acknowledge(&pic), 0x70);
	out(0xa0, 0x20);
	out(0x20, 0x20);
	assert_int_equal(ended, 1u << 1 | 1u << 8 | 1u << 2);
}

static void masked_requests_wait(void **state)
{
	(void)state;
	out(0x21, 0x10);
	assert_int_equal(pulse(4), -1);
	assert_false(is_raised());
	assert_int_equal(in(0x21), 0x10);
	unmasked = 0;
	out(0x21, 0);
	assert_int_equal(unmasked, 1u << 4);
	assert_int_equal(pic_acknowledge(&pic), 12);
}

static void the_lower_number_is_more_urgent(void **state)
{
	(void)state;
	pulse(6);
	pulse(3);
	assert_int_equal(pic_acknowledge(&pic), 11);
	assert_false(is_raised());
	pulse(1);
	assert_int_equal(pic_acknowledge(&pic), 9);
	out(0x20, 0x20);
	assert_int_equal(ended, 1u << 1);
	out(0x20, 0x20);
	assert_int_equal(ended, 1u << 1 | 1u << 3);
	assert_int_equal(pic_acknowledge(&pic), 14);
}

static void priorities_rotate(void **state)
{
	(void)state;
	/* Input 4 is the lowest from here on: 5 is the highest. */
	out(0x20, 0xc4);
	pulse(4);
	pulse(5);
	pulse(0);
	assert_int_equal(pic_acknowledge(&pic), 13);
	/* A rotating end: 5 becomes the lowest. */
	out(0x20, 0xa0);
	pulse(5);
	assert_int_equal(pic_acknowledge(&pic), 8);
	out(0x20, 0xe0);
	assert_int_equal(pic_acknowledge(&pic), 12);
	out(0x20, 0x20);
	assert_int_equal(pic_acknowledge(&pic), 13);
}

static void an_automatic_end_leaves_nothing_in_service(void **state)
{
	(void)state;
	out(0x20, 0x11);
	out(0x21, 0x08);
	out(0x21, 0x04);
	out(0x21, 0x03);
	out(0x20, 0x80);
	pulse(3);
	pulse(4);
	assert_int_equal(pic_acknowledge(&pic), 11);
	assert_int_equal(ended, 1u << 3);
	/* Rotation: 3 is the lowest now. */
	pulse(3);
	assert_int_equal(pic_acknowledge(&pic), 12);
	assert_int_equal(pic_acknowledge(&pic), 11);
}

static void special_mask_lets_lower_ones_through(void **state)
{
	(void)state;
	pulse(2 + 1);
	assert_int_equal(pic_acknowledge(&pic), 11);
	pulse(6);
	assert_false(is_raised());
	out(0x21, 0x08);
	assert_false(is_raised());
	out(0x20, 0x68);
	assert_true(is_raised());
	assert_int_equal(pic_acknowledge(&pic), 14);
	out(0x20, 0x48);
	assert_false(is_raised());
}

static void a_poll_acknowledges(void **state)
{
	(void)state;
	pulse(6);
	out(0x20, 0x0c);
	assert_int_equal(in(0x20), 0x86);
	assert_false(is_raised());
	out(0x20, 0x0c);
	assert_int_equal(in(0x20), 0);
	out(0x20, 0x0b);
	assert_int_equal(in(0x20), 0x40);
}

static void the_special_fully_nested_mode_nests_the_second(void **state)
{
	(void)state;
	out(0x20, 0x11);
	out(0x21, 0x08);
	out(0x21, 0x04);
	out(0x21, 0x11);
	pulse(9);
	assert_int_equal(pic_acknowledge(&pic), 0x71);
	pulse(8);
	assert_true(is_raised());
	assert_int_equal(pic_acknowledge(&pic), 0x70);
}

static void initialisation_forgets_edges(void **state)
{
	(void)state;
	out(0x4d0, 0x20);
	pic_set_line(&pic, 5, 0, true);
	pulse(3);
	out(0x21, 0xff);
	out(0x20, 0x11);
	assert_int_equal(ended, 1u << 3);
	assert_int_equal(in(0x20), 0x20);
	/* Without ICW4 the mask follows the third byte. */
	out(0x20, 0x10);
	out(0x21, 0x40);
	out(0x21, 0x04);
	out(0x21, 0x5a);
	assert_int_equal(in(0x21), 0x5a);
}

static void only_their_ports_are_theirs(void **state)
{
	static const uint16_t others[] = { 0x1f, 0x22, 0x9f, 0xa2, 0x4cf, 0x4d2, 0, 0xffff };
	uint8_t value;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(others); i++) {
		assert_false(pic_read_port(&pic, others[i], &value));
		assert_false(pic_write_port(&pic, others[i], 0));
	}
	assert_int_equal(pic_set_line(&pic, 16, 0, true), -1);
	assert_int_equal(pic_set_line(&pic, 0, 32, true), -1);
}

static void a_clients_state_is_made_safe(void **state)
{
	struct pic_chip chip;

	(void)state;
	pulse(1);
	pic_get_chip(&pic, 0, &chip);
	assert_int_equal(chip.irr, 2);
	memset(&chip, 0xff, sizeof(chip));
	pic_set_chip(&pic, 0, &chip);
	pic_set_chip(&pic, 1, &chip);
	pic_acknowledge(&pic);
	for (unsigned int i = 0; i < 256; i++) {
		out(0x20, (uint8_t)i);
		out(0x21, (uint8_t)(i * 7));
		in(0x20);
		pulse(i % 16);
		pic_acknowledge(&pic);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(an_edge_is_taken_once),
		TEST(a_line_held_by_two_is_up_until_both_drop_it),
		TEST(a_level_comes_again_after_its_end),
		TEST(the_second_comes_through_the_first),
		TEST(masked_requests_wait),
		TEST(the_lower_number_is_more_urgent),
		TEST(priorities_rotate),
		TEST(an_automatic_end_leaves_nothing_in_service),
		TEST(special_mask_lets_lower_ones_through),
		TEST(a_poll_acknowledges),
		TEST(the_special_fully_nested_mode_nests_the_second),
		TEST(initialisation_forgets_edges),
		TEST(only_their_ports_are_theirs),
		TEST(a_clients_state_is_made_safe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
