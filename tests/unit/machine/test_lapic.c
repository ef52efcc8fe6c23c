/* SPDX-License-Identifier: MIT */
/* tests/unit/machine/test_lapic.c - registers, modes and priorities of a local APIC. */
#include "fixture.h"

#include "machine/startup.h"

#define ON LAPIC_BASE_ENABLED
#define X2 LAPIC_BASE_X2APIC

static void fixed(struct lapic *l, uint8_t vector, bool level)
{
	const struct interrupt i = { .vector = vector, .level = level, .asserted = true };

	assert_true(lapic_accept(l, &i));
}

static void after_power_up_registers_are_the_manuals(void **state)
{
	struct lapic *bsp = &w.lapic[0], *ap = &w.lapic[1];

	(void)state;
	lapic_reset(bsp);
	lapic_reset(ap);
	assert_int_equal(world_read(ap, LAPIC_ID), 1u << 24);
	assert_int_equal(world_read(ap, LAPIC_VERSION), 0x50014);
	assert_int_equal(world_read(ap, LAPIC_DFR), UINT32_MAX);
	assert_int_equal(world_read(ap, LAPIC_SVR), 0xff);
	assert_int_equal(world_read(ap, LAPIC_LDR), 0);
	for (unsigned int lvt = LAPIC_LVT_TIMER; lvt <= LAPIC_LVT_ERROR; lvt += 16)
		assert_int_equal(world_read(ap, lvt), LVT_MASKED);
	assert_int_equal(world_read(bsp, LAPIC_LVT_LINT0), 0x700);
	assert_true(lapic_accepts_extint(bsp));
	assert_false(lapic_accepts_extint(ap));
}

static void reserved_bits_are_not_kept(void **state)
{
	static const struct {
		unsigned int offset;
		uint32_t kept;
	} regs[] = {
		{ LAPIC_ID, 0xff000000 },	    { LAPIC_TPR, 0xff },
		{ LAPIC_LDR, 0xff000000 },	    { LAPIC_SVR, 0x3ff },
		{ LAPIC_ICR_HIGH, 0xff000000 },	    { LAPIC_LVT_TIMER, 0x310ff },
		{ LAPIC_LVT_THERMAL, 0x117ff },	    { LAPIC_LVT_PERF, 0x117ff },
		{ LAPIC_LVT_LINT0, 0x1f7ff },	    { LAPIC_LVT_LINT1, 0x1f7ff },
		{ LAPIC_LVT_ERROR, 0x110ff },	    { LAPIC_DIVIDE, 0xb },
		{ LAPIC_ESR, 0 },		    { LAPIC_VERSION, 0x50014 },
		{ LAPIC_DFR, UINT32_MAX },	    { LAPIC_PPR, 0xff },
	};
	struct lapic *l = &w.lapic[1];

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(regs); i++) {
		world_write(l, regs[i].offset, UINT32_MAX);
		assert_int_equal(world_read(l, regs[i].offset), regs[i].kept);
	}
	world_write(l, LAPIC_DFR, 0);
	assert_int_equal(world_read(l, LAPIC_DFR), 0x0fffffff);
}

static void only_aligned_words_are_registers(void **state)
{
	struct lapic *l = &w.lapic[0];
	uint8_t bytes[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	(void)state;
	world_write(l, LAPIC_TPR, 0x42);
	assert_true(lapic_write(l, LAPIC_BASE_DEFAULT + LAPIC_TPR, bytes, 2));
	assert_true(lapic_write(l, LAPIC_BASE_DEFAULT + LAPIC_TPR, bytes, 8));
	assert_true(lapic_write(l, LAPIC_BASE_DEFAULT + LAPIC_TPR + 4, bytes, 4));
	assert_int_equal(world_read(l, LAPIC_TPR), 0x42);
	/* A byte of one can be read; what is no register is 0. */
	assert_true(lapic_read(l, LAPIC_BASE_DEFAULT + LAPIC_SVR + 1, bytes, 1));
	assert_int_equal(bytes[0], 1);
	assert_true(lapic_read(l, LAPIC_BASE_DEFAULT + 0xffc, bytes, 4));
	assert_int_equal(bytes[0], 0);
	assert_true(lapic_read(l, LAPIC_BASE_DEFAULT + 0xfff, bytes, 8));
	assert_false(lapic_read(l, LAPIC_BASE_DEFAULT + 0x1000, bytes, 4));
	assert_false(lapic_read(l, LAPIC_BASE_DEFAULT - 1, bytes, 4));
}

static void the_page_follows_the_base(void **state)
{
	struct lapic *l = &w.lapic[0];
	uint32_t value = 0;

	(void)state;
	lapic_set_base(l, 0xfed00000ull | ON);
	assert_false(lapic_read(l, LAPIC_BASE_DEFAULT + LAPIC_ID, &value, 4));
	assert_true(lapic_read(l, 0xfed00000ull + LAPIC_VERSION, &value, 4));
	assert_int_equal(value, 0x50014);
}

static void switched_off_it_forgets_and_its_page_is_ones(void **state)
{
	struct lapic *l = &w.lapic[1];

	(void)state;
	world_write(l, LAPIC_LDR, 0x01000000);
	fixed(l, 0x40, false);
	lapic_set_base(l, LAPIC_BASE_DEFAULT);
	assert_int_equal(lapic_pending_vector(l), -1);
	assert_true(lapic_accepts_extint(l));
	assert_int_equal(world_read(l, LAPIC_ID), UINT32_MAX);
	world_write(l, LAPIC_TPR, 0x50);
	lapic_set_base(l, LAPIC_BASE_DEFAULT | ON);
	assert_int_equal(world_read(l, LAPIC_ID), 1u << 24);
	assert_int_equal(world_read(l, LAPIC_LDR), 0);
	assert_int_equal(world_read(l, LAPIC_TPR), 0);
	assert_int_equal(world_read(l, LAPIC_SVR), 0xff);
}

static void x2apic_registers_are_msrs(void **state)
{
	struct lapic *l = &w.lapic[3];
	uint64_t value = 0;

	(void)state;
	assert_false(lapic_read_msr(l, 0x802, &value));
	assert_false(lapic_write_msr(l, 0x808, 0));
	lapic_set_base(l, LAPIC_BASE_DEFAULT | ON | X2);
	assert_int_equal(world_read(l, LAPIC_ID), UINT32_MAX);
	assert_true(lapic_read_msr(l, 0x802, &value));
	assert_int_equal(value, 3);
	assert_true(lapic_read_msr(l, 0x80d, &value));
	assert_int_equal(value, 1u << 3);
	assert_true(lapic_write_msr(l, 0x808, 0x20));
	assert_true(lapic_read_msr(l, 0x808, &value));
	assert_int_equal(value, 0x20);
	assert_true(lapic_write_msr(l, 0x830, 0x12345678000000ffull));
	assert_true(lapic_read_msr(l, 0x830, &value));
	assert_int_equal(value, 0x12345678000000ffull);
}

static void x2apic_faults_where_the_manual_says_so(void **state)
{
	static const uint32_t unreadable[] = { 0x800, 0x801, 0x809, 0x80b, 0x80e, 0x831, 0x83f,
					       0x840, 0x8ff, 0x900, 0 };
	static const uint32_t unwritable[] = { 0x802, 0x803, 0x809, 0x80a, 0x80d, 0x80e, 0x810,
					       0x818, 0x820, 0x831, 0x839, 0x83a, 0x840, 0x8ff };
	struct lapic *l = &w.lapic[0];
	uint64_t value;

	(void)state;
	lapic_set_base(l, LAPIC_BASE_DEFAULT | ON | X2);
	for (unsigned int i = 0; i < ARRAY_SIZE(unreadable); i++)
		assert_false(lapic_read_msr(l, unreadable[i], &value));
	for (unsigned int i = 0; i < ARRAY_SIZE(unwritable); i++)
		assert_false(lapic_write_msr(l, unwritable[i], 0));
	assert_false(lapic_write_msr(l, 0x808, 1ull << 32));
	assert_false(lapic_write_msr(l, 0x828, 1));
	assert_true(lapic_write_msr(l, 0x828, 0));
	assert_false(lapic_write_msr(l, 0x83f, 0x100));
	for (unsigned int bit = 13; bit < 32; bit++)
		if (bit == 13 || bit == 16 || bit == 17 || bit >= 20)
			assert_false(lapic_write_msr(l, 0x830, 1ull << bit));
}

static void the_highest_class_above_the_priority_is_delivered(void **state)
{
	struct lapic *l = &w.lapic[0];

	(void)state;
	fixed(l, 0x31, false);
	fixed(l, 0x52, false);
	fixed(l, 0x5f, false);
	assert_int_equal(lapic_pending_vector(l), 0x5f);
	lapic_set_cr8(l, 5);
	assert_int_equal(lapic_pending_vector(l), -1);
	assert_int_equal(world_read(l, LAPIC_PPR), 0x50);
	lapic_set_cr8(l, 4);
	assert_int_equal(lapic_get_cr8(l), 4);
	lapic_take_vector(l, 0x5f);
	assert_int_equal(world_read(l, LAPIC_ISR + 0x20), 1u << 31);
	assert_int_equal(world_read(l, LAPIC_IRR + 0x20), 1u << 18);
	assert_int_equal(world_read(l, LAPIC_PPR), 0x50);
	/* Of the same class: it waits for the end of the other. */
	assert_int_equal(lapic_pending_vector(l), -1);
	fixed(l, 0x61, false);
	assert_int_equal(lapic_pending_vector(l), 0x61);
	lapic_take_vector(l, 0x61);
	world_write(l, LAPIC_EOI, 0);
	assert_int_equal(w.eoi_vector, 0x61);
	assert_int_equal(lapic_pending_vector(l), -1);
	world_write(l, LAPIC_EOI, 0);
	assert_int_equal(w.eoi_vector, 0x5f);
	assert_int_equal(lapic_pending_vector(l), 0x52);
	world_write(l, LAPIC_EOI, 0);
	assert_int_equal(w.n_eois, 2);
}

/* The bits below the class in TPR are the sub-class: they hold nothing back. */
static void the_sub_class_is_read_but_holds_nothing_back(void **state)
{
	struct lapic *l = &w.lapic[0];

	(void)state;
	world_write(l, LAPIC_TPR, 0x4f);
	fixed(l, 0x50, false);
	assert_int_equal(world_read(l, LAPIC_PPR), 0x4f);
	assert_int_equal(lapic_pending_vector(l), 0x50);
	/* Vectors 0 to 15 are never delivered. */
	lapic_take_vector(l, 0x50);
	world_write(l, LAPIC_EOI, 0);
	world_write(l, LAPIC_TPR, 0);
	fixed(l, 0xf, false);
	assert_int_equal(lapic_pending_vector(l), -1);
}

static void the_end_of_a_level_is_told(void **state)
{
	struct lapic *l = &w.lapic[0];
	const struct interrupt deassert = { .vector = 0x40, .level = true };

	(void)state;
	assert_false(lapic_accept(l, &deassert));
	fixed(l, 0x40, true);
	assert_int_equal(world_read(l, LAPIC_TMR + 0x20), 1);
	lapic_take_vector(l, 0x40);
	world_write(l, LAPIC_EOI, 0);
	assert_true(w.eoi_level);
	fixed(l, 0x40, false);
	assert_int_equal(world_read(l, LAPIC_TMR + 0x20), 0);
	lapic_take_vector(l, 0x40);
	world_write(l, LAPIC_EOI, 0);
	assert_false(w.eoi_level);
}

static void the_broadcast_of_eois_can_be_suppressed(void **state)
{
	struct lapic *l = &w.lapic[0];

	(void)state;
	world_write(l, LAPIC_SVR, 0x11ff);
	assert_int_equal(world_read(l, LAPIC_SVR), 0x1ff);
	l->has_directed_eoi = true;
	assert_int_equal(world_read(l, LAPIC_VERSION), 0x1050014);
	world_write(l, LAPIC_SVR, 0x11ff);
	assert_int_equal(world_read(l, LAPIC_SVR), 0x11ff);
	fixed(l, 0x40, true);
	lapic_take_vector(l, 0x40);
	world_write(l, LAPIC_EOI, 0);
	assert_int_equal(w.n_eois, 1);
	assert_false(w.eoi_level);
}

static void disabled_by_software_it_takes_signals_only(void **state)
{
	struct lapic *l = &w.lapic[1];
	struct interrupt i = { .vector = 0x40, .asserted = true };

	(void)state;
	world_write(l, LAPIC_LVT_ERROR, 0x50);
	world_write(l, LAPIC_SVR, 0xff);
	assert_int_equal(world_read(l, LAPIC_LVT_ERROR), 0x10050);
	world_write(l, LAPIC_LVT_ERROR, 0x50);
	assert_int_equal(world_read(l, LAPIC_LVT_ERROR), 0x10050);
	assert_false(lapic_accept(l, &i));
	i.delivery = DELIVER_NMI;
	assert_true(lapic_accept(l, &i));
	assert_int_equal(atomic32_load_relaxed(&l->nmis), 1);
	i.delivery = DELIVER_SMI;
	assert_false(lapic_accept(l, &i));
}

static void an_init_forgets_the_sipi_before_it(void **state)
{
	struct lapic *l = &w.lapic[1];
	struct interrupt i = { .vector = 0x10, .delivery = DELIVER_STARTUP, .asserted = true };

	(void)state;
	assert_true(lapic_accept(l, &i));
	i.delivery = DELIVER_INIT;
	assert_true(lapic_accept(l, &i));
	assert_int_equal(startup_take(&l->startup), STARTUP_INIT);
	assert_int_equal(startup_take(&l->startup), 0);
	/* The de-assertion is no INIT. */
	i.level = true;
	i.asserted = false;
	assert_true(lapic_accept(l, &i));
	assert_int_equal(startup_take(&l->startup), 0);
	i = (struct interrupt){ .delivery = DELIVER_INIT };
	assert_true(lapic_accept(l, &i));
	i = (struct interrupt){ .vector = 0x9a, .delivery = DELIVER_STARTUP };
	assert_true(lapic_accept(l, &i));
	i.vector = 0x9b;
	assert_true(lapic_accept(l, &i));
	assert_int_equal(startup_take(&l->startup), STARTUP_INIT | STARTUP_SIPI | 0x9b);
}

static void the_state_goes_out_and_in(void **state)
{
	uint8_t saved[LAPIC_BYTES], again[LAPIC_BYTES];
	struct lapic *l = &w.lapic[0];

	(void)state;
	world_write(l, LAPIC_TPR, 0x20);
	world_write(l, LAPIC_LVT_LINT1, 0x400);
	fixed(l, 0x77, true);
	lapic_get_state(l, saved);
	lapic_reset(l);
	w.kicks[0] = 0;
	lapic_set_state(l, saved);
	assert_int_equal(w.kicks[0], 1);
	lapic_get_state(l, again);
	assert_memory_equal(saved, again, sizeof(saved));
	assert_int_equal(lapic_pending_vector(l), 0x77);
	/* Nothing that a client writes is out of bounds later. */
	memset(saved, 0xff, sizeof(saved));
	lapic_set_state(l, saved);
	assert_int_equal(world_read(l, LAPIC_VERSION), 0x50014);
	assert_int_equal(lapic_pending_vector(l), -1);
	for (int i = 0; i < 300; i++)
		world_write(l, LAPIC_EOI, 0);
	assert_int_equal(w.n_eois, 256);
	lapic_get_state(l, again);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(after_power_up_registers_are_the_manuals),
		TEST(reserved_bits_are_not_kept),
		TEST(only_aligned_words_are_registers),
		TEST(the_page_follows_the_base),
		TEST(switched_off_it_forgets_and_its_page_is_ones),
		TEST(x2apic_registers_are_msrs),
		TEST(x2apic_faults_where_the_manual_says_so),
		TEST(the_highest_class_above_the_priority_is_delivered),
		TEST(the_sub_class_is_read_but_holds_nothing_back),
		TEST(the_end_of_a_level_is_told),
		TEST(the_broadcast_of_eois_can_be_suppressed),
		TEST(disabled_by_software_it_takes_signals_only),
		TEST(an_init_forgets_the_sipi_before_it),
		TEST(the_state_goes_out_and_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
