/* SPDX-License-Identifier: MIT */
/* tests/unit/machine/test_lapic_timer.c - the timer of a local APIC in its three modes. */
#include "fixture.h"

#define VECTOR 0xec
#define PERIODIC (1u << 17)
#define BY_TSC (2u << 17)
#define DIVIDE_BY_1 0xb
#define DIVIDE_BY_16 0x3

static struct lapic *l = &w.lapic[0];

static void start(uint32_t mode, uint32_t divide, uint32_t count)
{
	world_write(l, LAPIC_LVT_TIMER, mode | VECTOR);
	world_write(l, LAPIC_DIVIDE, divide);
	world_write(l, LAPIC_INITIAL_COUNT, count);
}

static void end_interrupt(void)
{
	assert_int_equal(world_vector(l), VECTOR);
	lapic_take_vector(l, VECTOR);
	world_write(l, LAPIC_EOI, 0);
}

static void one_shot_counts_down_and_stops(void **state)
{
	(void)state;
	start(0, DIVIDE_BY_16, 1000);
	assert_int_equal(world_read(l, LAPIC_CURRENT_COUNT), 1000);
	world_pass(1600);
	assert_int_equal(world_read(l, LAPIC_CURRENT_COUNT), 900);
	world_pass(14399);
	assert_int_equal(w.kicks[0], 0);
	assert_int_equal(world_vector(l), -1);
	world_pass(1);
	assert_int_equal(w.kicks[0], 1);
	end_interrupt();
	assert_int_equal(world_read(l, LAPIC_CURRENT_COUNT), 0);
	assert_int_equal(world_read(l, LAPIC_INITIAL_COUNT), 1000);
	world_pass(1000000);
	assert_int_equal(world_vector(l), -1);
}

static void periodic_goes_on_from_its_last_target(void **state)
{
	(void)state;
	start(PERIODIC, DIVIDE_BY_1, 1000000);
	world_pass(1000300);
	end_interrupt();
	assert_int_equal(world_read(l, LAPIC_CURRENT_COUNT), 1000000 - 300);
	/* Nobody runs the vCPU for three periods and a half: one interrupt. */
	world_pass(3499700);
	end_interrupt();
	assert_int_equal(world_vector(l), -1);
	assert_int_equal(world_read(l, LAPIC_CURRENT_COUNT), 500000);
	world_pass(499999);
	assert_int_equal(world_vector(l), -1);
	world_pass(1);
	end_interrupt();
}

static void a_period_is_not_shorter_than_the_host_can_bear(void **state)
{
	(void)state;
	start(PERIODIC, DIVIDE_BY_1, 1);
	world_pass(199999);
	assert_int_equal(w.kicks[0], 0);
	world_pass(1);
	end_interrupt();
}

static void a_count_of_zero_stops_it(void **state)
{
	(void)state;
	start(PERIODIC, DIVIDE_BY_1, 1000000);
	world_write(l, LAPIC_INITIAL_COUNT, 0);
	world_pass(5000000);
	assert_int_equal(w.kicks[0], 0);
	assert_int_equal(world_read(l, LAPIC_CURRENT_COUNT), 0);
}

static void masked_it_counts_without_interrupts(void **state)
{
	(void)state;
	start(PERIODIC | LVT_MASKED, DIVIDE_BY_1, 1000000);
	world_pass(1500000);
	assert_int_equal(world_vector(l), -1);
	assert_int_equal(world_read(l, LAPIC_CURRENT_COUNT), 500000);
	world_write(l, LAPIC_LVT_TIMER, PERIODIC | VECTOR);
	world_pass(500000);
	end_interrupt();
}

static void another_divisor_scales_what_is_left(void **state)
{
	(void)state;
	start(0, DIVIDE_BY_1, 1000000);
	world_pass(400000);
	world_write(l, LAPIC_DIVIDE, DIVIDE_BY_16);
	assert_int_equal(world_read(l, LAPIC_CURRENT_COUNT), 600000);
	world_pass(9599999);
	assert_int_equal(world_vector(l), -1);
	world_pass(1);
	end_interrupt();
}

static void every_divisor_divides(void **state)
{
	static const uint8_t code[] = { 0xb, 0, 1, 2, 3, 8, 9, 0xa };

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(code); i++) {
		start(0, code[i], 1000);
		world_pass((1000ull << i) - 1);
		assert_int_equal(world_vector(l), -1);
		world_pass(1);
		end_interrupt();
	}
}

static void the_deadline_needs_its_feature(void **state)
{
	(void)state;
	world_write(l, LAPIC_LVT_TIMER, BY_TSC | VECTOR);
	assert_int_equal(world_read(l, LAPIC_LVT_TIMER), VECTOR);
	lapic_set_tsc_deadline(l, 1);
	assert_int_equal(lapic_get_tsc_deadline(l), 0);
	l->has_tsc_deadline = true;
	world_write(l, LAPIC_LVT_TIMER, BY_TSC | VECTOR);
	assert_int_equal(world_read(l, LAPIC_LVT_TIMER), BY_TSC | VECTOR);
}

static void the_deadline_fires_once_and_reads_zero(void **state)
{
	uint64_t at = (w.now + 5000) * 2;

	(void)state;
	l->has_tsc_deadline = true;
	world_write(l, LAPIC_LVT_TIMER, BY_TSC | VECTOR);
	lapic_set_tsc_deadline(l, at);
	assert_int_equal(lapic_get_tsc_deadline(l), at);
	world_write(l, LAPIC_INITIAL_COUNT, 7);
	assert_int_equal(world_read(l, LAPIC_INITIAL_COUNT), 0);
	world_pass(4999);
	assert_int_equal(world_vector(l), -1);
	world_pass(1);
	end_interrupt();
	assert_int_equal(lapic_get_tsc_deadline(l), 0);
	/* One that is past is due at once; 0 is none; the farthest does not wrap. */
	lapic_set_tsc_deadline(l, 1);
	world_pass(1);
	end_interrupt();
	lapic_set_tsc_deadline(l, UINT64_MAX);
	world_pass(1000000);
	assert_int_equal(world_vector(l), -1);
	lapic_set_tsc_deadline(l, w.now * 2 + 10);
	lapic_set_tsc_deadline(l, 0);
	world_pass(1000000);
	assert_int_equal(world_vector(l), -1);
}

static void a_change_of_mode_stops_it(void **state)
{
	(void)state;
	l->has_tsc_deadline = true;
	start(0, DIVIDE_BY_1, 1000);
	world_write(l, LAPIC_LVT_TIMER, BY_TSC | VECTOR);
	assert_int_equal(world_read(l, LAPIC_INITIAL_COUNT), 0);
	world_pass(1000);
	assert_int_equal(world_vector(l), -1);
	lapic_set_tsc_deadline(l, w.now * 2 + 100);
	world_write(l, LAPIC_LVT_TIMER, VECTOR);
	assert_int_equal(lapic_get_tsc_deadline(l), 0);
	world_pass(1000);
	assert_int_equal(world_vector(l), -1);
}

/* The service was on its way when the owner set the timer anew. */
static void a_late_expiry_of_the_old_count_is_nothing(void **state)
{
	(void)state;
	start(0, DIVIDE_BY_1, 1000);
	world_pass(1000);
	world_write(l, LAPIC_INITIAL_COUNT, 5000);
	atomic32_store_relaxed(&l->timer_due, 1);
	assert_int_equal(world_vector(l), -1);
	world_pass(5000);
	end_interrupt();
}

static void a_saved_timer_goes_on(void **state)
{
	uint8_t saved[LAPIC_BYTES];

	(void)state;
	start(PERIODIC, DIVIDE_BY_1, 1000000);
	world_pass(300000);
	lapic_get_state(l, saved);
	lapic_reset(l);
	world_pass(1000000);
	lapic_set_state(l, saved);
	assert_int_equal(world_read(l, LAPIC_CURRENT_COUNT), 700000);
	world_pass(700000);
	end_interrupt();
	world_pass(1000000);
	end_interrupt();
}

static void a_saved_expiry_is_in_the_state(void **state)
{
	uint8_t saved[LAPIC_BYTES];

	(void)state;
	start(0, DIVIDE_BY_1, 1000);
	world_pass(1000);
	lapic_get_state(l, saved);
	assert_int_equal(saved[LAPIC_IRR + 0x70 + 1], 1u << (VECTOR - 0xe8));
}

/* Clients that do not save the count: what has a count of zero may have expired unseen. */
static void a_one_shot_saved_without_count_expires(void **state)
{
	uint8_t saved[LAPIC_BYTES];

	(void)state;
	start(0, DIVIDE_BY_1, 1000000);
	lapic_get_state(l, saved);
	memset(saved + LAPIC_CURRENT_COUNT, 0, 4);
	lapic_reset(l);
	lapic_set_state(l, saved);
	world_pass(1);
	end_interrupt();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(one_shot_counts_down_and_stops),
		TEST(periodic_goes_on_from_its_last_target),
		TEST(a_period_is_not_shorter_than_the_host_can_bear),
		TEST(a_count_of_zero_stops_it),
		TEST(masked_it_counts_without_interrupts),
		TEST(another_divisor_scales_what_is_left),
		TEST(every_divisor_divides),
		TEST(the_deadline_needs_its_feature),
		TEST(the_deadline_fires_once_and_reads_zero),
		TEST(a_change_of_mode_stops_it),
		TEST(a_late_expiry_of_the_old_count_is_nothing),
		TEST(a_saved_timer_goes_on),
		TEST(a_saved_expiry_is_in_the_state),
		TEST(a_one_shot_saved_without_count_expires),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
