/* SPDX-License-Identifier: MIT */
/* tests/unit/machine/test_lapics.c - whom a message is for, and IPIs. */
#include "fixture.h"

#include "machine/startup.h"

#define VECTOR 0x55
#define LOGICAL (1u << 11)
#define SELF (1u << 18)
#define ALL (2u << 18)
#define OTHERS (3u << 18)

/* Which of them have the vector; and forgets it. */
static unsigned int taken(void)
{
	unsigned int set = 0;

	for (unsigned int i = 0; i < N_LAPICS; i++) {
		if (lapic_pending_vector(&w.lapic[i]) != VECTOR)
			continue;
		set |= 1u << i;
		lapic_take_vector(&w.lapic[i], VECTOR);
		if (lapic_is_x2apic(&w.lapic[i]))
			assert_true(lapic_write_msr(&w.lapic[i], 0x80b, 0));
		else
			world_write(&w.lapic[i], LAPIC_EOI, 0);
	}
	return set;
}

static void send(unsigned int from, uint32_t icr, uint32_t dest)
{
	struct lapic *l = &w.lapic[from];

	if (lapic_is_x2apic(l)) {
		assert_true(lapic_write_msr(l, 0x830, (uint64_t)dest << 32 | icr | VECTOR));
	} else {
		world_write(l, LAPIC_ICR_HIGH, dest << 24);
		world_write(l, LAPIC_ICR, icr | VECTOR);
		assert_int_equal(world_read(l, LAPIC_ICR), icr | VECTOR);
	}
}

static int message(uint32_t dest, bool logical, enum delivery delivery)
{
	const struct interrupt i = {
		.dest = dest,
		.vector = VECTOR,
		.delivery = delivery,
		.logical = logical,
	};

	return lapics_deliver(&w.all, &i);
}

static void all_in_x2apic_mode(void)
{
	for (unsigned int i = 0; i < N_LAPICS; i++)
		lapic_set_base(&w.lapic[i],
			       LAPIC_BASE_DEFAULT | LAPIC_BASE_ENABLED | LAPIC_BASE_X2APIC);
}

static void physical_names_one_or_all(void **state)
{
	(void)state;
	send(0, 0, 2);
	assert_int_equal(taken(), 1u << 2);
	send(1, 0, 0xff);
	assert_int_equal(taken(), 0xf);
	send(0, 0, 9);
	assert_int_equal(taken(), 0);
	world_write(&w.lapic[1], LAPIC_ID, 7u << 24);
	send(0, 0, 7);
	assert_int_equal(taken(), 1u << 1);
}

static void shorthands(void **state)
{
	(void)state;
	send(1, SELF, 0);
	assert_int_equal(taken(), 1u << 1);
	send(1, ALL, 0);
	assert_int_equal(taken(), 0xf);
	send(1, OTHERS, 0);
	assert_int_equal(taken(), 0xd);
}

static void flat_logical_names_a_set(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < N_LAPICS; i++)
		world_write(&w.lapic[i], LAPIC_LDR, 1u << (24 + i));
	send(0, LOGICAL, 0x6);
	assert_int_equal(taken(), 0x6);
	send(0, LOGICAL, 0xff);
	assert_int_equal(taken(), 0xf);
	send(0, LOGICAL, 0xf0);
	assert_int_equal(taken(), 0);
}

static void clustered_logical_names_a_set_of_a_cluster(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < N_LAPICS; i++) {
		world_write(&w.lapic[i], LAPIC_DFR, 0);
		world_write(&w.lapic[i], LAPIC_LDR, (i / 2) << 28 | 1u << (24 + i % 2));
	}
	send(0, LOGICAL, 0x03);
	assert_int_equal(taken(), 0x3);
	send(0, LOGICAL, 0x12);
	assert_int_equal(taken(), 0x8);
	send(0, LOGICAL, 0x23);
	assert_int_equal(taken(), 0);
}

static void x2apic_names(void **state)
{
	struct lapic *l;

	(void)state;
	all_in_x2apic_mode();
	for (unsigned int i = 0; i < N_LAPICS; i++) {
		l = &w.lapic[i];
		send(0, 0, i);
		assert_int_equal(lapic_pending_vector(l), VECTOR);
		lapic_take_vector(l, VECTOR);
		assert_true(lapic_write_msr(l, 0x80b, 0));
	}
	/* All are in cluster 0. */
	send(2, LOGICAL, 0x9);
	assert_int_equal(taken(), 0x9);
}

static void x2apic_broadcasts(void **state)
{
	(void)state;
	all_in_x2apic_mode();
	send(0, 0, 0xff);
	assert_int_equal(taken(), 0);
	send(0, 0, UINT32_MAX);
	assert_int_equal(taken(), 0xf);
}

/* A device that knows 8 bits only. */
static void a_devices_broadcast_reaches_x2apics_by_a_quirk(void **state)
{
	(void)state;
	all_in_x2apic_mode();
	assert_int_equal(message(0xff, false, DELIVER_FIXED), 4);
	assert_int_equal(taken(), 0xf);
	atomic32_store_relaxed(&w.all.no_broadcast_quirk, 1);
	assert_int_equal(message(0xff, false, DELIVER_FIXED), INTERRUPT_IGNORED);
	assert_int_equal(taken(), 0);
}

static void the_x2apic_self_ipi(void **state)
{
	(void)state;
	all_in_x2apic_mode();
	assert_true(lapic_write_msr(&w.lapic[2], 0x83f, VECTOR));
	assert_int_equal(taken(), 1u << 2);
}

static void lowest_priority_takes_turns(void **state)
{
	unsigned int seen = 0;

	(void)state;
	for (unsigned int i = 0; i < N_LAPICS; i++)
		world_write(&w.lapic[i], LAPIC_LDR, 1u << (24 + i));
	world_write(&w.lapic[3], LAPIC_SVR, 0xff);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(message(0xf, true, DELIVER_LOWEST), 1);
		seen |= taken();
	}
	assert_int_equal(seen, 0x7);
	world_write(&w.lapic[0], LAPIC_SVR, 0xff);
	assert_int_equal(message(0x9, true, DELIVER_LOWEST), INTERRUPT_IGNORED);
}

static void what_nobody_takes_is_said(void **state)
{
	(void)state;
	assert_int_equal(message(1, false, DELIVER_FIXED), 1);
	assert_int_equal(message(9, false, DELIVER_FIXED), INTERRUPT_IGNORED);
	world_write(&w.lapic[2], LAPIC_SVR, 0xff);
	assert_int_equal(message(2, false, DELIVER_FIXED), INTERRUPT_COALESCED);
	lapic_set_base(&w.lapic[2], LAPIC_BASE_DEFAULT);
	assert_int_equal(message(2, false, DELIVER_FIXED), INTERRUPT_IGNORED);
}

static void an_init_and_a_sipi_reach_all_others(void **state)
{
	(void)state;
	world_write(&w.lapic[0], LAPIC_ICR, 0xc4500);
	world_write(&w.lapic[0], LAPIC_ICR, 0xc4610);
	assert_int_equal(startup_take(&w.lapic[0].startup), 0);
	for (unsigned int i = 1; i < N_LAPICS; i++) {
		assert_int_equal(startup_take(&w.lapic[i].startup),
				 STARTUP_INIT | STARTUP_SIPI | 0x10);
		assert_int_equal(w.kicks[i], 2);
	}
}

/* More than 8 bits of identifier: it is started by an APIC in x2APIC mode. */
static void a_large_identifier_is_found_before_x2apic_is_on(void **state)
{
	(void)state;
	w.lapic[3].id = 0x103;
	w.lapic[0].id = 3;
	lapic_set_base(&w.lapic[3], LAPIC_BASE_DEFAULT);
	lapic_set_base(&w.lapic[3], LAPIC_BASE_DEFAULT | LAPIC_BASE_ENABLED);
	world_write(&w.lapic[3], LAPIC_SVR, 0x1ff);
	assert_int_equal(message(0x103, false, DELIVER_FIXED), 1);
	assert_int_equal(taken(), 1u << 3);
	assert_int_equal(message(3, false, DELIVER_FIXED), INTERRUPT_IGNORED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(physical_names_one_or_all),
		TEST(shorthands),
		TEST(flat_logical_names_a_set),
		TEST(clustered_logical_names_a_set_of_a_cluster),
		TEST(x2apic_names),
		TEST(x2apic_broadcasts),
		TEST(a_devices_broadcast_reaches_x2apics_by_a_quirk),
		TEST(the_x2apic_self_ipi),
		TEST(lowest_priority_takes_turns),
		TEST(what_nobody_takes_is_said),
		TEST(an_init_and_a_sipi_reach_all_others),
		TEST(a_large_identifier_is_found_before_x2apic_is_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
