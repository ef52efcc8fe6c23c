/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/mmu/test_out_of_memory.c - faults and slot changes when memory runs out: at the
 * first allocation, at the second, and so on until there are no more.  Each time the
 * call says so, all is as it was, and the same call works when there is memory again.
 */
#include "shadow_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "mem/dirty_log.h"
#include "mmu/tdp/internal.h"
#include "mmu/tlb/flush.h"

static void fail_at(uint64_t n)
{
	atomic64_store_relaxed(&vm->alloc.fail_in, n);
}

/* Was there such an allocation? */
static bool has_failed(void)
{
	return !atomic64_xchg(&vm->alloc.fail_in, 0);
}

/* --- faults ------------------------------------------------------------------ */

struct scene {
	void (*prepare)(void);	/* of a fresh machine */
	uint64_t (*where)(void);
	enum access access;
	enum mmu_verdict verdict;
};

static void run_scene(int (*make)(void **state), const struct scene *scene)
{
	uint64_t n_failed = 0;

	for (uint64_t n = 1;; n++) {
		enum mmu_verdict verdict;
		uint64_t bytes;
		bool failed;

		make(NULL);
		scene->prepare();
		bytes = atomic64_load_relaxed(&vm->alloc.bytes);
		fail_at(n);
		verdict = guest_access(v0, scene->where(), scene->access);
		failed = has_failed();
		assert_valid();
		/* What need not be remembered is not. */
		assert_true(verdict == scene->verdict || (failed && verdict == MMU_NO_MEMORY));
		n_failed += verdict == MMU_NO_MEMORY;
		/* More than a chunk for each pool is not taken for nothing. */
		assert_true(atomic64_load_relaxed(&vm->alloc.bytes) - bytes < 4 << 20);
		assert_int_equal(guest_access(v0, scene->where(), scene->access), scene->verdict);
		assert_int_equal(guest_access(v1, scene->where(), scene->access), scene->verdict);
		shadow_teardown(NULL);
		if (!failed)
			break;
	}
	assert_true(n_failed || scene->verdict == MMU_MMIO);
}

static void run_in_both_modes(const struct scene *scene)
{
	run_scene(shadow_setup, scene);
	run_scene(direct_setup, scene);
}

static uint64_t at_a_page(void)
{
	return a_page;
}

static uint64_t at_page_five(void)
{
	return PAGES(5);
}

static uint64_t in_the_next_table(void)
{
	return a_page + (1 << 21);
}

static void map_in_4_levels(void)
{
	paging(GUEST_4LEVEL);
	map(a_page, 1, PAGES(5) | ALL);
}

static void map_in_5_levels(void)
{
	paging(GUEST_5LEVEL);
	map(a_page, 1, PAGES(5) | ALL);
}

static void map_in_pae(void)
{
	paging(GUEST_PAE);
	map(a_page, 1, PAGES(5) | ALL);
}

static void map_in_32_bits(void)
{
	paging(GUEST_32BIT);
	map(a_page, 1, PAGES(5) | ALL);
}

static void map_nothing(void)
{
}

static void map_mmio(void)
{
	paging(GUEST_4LEVEL);
	map(a_page, 1, HOLE | ALL);
}

/* By two levels of direct pages. */
static void map_1g(void)
{
	paging(GUEST_4LEVEL);
	map(a_page, 3, 0 | DONE | GPTE_PS);
}

static uint64_t inside_1g(void)
{
	return (a_page & ~0x3fffffffull) + PAGES(5);
}

static void first_fault_of_a_format(void (*prepare)(void))
{
	run_in_both_modes(&(struct scene){ prepare, at_a_page, ACCESS_READ, MMU_OK });
	run_in_both_modes(&(struct scene){ prepare, at_a_page, ACCESS_WRITE, MMU_OK });
	run_in_both_modes(&(struct scene){ prepare, at_a_page, ACCESS_EXEC, MMU_OK });
}

static void the_first_fault_of_every_format(void **state UNUSED)
{
	first_fault_of_a_format(map_in_4_levels);
	first_fault_of_a_format(map_in_5_levels);
	first_fault_of_a_format(map_in_pae);
	first_fault_of_a_format(map_in_32_bits);
}

static void the_first_fault_without_paging(void **state UNUSED)
{
	run_in_both_modes(&(struct scene){ map_nothing, at_page_five, ACCESS_WRITE, MMU_OK });
}

static void a_fault_below_a_large_page(void **state UNUSED)
{
	run_in_both_modes(&(struct scene){ map_1g, inside_1g, ACCESS_WRITE, MMU_OK });
}

static void a_fault_where_no_memory_is(void **state UNUSED)
{
	run_in_both_modes(&(struct scene){ map_mmio, at_a_page, ACCESS_WRITE, MMU_MMIO });
}

/* The lists of who maps a frame, and of who links to a page, need a node. */
static void map_the_frame_often(void)
{
	map_in_4_levels();
	for (unsigned int i = 1; i < 8; i++) {
		map(a_page + PAGES(i), 1, PAGES(5) | DONE);
		if (i > 1)
			assert_page(v0, a_page + PAGES(i), ACCESS_READ, 5);
	}
}

static uint64_t at_the_second_page(void)
{
	return a_page + PAGES(1);
}

static void a_fault_on_a_frame_that_is_mapped_already(void **state UNUSED)
{
	const struct scene scene = { map_the_frame_often, at_the_second_page, ACCESS_WRITE,
				     MMU_OK };

	run_scene(shadow_setup, &scene);
}

static void link_the_table_often(void)
{
	uint64_t table;

	map_in_4_levels();
	table = entry_gpa(a_page, 1) & ~0xfffull;
	for (unsigned int i = 1; i < 8; i++) {
		map(a_page + ((uint64_t)i << 21), 2, table | ALL | GPTE_A);
		if (i > 1)
			assert_page(v0, a_page + ((uint64_t)i << 21), ACCESS_READ, 5);
	}
}

static void a_link_to_a_table_that_is_linked_already(void **state UNUSED)
{
	const struct scene scene = { link_the_table_often, in_the_next_table, ACCESS_WRITE,
				     MMU_OK };

	run_scene(shadow_setup, &scene);
}

/* What is in the place goes first. */
static void replace_a_large_page(void)
{
	paging(GUEST_4LEVEL);
	vm->sim.level = LEVEL_2M;
	map(a_page, 2, PAGES(M2) | DONE | GPTE_PS);
	assert_verdict(v0, a_page, ACCESS_WRITE, MMU_OK);
	assert_true(vm_stat(vm, VM_STAT_pages_2m) > 0);
	vm_slot(vm, 0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
}

static void a_write_that_splits_a_large_page(void **state UNUSED)
{
	run_in_both_modes(&(struct scene){ replace_a_large_page, at_a_page, ACCESS_WRITE, MMU_OK });
}

static void give_up_and_relink(void)
{
	map_in_4_levels();
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	guest_map(v0, a_page, 1, PAGES(6) | DONE);
	map(a_page + (1 << 21), 2, entry(a_page, 2));
}

static void a_link_to_a_table_that_is_out_of_date(void **state UNUSED)
{
	const struct scene scene = { give_up_and_relink, in_the_next_table, ACCESS_WRITE, MMU_OK };

	run_scene(shadow_setup, &scene);
}

static void reload_after_a_slot_went(void)
{
	map_in_4_levels();
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	assert_int_equal(set_slot(&vm->slots, 0, 0, 0, 0, 0), 0);
	vm_slot(vm, 0, 0, 0, N_PAGES, 0);
}

static void roots_after_all_have_become_obsolete(void **state UNUSED)
{
	const struct scene scene = { reload_after_a_slot_went, at_a_page, ACCESS_WRITE, MMU_OK };

	run_scene(shadow_setup, &scene);
}

/* --- slots ------------------------------------------------------------------- */

/* What a client can see of the slots. */
struct view {
	uint64_t generation, n_pages;
	struct kvm_userspace_memory_region region[4];
	uint64_t dirty[4][N_PAGES / 64];
};

static void look(struct view *view)
{
	const struct slot_set *set;

	memset(view, 0, sizeof(*view));
	mutex_lock(&vm->slots.lock);
	set = slots_current(&vm->slots);
	assert_true(slot_tree_is_valid(BY_GFN, set->by_gfn));
	assert_true(slot_tree_is_valid(BY_HVA, set->by_hva));
	view->generation = atomic64_load_relaxed(&vm->slots.generation);
	view->n_pages = vm->slots.n_pages;
	assert_int_equal(set->n_pages, view->n_pages);
	for (uint32_t id = 0; id < 4; id++) {
		const struct memslot *slot = slots_by_id(&vm->slots, id);

		if (!slot)
			continue;
		view->region[id] = (struct kvm_userspace_memory_region){
			.slot = id, .flags = slot->flags,
			.guest_phys_addr = gpa_of_gfn(slot->base_gfn).raw,
			.memory_size = slot->npages << PAGE_SHIFT, .userspace_addr = slot->hva.raw,
		};
		assert_ptr_equal(slot_set_find(set, slot->base_gfn), slot);
		for (size_t i = 0; slot->dirty && i < slot->dirty->n_words; i++)
			view->dirty[id][i] = atomic64_load_relaxed(&slot->dirty->words[i]);
	}
	mutex_unlock(&vm->slots.lock);
}

struct change {
	void (*prepare)(void);
	uint32_t id;
	uint64_t gpa;
	uint64_t pages;
	uint32_t flags;
};

static int apply(const struct change *c)
{
	return set_slot(&vm->slots, c->id, c->gpa, c->pages, (uintptr_t)vm->memory, c->flags);
}

static void run_change(int (*make)(void **state), const struct change *c)
{
	struct view before, after;
	uint64_t n_failed = 0;
	bool failed;

	make(NULL);
	paging(GUEST_4LEVEL);
	map(a_page, 1, PAGES(5) | DONE);
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	c->prepare();
	for (uint64_t n = 1;; n++) {
		uint64_t bytes = atomic64_load_relaxed(&vm->alloc.bytes);
		int err;

		look(&before);
		fail_at(n);
		err = apply(c);
		failed = has_failed();
		assert_int_equal(err, failed ? -ENOMEM : 0);
		if (!failed)
			break;
		n_failed++;
		look(&after);
		assert_memory_equal(&before, &after, sizeof(before));
		assert_int_equal(atomic64_load_relaxed(&vm->alloc.bytes), bytes);
		assert_valid();
		assert_page(v0, a_page, ACCESS_WRITE, 5);
	}
	assert_true(n_failed > 1);
	assert_valid();
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	shadow_teardown(NULL);
}

static void change_in_both_modes(const struct change *c)
{
	run_change(shadow_setup, c);
	run_change(direct_setup, c);
}

static void no_slot(void)
{
}

static void a_slot(void)
{
	vm_slot(vm, 1, HOLE, 0, 256, 0);
}

static void a_logged_slot(void)
{
	uint64_t first = PAGES(5);

	vm_slot(vm, 1, HOLE, 0, 256, KVM_MEM_LOG_DIRTY_PAGES);
	/* With something in the log. */
	map(a_page + PAGES(1), 1, (HOLE + first) | DONE);
	assert_page(v0, a_page + PAGES(1), ACCESS_WRITE, 5);
}

static void initially_set(void)
{
	vm->slots.manual_protect = vm->slots.initially_set = true;
	a_slot();
}

static void many_slots(void)
{
	for (uint32_t id = 3; id < 40; id++)
		vm_slot(vm, id, HOLE * 2 + PAGES(id * 16), id, 1, 0);
	a_slot();
}

static void making_a_slot(void **state UNUSED)
{
	change_in_both_modes(&(struct change){ no_slot, 1, HOLE, 256, 0 });
	change_in_both_modes(&(struct change){ many_slots, 2, HOLE * 4, 256, 0 });
	change_in_both_modes(&(struct change){ no_slot, 1, HOLE, 256, KVM_MEM_LOG_DIRTY_PAGES });
}

static void deleting_a_slot(void **state UNUSED)
{
	change_in_both_modes(&(struct change){ a_slot, 1, 0, 0, 0 });
	change_in_both_modes(&(struct change){ a_logged_slot, 1, 0, 0, 0 });
	change_in_both_modes(&(struct change){ many_slots, 1, 0, 0, 0 });
}

static void moving_a_slot(void **state UNUSED)
{
	change_in_both_modes(&(struct change){ a_slot, 1, HOLE + PAGES(7), 256, 0 });
	change_in_both_modes(&(struct change){ a_logged_slot, 1, HOLE * 8, 256,
					       KVM_MEM_LOG_DIRTY_PAGES });
	change_in_both_modes(&(struct change){ a_slot, 1, HOLE * 8, 256,
					       KVM_MEM_LOG_DIRTY_PAGES });
	change_in_both_modes(&(struct change){ many_slots, 1, HOLE * 8, 256, 0 });
}

static void turning_the_log_on_and_off(void **state UNUSED)
{
	change_in_both_modes(&(struct change){ a_slot, 1, HOLE, 256, KVM_MEM_LOG_DIRTY_PAGES });
	change_in_both_modes(&(struct change){ initially_set, 1, HOLE, 256,
					       KVM_MEM_LOG_DIRTY_PAGES });
	change_in_both_modes(&(struct change){ a_logged_slot, 1, HOLE, 256, 0 });
}

/* --- machines ---------------------------------------------------------------- */

static void making_a_vcpu(void **state UNUSED)
{
	struct mmu_vcpu *v;
	int err;

	shadow_setup(NULL);
	v = aligned_alloc(CACHE_LINE, sizeof(*v));
	memset(v, 0, sizeof(*v));
	for (uint64_t n = 1;; n++) {
		fail_at(n);
		err = mmu_vcpu_init(v, &vm->mmu);
		if (!has_failed())
			break;
		assert_int_equal(err, -ENOMEM);
	}
	assert_int_equal(err, 0);
	mmu_vcpu_destroy(v);
	free(v);
	shadow_teardown(NULL);
}

static void make_mmu(enum mmu_mode mode)
{
	struct mmu *m = aligned_alloc(CACHE_LINE, ALIGN_UP(sizeof(*m), (size_t)CACHE_LINE));
	struct slots *s = malloc(sizeof(*s));
	struct atomic64 counts[2] = { 0 };
	struct alloc a;
	int err;

	for (uint64_t n = 1;; n++) {
		memset(m, 0, sizeof(*m));
		memset(s, 0, sizeof(*s));
		m->mode = mode;
		alloc_init(&a);
		atomic64_store_relaxed(&a.fail_in, n);
		err = slots_init(s, &a, gfn_of(TEST_MAX_GFN), &counts[0], &counts[1]);
		if (err) {
			assert_int_equal(err, -ENOMEM);
			continue;
		}
		err = mmu_init(m, &a, s, (struct host_memory){ 0 });
		if (!err)
			mmu_destroy(m);
		slots_destroy(s);
		assert_int_equal(atomic64_load_relaxed(&a.bytes), 0);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_true(n < 20);
	}
	free(s);
	free(m);
}

static void making_an_mmu(void **state UNUSED)
{
	make_mmu(MMU_TDP);
	make_mmu(MMU_SHADOW);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_fault_of_every_format),
		cmocka_unit_test(the_first_fault_without_paging),
		cmocka_unit_test(a_fault_below_a_large_page),
		cmocka_unit_test(a_fault_where_no_memory_is),
		cmocka_unit_test(a_fault_on_a_frame_that_is_mapped_already),
		cmocka_unit_test(a_link_to_a_table_that_is_linked_already),
		cmocka_unit_test(a_write_that_splits_a_large_page),
		cmocka_unit_test(a_link_to_a_table_that_is_out_of_date),
		cmocka_unit_test(roots_after_all_have_become_obsolete),
		cmocka_unit_test(making_a_slot),
		cmocka_unit_test(deleting_a_slot),
		cmocka_unit_test(moving_a_slot),
		cmocka_unit_test(turning_the_log_on_and_off),
		cmocka_unit_test(making_a_vcpu),
		cmocka_unit_test(making_an_mmu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
