/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/shadow/test_shadow_bounds.c - how much is done under the MMU lock at a time: it
 * does not grow with what a guest chooses, or with the memory.  Counted, not timed.
 */
#include "shadow_fixture.h"

#include <pthread.h>
#include <stdlib.h>

#include "mmu/notifier.h"
#include "mmu/tdp/internal.h"

/* A few tables, and the longest list. */
#define BOUND (16 * ENTRIES_PER_TABLE + 4 * SHADOW_LIST_MAX)

/* --- lists --------------------------------------------------------------------- */

#define LIST_PAGES 8u
#define LIST_REFS (LIST_PAGES * ENTRIES_PER_TABLE)

/* Entries come and go in any order; each is found without looking at another. */
static void an_entry_knows_its_place_in_the_list(void **state UNUSED)
{
	struct shadow_page *page = aligned_alloc(CACHE_LINE, LIST_PAGES * sizeof(*page));
	static bool in[LIST_REFS];
	struct spte_list list = { 0 };
	unsigned int n = 0;
	struct alloc alloc;
	struct pool nodes;
	struct run run;

	assert_non_null(page);
	alloc_init(&alloc);
	spte_list_pool_init(&nodes, &alloc);
	run_begin(&run, 1);
	for (run.step = 0; run.step < STEPS(20000); run.step++) {
		unsigned int at = (unsigned int)run_below(&run, LIST_REFS);
		struct spte_ref ref = { &page[at % LIST_PAGES], at / LIST_PAGES };

		/* First more and more, then fewer. */
		if (in[at] && run_chance(&run, run.step < STEPS(20000) / 2 ? 30 : 100))
			spte_list_remove(&nodes, &list, ref);
		else if (!in[at] && run_chance(&run, run.step < STEPS(20000) / 2 ? 100 : 30))
			run_assert(&run, spte_list_add(&nodes, &list, ref));
		else
			continue;
		in[at] = !in[at];
		n += in[at] ? 1 : -1u;
		run_assert(&run, spte_list_length(&list) == n);
		if (run.step % 64 == 0)
			run_assert(&run, spte_list_is_valid(&list));
	}
	assert_true(n > 100);
	while (!spte_list_is_empty(&list))
		spte_list_remove(&nodes, &list, spte_list_first(&list));
	pool_destroy(&nodes);
	assert_int_equal(atomic64_load_relaxed(&alloc.bytes), 0);
	free(page);
}

/* --- one frame, one table, many times ----------------------------------------------- */

static uint64_t rmap_length(uint64_t gfn)
{
	const struct frame *frame = frames_find(&shadow->frames, gfn_of(gfn), LEVEL_4K);

	return frame ? spte_list_length(&frame->rmap) : 0;
}

static void a_frame_mapped_everywhere_is_not_all_mapped(void **state UNUSED)
{
	const unsigned int n = 3 * SHADOW_LIST_MAX;

	paging(GUEST_4LEVEL);
	mmu_set_page_limit(&vm->mmu, 1000);
	for (unsigned int i = 0; i < n; i++)
		map(a_page + PAGES(i), 1, PAGES(5) | DONE);
	assert_page(v0, linear, ACCESS_READ, 0);
	work_watch(vm);
	for (unsigned int i = 0; i < n; i++)
		assert_page(v0, a_page + PAGES(i), ACCESS_WRITE, 5);
	assert_true(rmap_length(5) <= SHADOW_LIST_MAX);
	assert_true(rmap_length(5) > SHADOW_LIST_MAX / 2);
	assert_true(work_most() <= BOUND);
	assert_valid();

	/* It becomes a table itself. */
	work_watch(vm);
	write_gpa(PAGES(5), 8, PAGES(6) | DONE);
	map(0x10000000000, 2, PAGES(5) | ALL);
	assert_page(v0, 0x10000000000, ACCESS_READ, 6);
	assert_int_equal(n_shadow_pages(5), 1);
	assert_true(work_most() <= BOUND);
	assert_valid();
}

static void a_table_linked_everywhere_is_told_of_once(void **state UNUSED)
{
	const uint64_t step = 1ull << 21;
	const unsigned int n = 3 * SHADOW_LIST_MAX;
	struct shadow_page *sp;
	uint64_t table;

	paging(GUEST_4LEVEL);
	mmu_set_page_limit(&vm->mmu, 1000);
	map(a_page, 1, PAGES(5) | DONE);
	table = entry_gpa(a_page, 1) & ~0xfffull;
	for (unsigned int i = 1; i < n; i++)
		map(a_page + i * step, 2, table | ALL | GPTE_A);
	work_watch(vm);
	for (unsigned int i = 0; i < n; i++)
		assert_page(v0, a_page + i * step, ACCESS_READ, 5);
	sp = shadow_page_at(v0, a_page + (n - 1) * step, 1);
	assert_true(spte_list_length(&sp->parents) <= SHADOW_LIST_MAX);
	/* It is written to, and brought up to date. */
	guest_map(v0, a_page + PAGES(1), 1, PAGES(6) | DONE);
	load_cr3(v0, v0->paging.cr3);
	assert_page(v0, a_page + PAGES(1), ACCESS_READ, 6);
	assert_true(work_most() <= BOUND);
	assert_valid();
}

/* 16 directories of 16 links to it, and each directory is linked 32 times: more ways to it
 * than may be told. */
static void a_table_with_too_many_above_it_stays_tracked(void **state UNUSED)
{
	const uint64_t gva = 0x10000000000;
	uint64_t leaf;

	paging(GUEST_4LEVEL);
	mmu_set_page_limit(&vm->mmu, 1000);
	map(gva, 1, PAGES(5) | DONE);
	leaf = entry_gpa(gva, 1) & ~0xfffull;
	for (unsigned int i = 0; i < 16; i++) {
		uint64_t at = entry_gpa(gva + ((uint64_t)i << 30), 3);

		for (unsigned int j = 0; j < 16; j++)
			map(gva + ((uint64_t)i << 30) + ((uint64_t)j << 21), 2,
			    leaf | ALL | GPTE_A);
		for (unsigned int j = 1; j < 32; j++)
			write_gpa(at + j * 16 * 8, 8, read_gpa(at, 8));
	}
	for (unsigned int i = 0; i < 512; i++)
		for (unsigned int j = 0; j < 16; j++)
			assert_page(v0, gva + ((uint64_t)i << 30) + ((uint64_t)j << 21),
				    ACCESS_READ, 5);
	work_watch(vm);
	guest_map(v0, gva + PAGES(1), 1, PAGES(6) | DONE);
	assert_false(is_unsync(v0, gva));
	assert_page(v0, gva + PAGES(1), ACCESS_READ, 6);
	load_cr3(v0, v0->paging.cr3);
	assert_page(v0, gva + PAGES(1), ACCESS_READ, 6);
	assert_true(work_most() <= BOUND);
	assert_valid();
}

/* --- the hash ----------------------------------------------------------------- */

#define HASH_PAGES 20000u

static unsigned int longest_bucket(const struct shadow_hash *h, const struct shadow_page *page)
{
	unsigned int longest = 0;

	for (unsigned int i = 0; i < HASH_PAGES; i++) {
		const struct shadow_page *sp = shadow_hash_first(h, page[i].gfn);
		unsigned int n = 0;

		for (; sp; sp = sp->next)
			n++;
		longest = MAX(longest, n);
	}
	return longest;
}

static bool is_hashed(const struct shadow_hash *h, const struct shadow_page *wanted)
{
	const struct shadow_page *sp = shadow_hash_first(h, wanted->gfn);

	while (sp && sp != wanted)
		sp = sp->next;
	return sp;
}

static void no_choice_of_frames_makes_a_bucket_long(void **state UNUSED)
{
	struct shadow_page *page = calloc(HASH_PAGES, sizeof(*page));
	const uint64_t key[2] = { 0x0123456789abcdefull, 0xfedcba9876543210ull };
	struct shadow_hash h;
	struct alloc alloc;

	assert_non_null(page);
	for (unsigned int choice = 0; choice < 24; choice += 4) {
		alloc_init(&alloc);
		assert_int_equal(shadow_hash_init(&h, &alloc, key), 0);
		for (unsigned int i = 0; i < HASH_PAGES; i++) {
			page[i].gfn = gfn_of((uint64_t)i << choice);
			shadow_hash_add(&h, &page[i]);
			assert_true(is_hashed(&h, &page[i / 2]));
		}
		assert_true(longest_bucket(&h, page) <= 32);
		assert_true((uint64_t)1 << h.bits >= HASH_PAGES / 2);
		for (unsigned int i = 0; i < HASH_PAGES; i++)
			shadow_hash_remove(&h, &page[i]);
		shadow_hash_destroy(&h);
		assert_int_equal(atomic64_load_relaxed(&alloc.bytes), 0);
	}
	free(page);
}

/* Two machines have different frames in one bucket: a guest cannot prepare for both. */
static void the_key_decides_who_meets(void **state UNUSED)
{
	struct shadow_page *page = calloc(HASH_PAGES, sizeof(*page));
	unsigned int n_met = 0, n = 0;
	struct shadow_hash h[2];
	struct alloc alloc;
	uint64_t *met = calloc(HASH_PAGES, sizeof(*met));

	assert_non_null(page);
	assert_non_null(met);
	alloc_init(&alloc);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(shadow_hash_init(&h[i], &alloc,
						  (uint64_t[2]){ 17 + i * 0x123456789abcdefull,
								 i * 0xfedcba987654321ull }), 0);
	/* Frames that meet frame 1 by the first key. */
	page[0].gfn = gfn_of(1);
	shadow_hash_add(&h[0], &page[0]);
	for (uint64_t gfn = 2; n < 1000; gfn++)
		if (shadow_hash_first(&h[0], gfn_of(gfn)))
			met[n++] = gfn;
	shadow_hash_remove(&h[0], &page[0]);
	shadow_hash_add(&h[1], &page[0]);
	for (unsigned int i = 0; i < n; i++)
		n_met += shadow_hash_first(&h[1], gfn_of(met[i])) != NULL;
	assert_true(n_met < n / 16);
	shadow_hash_remove(&h[1], &page[0]);
	shadow_hash_destroy(&h[0]);
	shadow_hash_destroy(&h[1]);
	free(met);
	free(page);
}

/* Two old buckets a page: it never stops to move them all. */
static void the_hash_grows_a_little_at_a_time(void **state UNUSED)
{
	struct shadow_page *page = calloc(HASH_PAGES, sizeof(*page));
	const uint64_t key[2] = { 1, 2 };
	struct shadow_hash h;
	struct alloc alloc;
	bool moved = false;

	assert_non_null(page);
	alloc_init(&alloc);
	assert_int_equal(shadow_hash_init(&h, &alloc, key), 0);
	for (unsigned int i = 0; i < HASH_PAGES; i++) {
		size_t before = h.old ? h.n_moved : 0;

		page[i].gfn = gfn_of(i);
		shadow_hash_add(&h, &page[i]);
		assert_true(!h.old || h.n_moved - before <= 2);
		moved |= h.old != NULL;
	}
	assert_true(moved);
	for (unsigned int i = 0; i < HASH_PAGES; i++)
		assert_true(is_hashed(&h, &page[i]));
	shadow_hash_destroy(&h);
	free(page);
}

/* --- the limit ----------------------------------------------------------------- */

static void use_tables(unsigned int first, unsigned int n)
{
	for (unsigned int i = first; i < first + n; i++) {
		uint64_t gva = 0x40000000 + ((uint64_t)i << 21);

		map(gva, 1, PAGES(5) | DONE);
		assert_page(v0, gva, ACCESS_READ, 5);
	}
}

static void pages_at_the_limit_share_their_flushes(void **state UNUSED)
{
	uint64_t flushes, made;

	paging(GUEST_4LEVEL);
	mmu_set_page_limit(&vm->mmu, 128);
	use_tables(0, 300);
	flushes = vm_stat(vm, VM_STAT_remote_tlb_flush);
	made = vm_stat(vm, VM_STAT_mmu_cache_miss);
	work_watch(vm);
	use_tables(300, 300);
	made = vm_stat(vm, VM_STAT_mmu_cache_miss) - made;
	flushes = vm_stat(vm, VM_STAT_remote_tlb_flush) - flushes;
	assert_true(made >= 300);
	assert_true(flushes <= made / 8);
	assert_true(work_most() <= 2 * BOUND);
	assert_valid();
}

static void a_lower_limit_takes_the_lock_many_times(void **state UNUSED)
{
	paging(GUEST_4LEVEL);
	mmu_set_page_limit(&vm->mmu, 2000);
	use_tables(0, 800);
	assert_true(shadow->n_used > 800);
	work_watch(vm);
	mmu_set_page_limit(&vm->mmu, MMU_MIN_PAGES);
	assert_true(work_most() <= 2 * BOUND);
	assert_true(shadow->n_used <= MMU_MIN_PAGES + shadow->n_pinned);
	assert_valid();
}

/* As when a slot of the memory has gone, which the limit follows. */
static void a_fault_is_not_the_one_to_enforce_a_limit(void **state UNUSED)
{
	paging(GUEST_4LEVEL);
	mmu_set_page_limit(&vm->mmu, 2000);
	use_tables(0, 800);
	atomic64_store_relaxed(&vm->mmu.max_pages, MMU_MIN_PAGES);
	work_watch(vm);
	use_tables(800, 100);
	assert_true(work_most() <= 2 * BOUND);
	assert_true(shadow->n_used <= MMU_MIN_PAGES + shadow->n_pinned);
	assert_valid();
}

/* --- memory ---------------------------------------------------------------------- */

/* A piece is a batch, and the longest that its last entry may be. */
#define PIECE (ENTRIES_BEFORE_YIELD + 8 * ENTRIES_PER_TABLE)
#define BIG_PAGES (16 * 1024u)
#define BIG_GFN (1u << 18)

/* A machine with much memory, all of it mapped, in a slot of its own; and a slot of one
 * page. */
static void map_much(enum mmu_mode mode)
{
	vm_free(vm);
	vm_mode = mode;
	vm = vm_make_sim(2, N_PAGES + BIG_PAGES);
	v0 = &vm->vcpu[0];
	v1 = &vm->vcpu[1];
	shadow = vm->mmu.shadow;
	vm_slot(vm, 0, 0, 0, N_PAGES, 0);
	vm_slot(vm, 1, PAGES(BIG_GFN), N_PAGES, BIG_PAGES, 0);
	mmu_set_page_limit(&vm->mmu, 2000);
	paging(GUEST_4LEVEL);
	for (unsigned int i = 0; i < BIG_PAGES; i++) {
		map(PAGES(BIG_GFN + i), 1, PAGES(BIG_GFN + i) | DONE);
		assert_page(v0, PAGES(BIG_GFN + i), ACCESS_WRITE, N_PAGES + i);
	}
	vm_slot(vm, 2, HOLE, 0, 1, 0);
	map(0x10000000000, 1, HOLE | DONE);
	assert_page(v0, 0x10000000000, ACCESS_READ, 0);
}

static void set_big(uint64_t pages, uint32_t flags)
{
	assert_int_equal(set_slot(&vm->slots, 1, PAGES(BIG_GFN), pages,
				  (uintptr_t)vm->memory + PAGES(N_PAGES), flags), 0);
}

static uint64_t visited(void)
{
	return vm_stat(vm, VM_STAT_mmu_visited);
}

/* The generation begins again. */
static void wrap(void)
{
	uint64_t wraps = vm_stat(vm, VM_STAT_mmio_generation_wraps);

	atomic64_store_relaxed(&vm->slots.generation, MMIO_GENERATION_MASK);
	vm_slot(vm, 3, HOLE + PAGES(1u << 20), 0, 1, 0);
	assert_int_equal(vm_stat(vm, VM_STAT_mmio_generation_wraps), wraps + 1);
}

static void use_much(enum mmu_mode mode)
{
	hva_t start, end;
	struct invalidation inv;
	uint64_t before;

	map_much(mode);
	start = vm_hva(vm, N_PAGES);
	end = vm_hva(vm, N_PAGES + BIG_PAGES);

	/* What is elsewhere does not matter. */
	before = visited();
	assert_int_equal(set_slot(&vm->slots, 2, 0, 0, 0, 0), 0);
	assert_true(visited() - before <= PIECE);
	assert_true(vm_stat(vm, VM_STAT_pages_4k) >= BIG_PAGES);

	/* All else is for each page, and lets others in. */
	work_watch(vm);
	set_big(BIG_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	assert_true(visited() - before > BIG_PAGES);
	assert_true(work_most() <= PIECE);
	work_watch(vm);
	assert_true(mmu_age(&vm->mmu, start, end, AGE_CLEAR));
	assert_true(work_most() <= PIECE);
	work_watch(vm);
	assert_false(mmu_age(&vm->mmu, start, end, AGE_TEST));
	assert_true(work_most() <= PIECE);
	work_watch(vm);
	mmu_invalidate_begin(&vm->mmu, start, vm_hva(vm, N_PAGES + BIG_PAGES / 2), &inv);
	mmu_invalidate_end(&inv);
	assert_true(work_most() <= PIECE);
	before = visited();
	work_watch(vm);
	wrap();
	assert_true(visited() - before > BIG_PAGES / 2);
	assert_true(work_most() <= PIECE);
	work_watch(vm);
	set_big(0, 0);
	assert_true(work_most() <= PIECE);
	assert_true(vm_stat(vm, VM_STAT_pages_4k) < N_PAGES);
	assert_valid();
}

static void nothing_holds_the_lock_for_all_of_the_memory(void **state UNUSED)
{
	use_much(MMU_SHADOW);
}

static void nothing_holds_the_lock_for_all_of_the_memory_directly(void **state UNUSED)
{
	use_much(MMU_TDP);
}

#define HOLES 64u

static uint64_t hole(unsigned int i)
{
	return 0x40000000 + ((uint64_t)i << 21);
}

static uint64_t gpa_of_hole(unsigned int i)
{
	return HOLE + ((uint64_t)i << 21);
}

static bool is_noted(unsigned int i)
{
	spte_t spte = shadow ? shadow_entry(v0, hole(i)).spte :
			       tdp_lookup(&vm->mmu, gfn_of(gpa_of_hole(i) >> PAGE_SHIFT)).spte;

	return spte_kind(spte) == SPTE_MMIO;
}

static unsigned int n_noted(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < HOLES; i++)
		n += is_noted(i);
	return n;
}

/* Each in a table of its own. */
static void use_holes(void)
{
	paging(GUEST_4LEVEL);
	mmu_set_page_limit(&vm->mmu, 2000);
	atomic64_store_relaxed(&vm->slots.generation, MMIO_GENERATION_MASK);
	for (unsigned int i = 0; i < HOLES; i++) {
		map(hole(i), 1, gpa_of_hole(i) | DONE);
		for (int n = 0; n < 8 && !is_noted(i); n++) {
			guest_translate(v0, hole(i), ACCESS_READ);
			mmu_paging_changed(v0);
		}
	}
	assert_int_equal(n_noted(), HOLES);
}

/* Between two pieces of a wrap: the oldest page of ours goes, another comes, and MMIO is
 * met, old and new. */
static unsigned int n_between;

static void *use_tables_between(void *arg UNUSED)
{
	unsigned int i = n_between++;
	uint64_t fresh = hole(HOLES + i);

	if (shadow) {
		struct shadow_page *sp;

		rwlock_wrlock(&vm->mmu.lock);
		sp = cds_list_first_entry(&shadow->active, struct shadow_page, node);
		if (!sp->n_roots)
			shadow_zap(&vm->mmu, sp);
		rwlock_wrunlock(&vm->mmu.lock);
	}
	assert_verdict(v0, hole(i % HOLES), ACCESS_READ, MMU_MMIO);
	map(fresh, 1, PAGES(5) | DONE);
	assert_page(v0, fresh, ACCESS_READ, 5);
	return NULL;
}

/* A vCPU's thread: this one has the slots. */
static void disturb(void *ctx UNUSED)
{
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, use_tables_between, NULL), 0);
	pthread_join(t, NULL);
	if (n_between < HOLES)
		hook_once(HOOK_WRLOCK, disturb, NULL);
}

static void wrap_while_tables_come_and_go(void)
{
	use_holes();
	n_between = 0;
	hook_once(HOOK_WRLOCK, disturb, NULL);
	wrap();
	hook_clear(HOOK_WRLOCK);
	assert_true(n_between > 4);
	assert_int_equal(n_noted(), 0);
	assert_valid();
}

/* GEN_WRAP_ZAPS */
static void no_old_mmio_is_left_by_a_wrap_in_pieces(void **state UNUSED)
{
	wrap_while_tables_come_and_go();
}

static void no_old_mmio_is_left_by_a_wrap_in_pieces_directly(void **state UNUSED)
{
	wrap_while_tables_come_and_go();
}

/* A slot full of guest tables goes. */
static void tables_go_with_their_slot_a_few_at_a_time(void **state UNUSED)
{
	paging(GUEST_4LEVEL);
	mmu_set_page_limit(&vm->mmu, 2000);
	use_tables(0, 800);
	work_watch(vm);
	assert_int_equal(set_slot(&vm->slots, 0, 0, 0, 0, 0), 0);
	assert_true(work_most() <= PIECE);
	assert_int_equal(shadow->n_used, 0);
	assert_valid();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_knows_its_place_in_the_list),
		shadow_test(a_frame_mapped_everywhere_is_not_all_mapped),
		shadow_test(a_table_linked_everywhere_is_told_of_once),
		shadow_test(a_table_with_too_many_above_it_stays_tracked),
		cmocka_unit_test(no_choice_of_frames_makes_a_bucket_long),
		cmocka_unit_test(the_key_decides_who_meets),
		cmocka_unit_test(the_hash_grows_a_little_at_a_time),
		shadow_test(pages_at_the_limit_share_their_flushes),
		shadow_test(a_lower_limit_takes_the_lock_many_times),
		shadow_test(a_fault_is_not_the_one_to_enforce_a_limit),
		shadow_test(nothing_holds_the_lock_for_all_of_the_memory),
		shadow_test(nothing_holds_the_lock_for_all_of_the_memory_directly),
		shadow_test(no_old_mmio_is_left_by_a_wrap_in_pieces),
		cmocka_unit_test_setup_teardown(no_old_mmio_is_left_by_a_wrap_in_pieces_directly,
						direct_setup, shadow_teardown),
		shadow_test(tables_go_with_their_slot_a_few_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
