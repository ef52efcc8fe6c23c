/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/mmu/test_tdp_model.c - the direct tables under random calls: of one
 * thread, against a naive map of frames, and of several.
 */
#include "tdp_calls.h"

#include <stdlib.h>

/* --- the model ------------------------------------------------------- */

struct model_page {
	uint8_t level;	/* where a lookup ends */
	uint8_t kind;
	bool w, mmuw, hostw;
	pfn_t pfn;
	uint64_t generation;
};

/* Of all frames only those of the window are ever mapped. */
struct model {
	struct run run;
	struct test_vm *vm;
	uint64_t first, n;
	bool with_1g;
	struct model_page *page;
};

static struct model_page *at(struct model *m, uint64_t gfn)
{
	return &m->page[gfn - m->first];
}

/* The part in the window of the region at @level around @gfn. */
static uint64_t region_start(const struct model *m, uint64_t gfn, int level)
{
	return MAX(ALIGN_DOWN(gfn, level_pages(level)), m->first);
}

static uint64_t region_end(const struct model *m, uint64_t gfn, int level)
{
	return MIN(ALIGN_DOWN(gfn, level_pages(level)) + level_pages(level), m->first + m->n);
}

static void set_region(struct model *m, uint64_t gfn, int level, struct model_page p)
{
	pfn_t pfn = p.pfn - (gfn - region_start(m, gfn, level));

	p.level = (uint8_t)level;
	for (uint64_t g = region_start(m, gfn, level); g < region_end(m, gfn, level); g++) {
		*at(m, g) = p;
		at(m, g)->pfn = pfn++;
	}
}

/* The entry becomes a table of entries that say the same. */
static void lower_region(struct model *m, uint64_t gfn)
{
	int level = at(m, gfn)->level;

	for (uint64_t g = region_start(m, gfn, level); g < region_end(m, gfn, level); g++)
		at(m, g)->level--;
}

static enum fault_verdict model_map(struct model *m, uint64_t gfn, pfn_t pfn, int level, int how)
{
	bool write = how & WRITE, host_writable = !(how & READ_ONLY);
	struct model_page *p = at(m, gfn), new;

	while (p->level > level) {
		if (p->kind == SPTE_PRESENT && (!write || p->w))
			return FAULT_SPURIOUS;
		lower_region(m, gfn);
	}
	if (p->kind == SPTE_PRESENT && (!write || p->w))
		return FAULT_SPURIOUS;
	new = (struct model_page){
		.kind = SPTE_PRESENT, .pfn = pfn,
		.hostw = host_writable, .mmuw = host_writable,
		.w = host_writable && !(how & NO_W_YET),
	};
	if (p->kind == SPTE_PRESENT) {
		new.hostw |= p->hostw;
		new.mmuw |= p->mmuw;
	}
	set_region(m, gfn, p->level, new);
	return FAULT_FIXED;
}

static void step_map(struct model *m)
{
	static const int hows[] = { WRITE, WRITE, READ_ONLY, NO_W_YET };
	uint64_t gfn = m->first + run_below(&m->run, m->n);
	int level = run_chance(&m->run, 75) ? LEVEL_4K : LEVEL_2M;
	int how = hows[run_below(&m->run, ARRAY_SIZE(hows))];
	/* Always the same page for a frame: for another it is zapped first. */
	pfn_t pfn = PFN + gfn;

	if (m->with_1g && run_chance(&m->run, 5))
		level = LEVEL_1G;
	/* Split, it would leave pages outside the window, of which we know nothing. */
	while (region_end(m, gfn, level) - region_start(m, gfn, level) < level_pages(level))
		level--;
	run_assert(&m->run, map(m->vm, gfn, pfn, level, how) == model_map(m, gfn, pfn, level, how));
}

static void random_range(struct model *m, uint64_t *start, uint64_t *end)
{
	static const uint64_t lengths[] = { 1, 8, 100, 512, 600, 2000 };

	*start = m->first + run_below(&m->run, m->n);
	*end = *start + 1 + run_below(&m->run, lengths[run_below(&m->run, ARRAY_SIZE(lengths))]);
	if (run_chance(&m->run, 30)) {
		*start = ALIGN_DOWN(*start, M2);
		*end = ALIGN_UP(*end, M2);
	}
	*start = MAX(*start, m->first);
	*end = MIN(*end, m->first + m->n);
}

static void take_w(struct model *m, uint64_t gfn)
{
	int level = at(m, gfn)->level;

	for (uint64_t g = region_start(m, gfn, level); g < region_end(m, gfn, level); g++)
		at(m, g)->w = false;
}

static void step_protect(struct model *m)
{
	int first_level = 1 + (int)run_below(&m->run, m->with_1g ? 3 : 2);
	uint64_t start, end;

	random_range(m, &start, &end);
	protect(m->vm, start, end, first_level);
	for (uint64_t g = start; g < end; g++)
		if (at(m, g)->kind == SPTE_PRESENT && at(m, g)->level >= first_level &&
		    at(m, g)->w)
			take_w(m, g);
}

static void step_protect_mask(struct model *m)
{
	uint64_t first = m->first + run_below(&m->run, m->n - 64);
	uint64_t mask = run_next(&m->run);

	if (run_chance(&m->run, 50))
		mask &= run_next(&m->run) & run_next(&m->run);
	protect_mask(m->vm, first, mask);
	for (uint64_t i = 0; i < 64; i++)
		if (mask >> i & 1 && at(m, first + i)->kind == SPTE_PRESENT && at(m, first + i)->w)
			take_w(m, first + i);
}

static void empty(struct model *m, uint64_t gfn)
{
	set_region(m, gfn, at(m, gfn)->level, (struct model_page){ .kind = SPTE_NONE });
}

/* Does a table of entries of @level around @gfn go, when a zap comes by? */
static bool is_emptied(struct model *m, uint64_t gfn, int level)
{
	for (uint64_t g = region_start(m, gfn, level + 1); g < region_end(m, gfn, level + 1); g++)
		if (at(m, g)->level != level || at(m, g)->kind != SPTE_NONE)
			return false;
	return true;
}

static void drop_emptied(struct model *m, uint64_t start, uint64_t end)
{
	for (int level = LEVEL_4K; level < LEVEL_256T; level++)
		for (uint64_t g = start; g < end; g = region_end(m, g, level + 1))
			if (is_emptied(m, g, level))
				for (uint64_t i = region_start(m, g, level + 1);
				     i < region_end(m, g, level + 1); i++)
					at(m, i)->level = (uint8_t)(level + 1);
}

static void step_zap(struct model *m)
{
	uint64_t start, end;
	uint64_t n = 0;

	random_range(m, &start, &end);
	for (uint64_t g = start; g < end; g++) {
		if (at(m, g)->kind != SPTE_PRESENT)
			continue;
		empty(m, g);
		n++;
	}
	drop_emptied(m, start, end);
	run_assert(&m->run, zap(m->vm, start, end) == n);
}

/* What has a table and lies within the range is one empty entry afterwards. */
static void empty_with_tables(struct model *m, uint64_t start, uint64_t end, uint64_t gfn)
{
	int level = at(m, gfn)->level;

	while (level < LEVEL_256T && ALIGN_DOWN(gfn, level_pages(level + 1)) >= start &&
	       ALIGN_DOWN(gfn, level_pages(level + 1)) + level_pages(level + 1) <= end)
		level++;
	set_region(m, gfn, level, (struct model_page){ .kind = SPTE_NONE });
}

static void step_zap_slot(struct model *m)
{
	uint64_t start, end;

	random_range(m, &start, &end);
	/* A large page lies in one slot: make the range so. */
	start = region_start(m, start, at(m, start)->level);
	end = region_end(m, end - 1, at(m, end - 1)->level);
	for (uint64_t g = start; g < end; g++)
		empty_with_tables(m, start, end, g);
	zap_frames(&m->vm->mmu, start, end);
}

static void step_mmio(struct model *m)
{
	uint64_t gfn = m->first + run_below(&m->run, m->n);
	uint64_t generation = run_below(&m->run, MMIO_GENERATION_MASK);

	if (run_chance(&m->run, 5)) {
		tdp_zap_mmio(&m->vm->mmu);
		for (uint64_t g = m->first; g < m->first + m->n; g++)
			if (at(m, g)->kind == SPTE_MMIO)
				empty(m, g);
		return;
	}
	map_mmio(m->vm, gfn, generation);
	if (at(m, gfn)->kind == SPTE_PRESENT)
		return;
	while (at(m, gfn)->level > LEVEL_4K)
		lower_region(m, gfn);
	*at(m, gfn) = (struct model_page){ .kind = SPTE_MMIO, .level = LEVEL_4K,
					   .generation = generation };
}

static bool page_agrees(struct model *m, uint64_t gfn)
{
	const struct model_page *p = at(m, gfn);
	struct table_entry e = tdp_lookup(&m->vm->mmu, gfn_of(gfn));
	spte_t s = e.spte;

	if (e.level != p->level || spte_kind(s) != p->kind)
		return false;
	if (p->kind == SPTE_MMIO)
		return spte_mmio_generation(s) == p->generation;
	return p->kind == SPTE_NONE ||
	       (spte_pfn_of(s, gfn_of(gfn)) == p->pfn && !!(s.raw & SPTE_W) == p->w &&
		!!(s.raw & SPTE_MMUW) == p->mmuw && !!(s.raw & SPTE_HOSTW) == p->hostw);
}

static void check_gauges(struct model *m)
{
	uint64_t n_leafs[LEVEL_1G + 1] = { 0 }, n_tables = 1;

	for (uint64_t g = m->first; g < m->first + m->n;) {
		const struct model_page *p = at(m, g);

		/* Below each level at which this frame's region begins. */
		for (int level = p->level + 1; level <= LEVEL_256T; level++)
			n_tables += g == region_start(m, g, level);
		if (p->kind == SPTE_PRESENT)
			n_leafs[p->level]++;
		g = region_end(m, g, p->level);
	}
	run_assert(&m->run, n_linked_tables(m->vm) == n_tables);
	run_assert(&m->run, vm_stat(m->vm, VM_STAT_pages_4k) == n_leafs[LEVEL_4K]);
	run_assert(&m->run, vm_stat(m->vm, VM_STAT_pages_2m) == n_leafs[LEVEL_2M]);
	run_assert(&m->run, vm_stat(m->vm, VM_STAT_pages_1g) == n_leafs[LEVEL_1G]);
}

static void check_all(struct model *m)
{
	for (uint64_t g = m->first; g < m->first + m->n; g++)
		run_assert(&m->run, page_agrees(m, g));
	run_assert(&m->run, tdp_is_valid(&m->vm->mmu));
	check_gauges(m);
}

static void check_some(struct model *m)
{
	for (int i = 0; i < 16; i++)
		run_assert(&m->run, page_agrees(m, m->first + run_below(&m->run, m->n)));
	run_assert(&m->run, tdp_is_valid(&m->vm->mmu));
}

static void random_step(struct model *m)
{
	uint64_t what = run_below(&m->run, 100);

	if (what < 60)
		step_map(m);
	else if (what < 68)
		step_protect(m);
	else if (what < 76)
		step_protect_mask(m);
	else if (what < 84)
		step_zap(m);
	else if (what < 92)
		step_zap_slot(m);
	else
		step_mmio(m);
}

static void run_model(uint64_t seed, uint64_t first, uint64_t n, bool with_1g, unsigned int steps,
		      unsigned int check_each)
{
	struct model m = { .vm = vm_make(1, 1), .first = first, .n = n, .with_1g = with_1g };

	run_begin(&m.run, seed);
	m.page = calloc(n, sizeof(*m.page));
	assert_non_null(m.page);
	for (uint64_t g = 0; g < n; g++)
		m.page[g].level = LEVEL_256T;
	for (; m.run.step < steps; m.run.step++) {
		random_step(&m);
		check_some(&m);
		if (m.run.step % check_each == 0)
			check_all(&m);
	}
	zap(m.vm, first, first + n);
	assert_int_equal(vm_stat(m.vm, VM_STAT_pages_4k), 0);
	assert_int_equal(vm_stat(m.vm, VM_STAT_pages_2m), 0);
	assert_int_equal(vm_stat(m.vm, VM_STAT_pages_1g), 0);
	zap_frames(&m.vm->mmu, 0, 1ull << 45);
	assert_gauges(m.vm, 1, 0, 0, 0);
	free(m.page);
	vm_free(m.vm);
}

/* The window lies across a border of 512 GiB, and ends within tables. */
static void random_changes_agree_with_a_naive_map(void **state UNUSED)
{
	run_model(51, G512 - 2 * M2 - 100, 4 * M2 + 150, false, STEPS(20000), 20);
	run_model(52, G1 - M2, 3 * M2, false, STEPS(20000), 20);
}

static void random_changes_with_pages_of_1g_agree_too(void **state UNUSED)
{
	run_model(53, G1 - M2 - 9, G1 + 2 * M2, true, STEPS(1200), 40);
}

/* --- several threads ------------------------------------------------- */

#define N_MAPPERS 3
#define WINDOW (2 * M2)		/* of the mappers; a slot that comes and goes is behind it */

struct race {
	struct test_vm *vm;
	struct atomic32 next, done;
};

static void *map_at_random(void *arg)
{
	static const int hows[] = { WRITE, WRITE, READ_ONLY, NO_W_YET };
	struct race *race = arg;
	struct run run;

	run_begin(&run, 54 + atomic32_fetch_add(&race->next, 1));
	for (; run.step < STEPS(30000); run.step++) {
		uint64_t gfn = run_below(&run, WINDOW);
		int level = run_chance(&run, 20) ? LEVEL_2M : LEVEL_4K;
		int how = hows[run_below(&run, ARRAY_SIZE(hows))];
		enum fault_verdict v = map(race->vm, gfn, PFN + gfn, level, how);

		note_unless(v == FAULT_FIXED || v == FAULT_SPURIOUS || v == FAULT_RETRY);
		if (run_chance(&run, 20))
			map_mmio(race->vm, run_below(&run, WINDOW), run.step);
	}
	atomic32_fetch_add(&race->done, 1);
	return NULL;
}

#define SAME_FRAMES 128u
#define SAME_ROUNDS STEPS(1500)

struct same {
	struct test_vm *vm;
	pthread_barrier_t start, end;
	uint64_t fixed[N_MAPPERS];
	struct atomic32 next;
};

static void *map_the_same(void *arg)
{
	struct same *s = arg;
	uint32_t me = atomic32_fetch_add(&s->next, 1);

	for (unsigned int round = 0; round < SAME_ROUNDS; round++) {
		pthread_barrier_wait(&s->start);
		for (uint64_t gfn = 0; gfn < SAME_FRAMES; gfn++)
			s->fixed[me] += map(s->vm, gfn, PFN + gfn, LEVEL_4K, WRITE) == FAULT_FIXED;
		pthread_barrier_wait(&s->end);
	}
	return NULL;
}

/* VOLATILE_RMW: of those who fault together one installs, the others see it. */
static void faults_on_the_same_frames_install_each_once(void **state)
{
	struct same s = { .vm = *state };
	pthread_t t[N_MAPPERS];

	pthread_barrier_init(&s.start, NULL, N_MAPPERS + 1);
	pthread_barrier_init(&s.end, NULL, N_MAPPERS + 1);
	for (int i = 0; i < N_MAPPERS; i++)
		thread_start(&t[i], map_the_same, &s);
	for (unsigned int round = 1; round <= SAME_ROUNDS; round++) {
		pthread_barrier_wait(&s.start);
		pthread_barrier_wait(&s.end);
		assert_int_equal(vm_stat(s.vm, VM_STAT_pages_4k), SAME_FRAMES);
		assert_int_equal(s.fixed[0] + s.fixed[1] + s.fixed[2], round * SAME_FRAMES);
		assert_int_equal(zap(s.vm, 0, SAME_FRAMES), SAME_FRAMES);
	}
	for (int i = 0; i < N_MAPPERS; i++)
		thread_end(t[i]);
	pthread_barrier_destroy(&s.start);
	pthread_barrier_destroy(&s.end);
}

static void take_at_random(struct test_vm *vm, struct run *run)
{
	uint64_t start = run_below(run, WINDOW), end = start + run_below(run, 600);
	uint64_t slot = WINDOW + run_below(run, M2);

	switch (run_below(run, 4)) {
	case 0:
		protect(vm, start, MIN(end, WINDOW), 1 + (int)run_below(run, 2));
		break;
	case 1:
		protect_mask(vm, start, run_next(run));
		break;
	case 2:
		zap(vm, start, MIN(end, WINDOW));
		break;
	default:
		map(vm, slot, PFN + slot, LEVEL_4K, WRITE);
		map(vm, slot + M2, PFN + slot + M2, LEVEL_2M, WRITE);
		zap_frames(&vm->mmu, WINDOW, WINDOW + 2 * M2);
	}
	run->step++;
}

static void threads_that_map_and_take_keep_the_tables_whole(void **state)
{
	struct test_vm *vm = *state;
	struct race race = { .vm = vm };
	pthread_t t[N_MAPPERS];
	uint64_t n4k = 0, n2m = 0;
	struct run run;

	run_begin(&run, 58);
	for (int i = 0; i < N_MAPPERS; i++)
		thread_start(&t[i], map_at_random, &race);
	while (atomic32_load_relaxed(&race.done) < N_MAPPERS)
		take_at_random(vm, &run);
	for (int i = 0; i < N_MAPPERS; i++)
		thread_end(t[i]);
	assert_no_thread_failed();
	assert_true(tdp_is_valid(&vm->mmu));
	for (uint64_t gfn = 0; gfn < WINDOW; gfn++) {
		struct table_entry e = look(vm, gfn);

		if (!spte_is_leaf(e.spte))
			continue;
		assert_int_equal(spte_pfn_of(e.spte, gfn_of(gfn)), PFN + gfn);
		n4k += e.level == LEVEL_4K;
		n2m += e.level == LEVEL_2M && IS_ALIGNED(gfn, M2);
	}
	assert_int_equal(vm_stat(vm, VM_STAT_pages_4k), n4k);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_2m), n2m);
	zap_frames(&vm->mmu, 0, 1ull << 45);
	assert_gauges(vm, 1, 0, 0, 0);
}

#define tdp_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		tdp_test(faults_on_the_same_frames_install_each_once),
		tdp_test(threads_that_map_and_take_keep_the_tables_whole),
		cmocka_unit_test(random_changes_agree_with_a_naive_map),
		cmocka_unit_test(random_changes_with_pages_of_1g_agree_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
