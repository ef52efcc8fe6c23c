/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/shadow/test_shadow_threads.c - vCPUs that change and use tables of their own beside
 * each other, some of them shared, while the host does what hosts do.
 *
 * What a vCPU finds at an address is exactly what it has last put there itself; the
 * directory above is everybody's.
 */
#include "shadow_fixture.h"

#include <string.h>

#include "mem/dirty_log.h"
#include "mmu/notifier.h"

#define N_WORKERS 3
#define N_OWN 6u		/* pages that each one maps */
#define DATA 900u		/* frames of memory that may be mapped */

struct worker {
	struct mmu_vcpu *v;
	struct run run;
	uint64_t own;
	uint64_t table[2];		/* one or the other is in use; both say the same */
	uint64_t pde, pte[2][N_OWN];
	uint64_t page[N_OWN];
};

static struct atomic32 n_done;

static enum mmu_verdict access(struct worker *w, uint64_t gva, enum access access)
{
	enum mmu_verdict verdict;

	do
		verdict = guest_access(w->v, gva, access);
	while (verdict == MMU_RETRY);
	return verdict;
}

static void store(struct worker *w, uint64_t gpa, uint64_t value)
{
	enum mmu_verdict verdict;

	do
		verdict = guest_store(w->v, linear + gpa, 8, value);
	while (verdict == MMU_RETRY);
	note_unless(verdict == MMU_OK);
}

static void check_page(struct worker *w, unsigned int i)
{
	static const enum access kinds[] = { ACCESS_READ, ACCESS_WRITE, ACCESS_EXEC };
	enum mmu_verdict verdict = access(w, w->own + PAGES(i), kinds[run_below(&w->run, 3)]);

	note_unless(verdict == MMU_OK);
	note_unless(verdict != MMU_OK || result.host == vm->memory + PAGES(w->page[i]));
}

static void forget(struct worker *w, unsigned int i)
{
	if (run_chance(&w->run, 70))
		invlpg(w->v, w->own + PAGES(i));
	else
		load_cr3(w->v, TABLES);
}

static void remap(struct worker *w, unsigned int i)
{
	uint64_t bits = run_chance(&w->run, 50) ? DONE : ALL;

	w->page[i] = run_below(&w->run, DATA);
	for (int n = 0; n < 2; n++)
		store(w, w->pte[n][i], PAGES(w->page[i]) | bits);
	forget(w, i);
}

/* Through an empty entry, as a guest does it. */
static void exchange_tables(struct worker *w)
{
	uint64_t table = w->table[run_below(&w->run, 2)];

	store(w, w->pde, 0);
	if (run_chance(&w->run, 50))
		store(w, w->pte[0][0], PAGES(w->page[0]) | ALL);
	store(w, w->pde, table | ALL);
	load_cr3(w->v, TABLES);
}

static void look_at_another(struct worker *w)
{
	uint64_t its = a_page + (run_below(&w->run, N_WORKERS) << 21);
	enum mmu_verdict verdict = access(w, its + PAGES(run_below(&w->run, N_OWN)), ACCESS_READ);

	note_unless(verdict == MMU_OK || verdict == MMU_GUEST_FAULT);
}

static void *be_a_vcpu(void *arg)
{
	struct worker *w = arg;

	for (; w->run.step < STEPS(12000); w->run.step++) {
		unsigned int i = (unsigned int)run_below(&w->run, N_OWN);
		uint64_t what = run_below(&w->run, 100);

		if (what < 60)
			check_page(w, i);
		else if (what < 75)
			remap(w, i);
		else if (what < 93)
			look_at_another(w);
		else if (what < 96)
			load_cr3(w->v, TABLES);
		else
			exchange_tables(w);
	}
	atomic32_fetch_add(&n_done, 1);
	return NULL;
}

static void be_the_host(struct run *run, bool with_limit)
{
	static uint64_t bitmap[N_PAGES / 64];
	hva_t start = vm_hva(vm, run_below(run, N_PAGES));
	struct invalidation inv;
	bool logged;

	switch (run_below(run, 6)) {
	case 0:
		mmu_invalidate_begin(&vm->mmu, start, hva_add(start, PAGES(run_below(run, 64))),
				     &inv);
		mmu_invalidate_end(&inv);
		break;
	case 1:
		mmu_age(&vm->mmu, start, hva_add(start, PAGES(200)), (enum age)run_below(run, 3));
		break;
	case 2:
		vm_slot(vm, 0, 0, 0, N_PAGES,
			run_chance(run, 70) ? KVM_MEM_LOG_DIRTY_PAGES : 0);
		break;
	case 3:
		/* If it is logged just now. */
		mutex_lock(&vm->slots.lock);
		logged = slots_by_id(&vm->slots, 0)->dirty;
		mutex_unlock(&vm->slots.lock);
		assert_int_equal(dirty_log_get(&vm->slots, 0, bitmap), logged ? 0 : -ENOENT);
		break;
	case 4:
		vm_slot(vm, 1, HOLE, 0, 1, 0);
		assert_int_equal(set_slot(&vm->slots, 1, 0, 0, 0, 0), 0);
		break;
	default:
		mmu_set_page_limit(&vm->mmu, with_limit ? MMU_MIN_PAGES : 1000);
	}
	run->step++;
}

static void prepare(struct worker *w, unsigned int n)
{
	w->v = &vm->vcpu[n];
	w->own = a_page + ((uint64_t)n << 21);
	run_begin(&w->run, 90 + n);
	for (unsigned int i = 0; i < N_OWN; i++) {
		w->page[i] = i;
		map(w->own + PAGES(i), 1, PAGES(i) | DONE);
		w->pte[0][i] = entry_gpa(w->own + PAGES(i), 1);
	}
	w->pde = entry_gpa(w->own, 2);
	w->table[0] = w->pte[0][0] & ~0xfffull;
	w->table[1] = new_table();
	for (unsigned int i = 0; i < N_OWN; i++) {
		w->pte[1][i] = w->table[1] + (w->pte[0][i] & 0xfff);
		write_gpa(w->pte[1][i], 8, PAGES(i) | DONE);
	}
}

static void run_all(enum mmu_mode mode, bool with_limit)
{
	static struct worker worker[N_WORKERS];
	pthread_t t[N_WORKERS];
	struct run run;

	shadow_teardown(NULL);
	vm_mode = mode;
	vm = vm_make_sim(N_WORKERS, N_PAGES);
	v0 = &vm->vcpu[0];
	shadow = vm->mmu.shadow;
	vm_slot(vm, 0, 0, 0, N_PAGES, 0);
	paging(GUEST_4LEVEL);
	a_page &= ~0x1fffffull;
	run_begin(&run, 89);
	atomic32_store_relaxed(&n_done, 0);
	for (unsigned int i = 0; i < N_WORKERS; i++)
		prepare(&worker[i], i);
	for (unsigned int i = 0; i < N_WORKERS; i++)
		thread_start(&t[i], be_a_vcpu, &worker[i]);
	while (atomic32_load_relaxed(&n_done) < N_WORKERS)
		be_the_host(&run, with_limit);
	for (unsigned int i = 0; i < N_WORKERS; i++)
		thread_end(t[i]);
	assert_no_thread_failed();
	assert_valid();
}

static void vcpus_find_what_they_have_put_there(void **state UNUSED)
{
	run_all(MMU_SHADOW, false);
}

static void and_also_if_shadow_pages_are_few(void **state UNUSED)
{
	run_all(MMU_SHADOW, true);
}

static void and_with_direct_tables(void **state UNUSED)
{
	run_all(MMU_TDP, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		shadow_test(vcpus_find_what_they_have_put_there),
		shadow_test(and_also_if_shadow_pages_are_few),
		shadow_test(and_with_direct_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
