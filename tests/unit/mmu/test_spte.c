/* SPDX-License-Identifier: MIT */
/* tests/unit/mmu/test_spte.c - the encoding of an entry and what is legal in it. */
#include "vm_fixture.h"

#include "mmu/paging/spte.h"

#define WRITE_BITS (SPTE_W | SPTE_MMUW | SPTE_HOSTW)
#define ALL_BITS (WRITE_BITS | SPTE_U | SPTE_NX | SPTE_A | SPTE_D)

static const pfn_t some_pfns[] = { 0, 1, 2, 511, 512, (1ull << 35) - 1, 1ull << 35,
				   (1ull << 36) - 1 };
static const uint64_t some_bits[] = { 0, SPTE_U, SPTE_HOSTW, SPTE_HOSTW | SPTE_MMUW, ALL_BITS };

static void every_kind_is_told_from_the_others(void **state UNUSED)
{
	static char table[64] CACHE_ALIGNED;
	const spte_t leaf = spte_make_leaf(5, LEVEL_4K, SPTE_U), link = spte_make_link(table);
	const spte_t mmio = spte_make_mmio(gfn_of(7), 7, 3);

	assert_int_equal(spte_kind(NO_SPTE), SPTE_NONE);
	assert_int_equal(spte_kind(leaf), SPTE_PRESENT);
	assert_int_equal(spte_kind(link), SPTE_PRESENT);
	assert_int_equal(spte_kind(mmio), SPTE_MMIO);
	assert_int_equal(spte_kind(FROZEN_SPTE), SPTE_FROZEN);

	assert_true(spte_is_leaf(leaf) && !spte_is_link(leaf));
	assert_true(spte_is_link(link) && !spte_is_leaf(link));
	assert_false(spte_is_leaf(NO_SPTE) || spte_is_link(NO_SPTE));
	assert_false(spte_is_leaf(mmio) || spte_is_link(mmio));
	assert_false(spte_is_leaf(FROZEN_SPTE) || spte_is_link(FROZEN_SPTE));
}

/* A zeroed table is one of empty entries. */
static void no_entry_is_all_zero(void **state UNUSED)
{
	assert_int_equal(NO_SPTE.raw, 0);
}

static void exactly_four_states_of_writing_are_legal(void **state UNUSED)
{
	int n = 0;

	for (uint64_t s = 0; s < 8; s++) {
		uint64_t bits = (s & 1 ? SPTE_W : 0) | (s & 2 ? SPTE_MMUW : 0) |
				(s & 4 ? SPTE_HOSTW : 0);
		bool w = s & 1, mmuw = s & 2, hostw = s & 4;
		bool legal = spte_is_legal(spte_make_leaf(9, LEVEL_2M, bits));

		assert_int_equal(legal, (!w || mmuw) && (!mmuw || hostw));
		n += legal;
	}
	assert_int_equal(n, 4);
}

/* Their bits mean something else there. */
static void only_a_leaf_can_be_illegal(void **state UNUSED)
{
	assert_true(spte_is_legal(NO_SPTE));
	assert_true(spte_is_legal(FROZEN_SPTE));
	assert_true(spte_is_legal((spte_t){ SPTE_PRESENT | SPTE_W << 8 | SPTE_HOSTW << 7 }));
	assert_true(spte_is_legal(spte_make_mmio(gfn_of(0), 7, SPTE_W >> MMIO_GENERATION_SHIFT)));
	assert_true(spte_is_legal(
		spte_make_mmio(gfn_of(0), 0, SPTE_MMUW >> MMIO_GENERATION_SHIFT)));
}

static void a_leaf_gives_back_what_it_was_made_of(void **state UNUSED)
{
	for (size_t p = 0; p < ARRAY_SIZE(some_pfns); p++) {
		for (int level = LEVEL_4K; level <= LEVEL_512G; level++) {
			for (size_t b = 0; b < ARRAY_SIZE(some_bits); b++) {
				spte_t s = spte_make_leaf(some_pfns[p], level, some_bits[b]);

				assert_true(spte_is_leaf(s));
				assert_int_equal(spte_pfn(s), some_pfns[p]);
				assert_int_equal(spte_level(s), level);
				assert_int_equal(s.raw & ALL_BITS, some_bits[b]);
				assert_int_equal(spte_is_writable(s), !!(some_bits[b] & SPTE_W));
			}
		}
	}
}

static void the_bits_of_a_leaf_do_not_overlap(void **state UNUSED)
{
	const uint64_t fields[] = { SPTE_KIND_MASK, SPTE_LEAF, SPTE_W, SPTE_U, SPTE_NX, SPTE_A,
				    SPTE_D, SPTE_HOSTW, SPTE_MMUW, 3ull << SPTE_LEVEL_SHIFT,
				    SPTE_PFN_MASK };
	uint64_t seen = 0;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		assert_int_equal(seen & fields[i], 0);
		seen |= fields[i];
	}
}

static void a_large_leaf_backs_each_of_its_frames(void **state UNUSED)
{
	const spte_t s2m = spte_make_leaf(0x200, LEVEL_2M, 0);
	const spte_t s1g = spte_make_leaf(0x40000, LEVEL_1G, 0);
	const spte_t s4k = spte_make_leaf(0x123, LEVEL_4K, 0);

	assert_int_equal(spte_pfn_of(s4k, gfn_of(0x777)), 0x123);
	assert_int_equal(spte_pfn_of(s2m, gfn_of(0x1000)), 0x200);
	assert_int_equal(spte_pfn_of(s2m, gfn_of(0x11ff)), 0x3ff);
	assert_int_equal(spte_pfn_of(s1g, gfn_of(0x80000)), 0x40000);
	assert_int_equal(spte_pfn_of(s1g, gfn_of(0xbffff)), 0x7ffff);
}

static void a_link_gives_back_its_table(void **state UNUSED)
{
	const uintptr_t tables[] = { 64, 0x7f1234567fc0, 0x7fffffffffc0, ~(uintptr_t)63 };

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		spte_t s = spte_make_link((void *)tables[i]);

		assert_true(spte_is_link(s));
		assert_int_equal((uintptr_t)spte_link(s), tables[i]);
	}
}

static uint64_t mmio_gfn(spte_t s)
{
	return s.raw >> MMIO_GFN_SHIFT;
}

static void an_mmio_entry_gives_back_what_it_was_made_of(void **state UNUSED)
{
	const uint64_t gfns[] = { 0, 1, 0xfee00, (1ull << 36) - 1, MMIO_MAX_GFN };
	const uint64_t generations[] = { 0, 1, 5, MMIO_GENERATION_MASK - 1, MMIO_GENERATION_MASK };

	for (size_t g = 0; g < ARRAY_SIZE(gfns); g++) {
		for (size_t n = 0; n < ARRAY_SIZE(generations); n++) {
			for (uint64_t access = 0; access <= MMIO_ACCESS_MASK; access++) {
				spte_t s = spte_make_mmio(gfn_of(gfns[g]), access, generations[n]);

				assert_int_equal(spte_kind(s), SPTE_MMIO);
				assert_int_equal(spte_mmio_generation(s), generations[n]);
				assert_int_equal(mmio_gfn(s), gfns[g]);
				assert_int_equal((s.raw >> MMIO_ACCESS_SHIFT) & MMIO_ACCESS_MASK,
						 access);
			}
		}
	}
}

static void a_generation_is_cut_to_its_field(void **state UNUSED)
{
	spte_t s = spte_make_mmio(gfn_of(2), 1,
				  GENERATION_IN_PROGRESS | (MMIO_GENERATION_MASK + 1) | 5);

	assert_int_equal(spte_mmio_generation(s), 5);
	assert_int_equal(mmio_gfn(s), 2);
	assert_int_equal(spte_kind(s), SPTE_MMIO);
}

static void a_lost_exchange_tells_which_value_won(void **state UNUSED)
{
	const spte_t a = spte_make_leaf(5, LEVEL_4K, SPTE_HOSTW | SPTE_MMUW);
	const spte_t b = { a.raw | SPTE_W };
	struct spte_word word = { { 0 } };
	spte_t seen = NO_SPTE;

	assert_true(sptep_cmpxchg(&word, &seen, a));
	assert_false(sptep_cmpxchg(&word, &seen, b));
	assert_int_equal(seen.raw, a.raw);
	assert_true(sptep_cmpxchg(&word, &seen, b));
	assert_int_equal(sptep_read(&word).raw, b.raw);
	assert_int_equal(sptep_xchg(&word, NO_SPTE).raw, b.raw);
	assert_int_equal(sptep_read(&word).raw, 0);
	sptep_set(&word, a);
	assert_int_equal(sptep_read(&word).raw, a.raw);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_is_told_from_the_others),
		cmocka_unit_test(no_entry_is_all_zero),
		cmocka_unit_test(exactly_four_states_of_writing_are_legal),
		cmocka_unit_test(only_a_leaf_can_be_illegal),
		cmocka_unit_test(a_leaf_gives_back_what_it_was_made_of),
		cmocka_unit_test(the_bits_of_a_leaf_do_not_overlap),
		cmocka_unit_test(a_large_leaf_backs_each_of_its_frames),
		cmocka_unit_test(a_link_gives_back_its_table),
		cmocka_unit_test(an_mmio_entry_gives_back_what_it_was_made_of),
		cmocka_unit_test(a_generation_is_cut_to_its_field),
		cmocka_unit_test(a_lost_exchange_tells_which_value_won),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
