/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/mem/test_slots_model.c - slots, who maps what (rmaps or direct tables), the dirty
 * log and young bits under random calls, against a naive model of it all, compared
 * after each.
 *
 * A guest with a few addresses, each mapped to some frame; several may have the same.
 * Slots come, go and move in a window of frames; several may have the same memory.
 */
#include "shadow_fixture.h"

#include <string.h>

#include "mem/dirty_log.h"
#include "mmu/notifier.h"
#include "mmu/tdp/internal.h"

#define N_GVAS 48u
#define FIRST 0x10000ull	/* frames of the window */
#define WINDOW 256u
#define HOST_PAGES 128u		/* of the memory: where slots have theirs */
#define N_SLOTS 8u		/* 1 to 7; slot 0 has the tables */

struct model_slot {
	uint64_t gfn;
	uint64_t n, first;	/* pages; page of the memory */
	uint32_t flags;
	bool dirty[WINDOW];
};

struct model {
	struct run run;
	struct model_slot slot[N_SLOTS];
	uint64_t frame[N_GVAS];		/* what the guest maps there */
	bool mapped[N_GVAS];		/* shadow: there is a translation */
	bool in_table[WINDOW];		/* tdp: likewise, by frame */
	bool young[N_GVAS];
	bool young_frame[WINDOW];
	bool manual, initially_set;
	uint64_t n_updates;
};

static struct model m;

#define check(cond) run_assert(&m.run, cond)

static uint64_t gva_at(unsigned int i)
{
	/* In two tables. */
	return a_page + PAGES(i % 24) + ((uint64_t)(i / 24) << 21);
}

static struct model_slot *slot_of(uint64_t gfn)
{
	for (unsigned int id = 1; id < N_SLOTS; id++)
		if (gfn >= m.slot[id].gfn && gfn - m.slot[id].gfn < m.slot[id].n)
			return &m.slot[id];
	return NULL;
}

/* --- comparing --------------------------------------------------------------- */

static void compare_slots(void)
{
	const struct slot_set *set;
	uint64_t n_pages = N_PAGES;

	for (unsigned int id = 1; id < N_SLOTS; id++)
		n_pages += m.slot[id].n;
	mutex_lock(&vm->slots.lock);
	set = slots_current(&vm->slots);
	check(set->n_pages == n_pages);
	for (uint64_t gfn = FIRST - 2; gfn < FIRST + WINDOW + 2; gfn++) {
		const struct model_slot *want = slot_of(gfn);
		const struct memslot *got = slot_set_find(set, gfn_of(gfn));

		check(!want == !got);
		if (got)
			check(got->id == want - m.slot && got->base_gfn.raw == want->gfn &&
			      got->npages == want->n && got->flags == want->flags &&
			      hva_eq(got->hva, vm_hva(vm, want->first)));
	}
	check(slot_tree_is_valid(BY_GFN, set->by_gfn));
	check(slot_tree_is_valid(BY_HVA, set->by_hva));
	mutex_unlock(&vm->slots.lock);
}

static unsigned int rmap_length(uint64_t gfn)
{
	const struct frame *frame = frames_find(&shadow->frames, gfn_of(gfn), LEVEL_4K);
	struct spte_cursor c;
	struct spte_ref ref;
	unsigned int n = 0;

	if (!frame)
		return 0;
	spte_list_begin(&frame->rmap, &c);
	while (spte_list_next(&c, &ref))
		n++;
	return n;
}

static void compare_rmaps(void)
{
	unsigned int n[WINDOW] = { 0 };

	for (unsigned int i = 0; i < N_GVAS; i++)
		if (m.mapped[i])
			n[m.frame[i] - FIRST]++;
	for (unsigned int f = 0; f < WINDOW; f++)
		check(rmap_length(FIRST + f) == n[f]);
}

static void compare_direct(void)
{
	rcu_read_begin();
	for (unsigned int f = 0; f < WINDOW; f++)
		check(spte_is_leaf(tdp_lookup(&vm->mmu, gfn_of(FIRST + f)).spte) == m.in_table[f]);
	rcu_read_end();
}

static void compare(void)
{
	compare_slots();
	if (shadow)
		compare_rmaps();
	else
		compare_direct();
	if (m.run.step % 16 == 0)
		assert_valid();
}

/* --- the guest --------------------------------------------------------------- */

static void step_access(void)
{
	unsigned int i = (unsigned int)run_below(&m.run, N_GVAS);
	enum access access = (enum access)run_below(&m.run, 2);
	struct mmu_vcpu *v = &vm->vcpu[run_below(&m.run, 2)];
	struct model_slot *slot = slot_of(m.frame[i]);
	enum mmu_verdict verdict = guest_access(v, gva_at(i), access);
	uint64_t page;

	if (!slot || (access == ACCESS_WRITE && (slot->flags & KVM_MEM_READONLY))) {
		check(verdict == MMU_MMIO && result.gpa.raw == PAGES(m.frame[i]));
		/* Direct tables have the page all the same, if it was read before; a
		 * shadow entry too. */
		return;
	}
	page = m.frame[i] - slot->gfn;
	check(verdict == MMU_OK);
	check(result.host == vm->memory + PAGES(slot->first + page));
	m.mapped[i] = m.in_table[m.frame[i] - FIRST] = true;
	m.young[i] = m.young_frame[m.frame[i] - FIRST] = true;
	if (access == ACCESS_WRITE && (slot->flags & KVM_MEM_LOG_DIRTY_PAGES))
		slot->dirty[page] = true;
}

static void forget_everywhere(uint64_t gva)
{
	invlpg(v0, gva);
	invlpg(v1, gva);
}

static void step_remap(void)
{
	unsigned int i = (unsigned int)run_below(&m.run, N_GVAS);

	m.frame[i] = FIRST + run_below(&m.run, WINDOW / 4) * 4;
	guest_map(v1, gva_at(i), 1, PAGES(m.frame[i]) | DONE);
	forget_everywhere(gva_at(i));
	m.mapped[i] = m.young[i] = false;
}

/* What it brings up to date has been flushed one by one. */
static void step_load_cr3(void)
{
	load_cr3(&vm->vcpu[run_below(&m.run, 2)], TABLES);
}

/* --- slots ------------------------------------------------------------------- */

static void forget_frames(const struct model_slot *s)
{
	for (unsigned int f = 0; f < WINDOW; f++)
		if (FIRST + f >= s->gfn && FIRST + f - s->gfn < s->n)
			m.in_table[f] = m.young_frame[f] = false;
	for (unsigned int i = 0; i < N_GVAS; i++)
		if (m.frame[i] >= s->gfn && m.frame[i] - s->gfn < s->n)
			m.mapped[i] = m.young[i] = false;
}

static bool overlaps(unsigned int id, uint64_t gfn, uint64_t n)
{
	for (unsigned int other = 1; other < N_SLOTS; other++)
		if (other != id && m.slot[other].n && gfn < m.slot[other].gfn + m.slot[other].n &&
		    m.slot[other].gfn < gfn + n)
			return true;
	return false;
}

static int model_set(unsigned int id, const struct model_slot *want)
{
	struct model_slot *s = &m.slot[id];
	bool log = want->flags & KVM_MEM_LOG_DIRTY_PAGES;
	bool had_log = s->n && (s->flags & KVM_MEM_LOG_DIRTY_PAGES);

	if (!want->n) {
		if (!s->n)
			return -EINVAL;
		forget_frames(s);
		*s = (struct model_slot){ 0 };
		return 0;
	}
	if (s->n && (s->n != want->n || s->first != want->first ||
		     ((s->flags ^ want->flags) & KVM_MEM_READONLY)))
		return -EINVAL;
	if (s->n && s->gfn == want->gfn && s->flags == want->flags)
		return 0;
	if ((!s->n || s->gfn != want->gfn) && overlaps(id, want->gfn, want->n))
		return -EEXIST;
	if (s->n && s->gfn != want->gfn)
		forget_frames(s);
	s->gfn = want->gfn;
	s->n = want->n;
	s->first = want->first;
	s->flags = want->flags;
	for (uint64_t page = 0; page < WINDOW; page++)
		if (!log || !had_log)
			s->dirty[page] = log && m.initially_set && page < s->n;
	return 0;
}

static void step_slot(void)
{
	unsigned int id = 1 + (unsigned int)run_below(&m.run, N_SLOTS - 1);
	const struct model_slot *now = &m.slot[id];
	struct model_slot want = *now;
	uint64_t what = run_below(&m.run, 100);
	int err;

	if (!want.n || what < 10) {
		want.n = 1 + run_below(&m.run, 70);
		want.first = run_below(&m.run, HOST_PAGES - want.n);
		want.gfn = FIRST + run_below(&m.run, WINDOW - want.n);
		want.flags = run_chance(&m.run, 15) ? KVM_MEM_READONLY : 0;
	} else if (what < 35) {
		want.n = 0;
	} else if (what < 60) {
		want.gfn = FIRST + run_below(&m.run, WINDOW - want.n);
	}
	if (what >= 50)
		want.flags ^= KVM_MEM_LOG_DIRTY_PAGES;
	err = set_slot(&vm->slots, id, PAGES(want.gfn), want.n,
		       (uintptr_t)vm->memory + PAGES(want.first), want.flags);
	check(err == model_set(id, &want));
}

/* --- the log ----------------------------------------------------------------- */

static void compare_log(const struct model_slot *s, const uint64_t *bitmap)
{
	for (uint64_t page = 0; page < s->n; page++)
		check((bitmap[page / 64] >> (page % 64) & 1) == s->dirty[page]);
}

static void step_get(void)
{
	unsigned int id = 1 + (unsigned int)run_below(&m.run, N_SLOTS - 1);
	uint64_t bitmap[2] = { 0 };
	struct model_slot *s = &m.slot[id];
	int err = dirty_log_get(&vm->slots, id, bitmap);

	if (!(s->flags & KVM_MEM_LOG_DIRTY_PAGES)) {
		check(err == -ENOENT);
		return;
	}
	check(!err);
	compare_log(s, bitmap);
	if (!m.manual)
		memset(s->dirty, 0, sizeof(s->dirty));
}

static void step_clear(void)
{
	unsigned int id = 1 + (unsigned int)run_below(&m.run, N_SLOTS - 1);
	uint64_t bitmap[2] = { run_next(&m.run), run_next(&m.run) };
	struct model_slot *s = &m.slot[id];
	uint64_t first = 64 * run_below(&m.run, 2), n = s->n > first ? s->n - first : 0;
	int err = dirty_log_clear(&vm->slots, id, first, n, bitmap);

	if (!(s->flags & KVM_MEM_LOG_DIRTY_PAGES)) {
		check(err == -ENOENT);
		return;
	}
	check(err == (first > s->n ? -EINVAL : 0));
	for (uint64_t page = 0; !err && page < n; page++)
		if (bitmap[page / 64] >> (page % 64) & 1)
			s->dirty[first + page] = false;
}

/* --- the host ---------------------------------------------------------------- */

static bool is_behind(uint64_t gfn, uint64_t first, uint64_t n)
{
	const struct model_slot *s = slot_of(gfn);

	return s && s->first + gfn - s->gfn >= first && s->first + gfn - s->gfn < first + n;
}

static void step_invalidate(void)
{
	uint64_t first = run_below(&m.run, HOST_PAGES), n = 1 + run_below(&m.run, 20);
	struct invalidation inv;

	mmu_invalidate_begin(&vm->mmu, vm_hva(vm, first), vm_hva(vm, first + n), &inv);
	mmu_invalidate_end(&inv);
	for (unsigned int i = 0; i < N_GVAS; i++)
		if (is_behind(m.frame[i], first, n))
			m.mapped[i] = m.young[i] = false;
	for (unsigned int f = 0; f < WINDOW; f++)
		if (is_behind(FIRST + f, first, n))
			m.in_table[f] = m.young_frame[f] = false;
}

static void step_age(void)
{
	uint64_t first = run_below(&m.run, HOST_PAGES), n = 1 + run_below(&m.run, 20);
	bool clear = run_chance(&m.run, 50), young = false;

	for (unsigned int i = 0; i < N_GVAS; i++) {
		if (!is_behind(m.frame[i], first, n))
			continue;
		young |= shadow && m.young[i];
		m.young[i] &= !clear;
	}
	for (unsigned int f = 0; f < WINDOW; f++) {
		if (!is_behind(FIRST + f, first, n))
			continue;
		young |= !shadow && m.young_frame[f];
		m.young_frame[f] &= !clear;
	}
	check(mmu_age(&vm->mmu, vm_hva(vm, first), vm_hva(vm, first + n),
		      clear ? AGE_CLEAR_FLUSH : AGE_TEST) == young);
}

/* --- runs -------------------------------------------------------------------- */

static void random_step(void)
{
	uint64_t what = run_below(&m.run, 100);

	if (what < 60)
		step_access();
	else if (what < 70)
		step_remap();
	else if (what < 73)
		step_load_cr3();
	else if (what < 80)
		step_slot();
	else if (what < 86)
		step_get();
	else if (what < 91)
		step_clear();
	else if (what < 96)
		step_invalidate();
	else
		step_age();
}

static void run_model(uint64_t seed, bool manual, bool initially_set, bool eager)
{
	memset(&m, 0, sizeof(m));
	run_begin(&m.run, seed);
	m.manual = vm->slots.manual_protect = manual;
	m.initially_set = vm->slots.initially_set = initially_set;
	vm->sim.eager = eager;
	paging(GUEST_4LEVEL);
	for (unsigned int i = 0; i < N_GVAS; i++) {
		m.frame[i] = FIRST + run_below(&m.run, WINDOW / 4) * 4;
		map(gva_at(i), 1, PAGES(m.frame[i]) | DONE);
	}
	for (; m.run.step < STEPS(20000); m.run.step++) {
		random_step();
		compare();
	}
}

static void random_calls_agree_with_a_naive_model(void **state UNUSED)
{
	run_model(81, false, false, false);
}

static void random_calls_with_a_log_that_is_cleared_agree_too(void **state UNUSED)
{
	run_model(82, true, false, true);
}

static void random_calls_with_a_log_that_is_set_at_first_agree_too(void **state UNUSED)
{
	run_model(83, true, true, false);
}

#define direct_test(f) cmocka_unit_test_setup_teardown(f, direct_setup, shadow_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		direct_test(random_calls_agree_with_a_naive_model),
		direct_test(random_calls_with_a_log_that_is_cleared_agree_too),
		direct_test(random_calls_with_a_log_that_is_set_at_first_agree_too),
		shadow_test(random_calls_agree_with_a_naive_model),
		shadow_test(random_calls_with_a_log_that_is_cleared_agree_too),
		shadow_test(random_calls_with_a_log_that_is_set_at_first_agree_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
