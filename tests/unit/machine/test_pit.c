/* SPDX-License-Identifier: MIT */
/* tests/unit/machine/test_pit.c - the 8254, its interrupts and port 0x61. */
#include "fixture.h"

#include "machine/pit.h"

/* 1193182 / 1000: a tick is some 838 ns. */
#define TICKS(n) (((n) * 1000000000ull + PIT_HZ - 1) / PIT_HZ)

static struct pit pit;
static unsigned int n_pulses;
static int answer;

static int count_pulse(struct pit *p)
{
	(void)p;
	n_pulses++;
	return answer;
}

static const struct pit_ops pit_ops = { .pulse = count_pulse };

static int setup(void **state)
{
	world_setup(state);
	n_pulses = 0;
	answer = 1;
	pit_init(&pit, &w.timers, &pit_ops, true);
	return 0;
}

static int teardown(void **state)
{
	pit_destroy(&pit);
	return world_teardown(state);
}

static void out(uint16_t port, uint8_t value)
{
	assert_true(pit_write_port(&pit, port, value));
}

static uint8_t in(uint16_t port)
{
	uint8_t value = 0;

	assert_true(pit_read_port(&pit, port, &value));
	return value;
}

static uint16_t in_word(uint16_t port)
{
	uint16_t low = in(port);

	return (uint16_t)(low | in(port) << 8);
}

static void program(unsigned int channel, unsigned int mode, uint16_t count)
{
	out(0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1));
	out((uint16_t)(0x40 + channel), (uint8_t)count);
	out((uint16_t)(0x40 + channel), (uint8_t)(count >> 8));
}

/* Status of a channel, by the read-back command. */
static uint8_t status_of(unsigned int channel)
{
	out(0x43, (uint8_t)(0xe0 | 2u << channel));
	return in((uint16_t)(0x40 + channel));
}

static void nothing_interrupts_before_it_is_programmed(void **state)
{
	(void)state;
	world_pass(1000000000);
	assert_int_equal(n_pulses, 0);
}

static void counts_are_read_by_bytes_and_latched(void **state)
{
	(void)state;
	program(0, 2, 0x1234);
	assert_int_equal(in_word(0x40), 0x1234);
	world_pass(TICKS(0x34));
	assert_int_equal(in_word(0x40), 0x1200);
	out(0x43, 0);
	world_pass(TICKS(0x100));
	assert_int_equal(in_word(0x40), 0x1200);
	assert_int_equal(in_word(0x40), 0x1100);
	/* Only the low, only the high byte. */
	out(0x43, 0x14);
	out(0x40, 0x80);
	assert_int_equal(in(0x40), 0x80);
	assert_int_equal(in(0x40), 0x80);
	out(0x43, 0x24);
	out(0x40, 0x12);
	assert_int_equal(in(0x40), 0x12);
	out(0x43, 0);
	assert_int_equal(in(0x40), 0x12);
}

static void the_read_back_command_latches_several(void **state)
{
	(void)state;
	program(0, 2, 1000);
	program(2, 0, 500);
	out(0x43, 0xc0 | 0x0a);
	world_pass(TICKS(100));
	/* The status first, then the count. */
	assert_int_equal(in(0x40) & 0x3f, 0x34);
	assert_int_equal(in_word(0x40), 1000);
	assert_int_equal(in(0x42) & 0x3f, 0x30);
	assert_int_equal(in_word(0x42), 500);
	assert_int_equal(in_word(0x42), 400);
}

static void each_mode_counts_its_way(void **state)
{
	(void)state;
	for (unsigned int mode = 0; mode < 6; mode++) {
		program(2, mode, 100);
		world_pass(TICKS(30));
		assert_int_equal(in_word(0x42), mode == 3 ? 40 : 70);
		world_pass(TICKS(90));
		if (mode == 2)
			assert_int_equal(in_word(0x42), 80);
		else if (mode == 3)
			assert_int_equal(in_word(0x42), 60);
		else
			assert_int_equal(in_word(0x42), 0x10000 - 20);
	}
	/* 6 and 7 are 2 and 3. */
	program(2, 6, 100);
	world_pass(TICKS(120));
	assert_int_equal(in_word(0x42), 80);
}

static void each_mode_has_its_output(void **state)
{
	/* At 0, 30, 60 and 120 of 100 ticks. */
	static const bool expected[6][4] = {
		{ 0, 0, 0, 1 }, { 1, 1, 1, 0 }, { 0, 0, 0, 0 },
		{ 1, 1, 0, 1 }, { 0, 0, 0, 0 }, { 0, 0, 0, 0 },
	};
	static const unsigned int steps[4] = { 0, 30, 30, 60 };

	(void)state;
	for (unsigned int mode = 0; mode < 6; mode++) {
		program(2, mode, 100);
		for (unsigned int i = 0; i < 4; i++) {
			world_pass(TICKS(steps[i]));
			assert_int_equal(status_of(2) >> 7, expected[mode][i]);
			assert_int_equal(in(0x61) >> 5 & 1, expected[mode][i]);
		}
	}
}

static void bcd_counts_in_decimals(void **state)
{
	(void)state;
	out(0x43, 0xb5);
	out(0x42, 0x00);
	out(0x42, 0x20);
	world_pass(TICKS(1));
	assert_int_equal(in_word(0x42), 0x1999);
	out(0x42, 0);
	out(0x42, 0);
	world_pass(TICKS(1));
	assert_int_equal(in_word(0x42), 0x9999);
	out(0x42, 0xff);
	out(0x42, 0xff);
	in_word(0x42);
}

static void the_gate_of_channel_2_is_port_61s(void **state)
{
	(void)state;
	out(0x61, 0);
	program(2, 3, 1000);
	world_pass(TICKS(100));
	out(0x61, 3);
	assert_int_equal(in(0x61) & 3, 3);
	assert_int_equal(in_word(0x42), 1000);
	world_pass(TICKS(100));
	out(0x61, 1);
	assert_int_equal(in_word(0x42), 800);
	/* The refresh of memory changes. */
	unsigned int seen = 0;

	for (unsigned int i = 0; i < 4; i++) {
		seen |= 1u << (in(0x61) >> 4 & 1);
		world_pass(8192);
	}
	assert_int_equal(seen, 3);
	/* Mode 0 does not care. */
	out(0x61, 0);
	program(2, 0, 1000);
	world_pass(TICKS(100));
	out(0x61, 1);
	assert_int_equal(in_word(0x42), 900);
}

static void the_client_may_have_port_61(void **state)
{
	uint8_t value;

	(void)state;
	pit.has_port_61 = false;
	assert_false(pit_read_port(&pit, 0x61, &value));
	assert_false(pit_write_port(&pit, 0x61, 0));
	assert_false(pit_read_port(&pit, 0x44, &value));
	assert_false(pit_read_port(&pit, 0x3f, &value));
	assert_int_equal(in(0x43), 0);
}

static void a_period_interrupts_each_time(void **state)
{
	(void)state;
	program(0, 2, 11932);
	world_pass(TICKS(11931));
	assert_int_equal(n_pulses, 0);
	world_pass(TICKS(1));
	assert_int_equal(n_pulses, 1);
	pit_interrupt_ended(&pit);
	for (unsigned int i = 0; i < 9; i++) {
		world_pass(TICKS(11932));
		pit_interrupt_ended(&pit);
	}
	assert_int_equal(n_pulses, 10);
}

static void ticks_that_wait_are_made_up_for(void **state)
{
	(void)state;
	program(0, 2, 11932);
	world_pass(TICKS(11932) * 4);
	assert_int_equal(n_pulses, 1);
	for (unsigned int i = 0; i < 6; i++)
		pit_interrupt_ended(&pit);
	assert_int_equal(n_pulses, 4);
	/* Dropped, on demand. */
	pit_set_reinjection(&pit, false);
	world_pass(TICKS(11932) * 4);
	assert_int_equal(n_pulses, 5);
	pit_interrupt_ended(&pit);
	assert_int_equal(n_pulses, 5);
	world_pass(TICKS(11932));
	assert_int_equal(n_pulses, 6);
}

static void what_nobody_takes_is_not_awaited(void **state)
{
	(void)state;
	answer = -1;
	program(0, 2, 11932);
	world_pass(TICKS(11932));
	world_pass(TICKS(11932));
	assert_int_equal(n_pulses, 2);
	answer = 1;
	world_pass(TICKS(11932));
	world_pass(TICKS(11932));
	assert_int_equal(n_pulses, 3);
	/* The guest has changed its mask: the old one may never end. */
	pit_forget_interrupts(&pit);
	world_pass(TICKS(11932));
	assert_int_equal(n_pulses, 4);
}

static void one_shots_interrupt_once(void **state)
{
	(void)state;
	program(0, 0, 1000);
	world_pass(TICKS(5000));
	pit_interrupt_ended(&pit);
	assert_int_equal(n_pulses, 1);
	world_pass(TICKS(70000));
	assert_int_equal(n_pulses, 1);
	program(0, 4, 1000);
	world_pass(TICKS(1000));
	assert_int_equal(n_pulses, 2);
	pit_interrupt_ended(&pit);
	/* No gate, no interrupt. */
	program(0, 1, 1000);
	world_pass(TICKS(5000));
	program(0, 5, 1000);
	world_pass(TICKS(5000));
	assert_int_equal(n_pulses, 2);
	/* A control word without count stops it. */
	program(0, 2, 1000);
	out(0x43, 0x34);
	world_pass(TICKS(5000));
	assert_int_equal(n_pulses, 2);
}

static void a_period_is_not_shorter_than_the_host_can_bear(void **state)
{
	(void)state;
	program(0, 2, 1);
	world_pass(1000000);
	for (unsigned int i = 0; i < 100; i++)
		pit_interrupt_ended(&pit);
	assert_in_range(n_pulses, 1, 5);
}

static void the_hpet_silences_channel_0(void **state)
{
	struct pit_state s;

	(void)state;
	program(0, 2, 11932);
	s = pit_get_state(&pit);
	assert_false(s.hpet_legacy);
	s.hpet_legacy = true;
	pit_set_state(&pit, &s);
	world_pass(TICKS(30000));
	assert_int_equal(n_pulses, 0);
	s.hpet_legacy = false;
	pit_set_state(&pit, &s);
	world_pass(TICKS(11932));
	assert_int_equal(n_pulses, 1);
}

static void a_clients_state_is_made_safe(void **state)
{
	struct pit_state s = { 0 };

	(void)state;
	for (unsigned int fill = 0; fill < 256; fill += 5) {
		memset(s.channel, (int)fill, sizeof(s.channel));
		pit_set_state(&pit, &s);
		for (unsigned int i = 0; i < 3; i++) {
			out(0x43, 0xfe);
			for (unsigned int k = 0; k < 4; k++)
				in((uint16_t)(0x40 + i));
		}
		in(0x61);
		world_pass(1000000);
		s = pit_get_state(&pit);
		assert_in_range(s.channel[0].count, 1, 0x10000);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nothing_interrupts_before_it_is_programmed),
		TEST(counts_are_read_by_bytes_and_latched),
		TEST(the_read_back_command_latches_several),
		TEST(each_mode_counts_its_way),
		TEST(each_mode_has_its_output),
		TEST(bcd_counts_in_decimals),
		TEST(the_gate_of_channel_2_is_port_61s),
		TEST(the_client_may_have_port_61),
		TEST(a_period_interrupts_each_time),
		TEST(ticks_that_wait_are_made_up_for),
		TEST(what_nobody_takes_is_not_awaited),
		TEST(one_shots_interrupt_once),
		TEST(a_period_is_not_shorter_than_the_host_can_bear),
		TEST(the_hpet_silences_channel_0),
		TEST(a_clients_state_is_made_safe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
