/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/mem/test_slot_tree.c - the persistent trees against a naive array.
 *
 * Both orders are kept side by side, as slots.c does, by one update.
 */
#include "vm_fixture.h"

#include <stdlib.h>
#include <string.h>

#define N_SLOTS 160u
#define N_GFNS 2048u
#define N_HVA_PAGES 512u

/* The naive model: which of the slots are in. */
struct naive {
	struct memslot slot[N_SLOTS];
	bool in[N_SLOTS];
};

struct trees {
	const struct slot_node *by_gfn, *by_hva;
};

struct world {
	struct run run;
	struct alloc alloc;
	struct naive now;
	struct trees trees;
};

/* --- the model --------------------------------------------------------- */

static bool naive_overlaps(const struct naive *n, uint64_t start, uint64_t end)
{
	for (unsigned int i = 0; i < N_SLOTS; i++) {
		const struct memslot *s = &n->slot[i];

		if (n->in[i] && s->base_gfn.raw < end && start < s->base_gfn.raw + s->npages)
			return true;
	}
	return false;
}

static const struct memslot *naive_find(const struct naive *n, uint64_t gfn)
{
	for (unsigned int i = 0; i < N_SLOTS; i++) {
		const struct memslot *s = &n->slot[i];

		if (n->in[i] && gfn >= s->base_gfn.raw && gfn < s->base_gfn.raw + s->npages)
			return s;
	}
	return NULL;
}

static unsigned int naive_count(const struct naive *n)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < N_SLOTS; i++)
		count += n->in[i];
	return count;
}

/* --- what a visit finds ------------------------------------------------ */

struct visit {
	enum slot_order order;
	const struct naive *model;
	const struct memslot *last;
	unsigned int n;
	bool ok;
	hva_t start, end;
	bool seen[N_SLOTS];
};

static bool in_order(const struct visit *v, const struct memslot *s)
{
	if (!v->last)
		return true;
	if (v->order == BY_GFN)
		return gfn_lt(v->last->base_gfn, s->base_gfn);
	return hva_lt(v->last->hva, s->hva) ||
	       (hva_eq(v->last->hva, s->hva) && v->last->id < s->id);
}

static void visit_one(void *ctx, struct memslot *s)
{
	struct visit *v = ctx;

	v->ok &= s->id < N_SLOTS && s == &v->model->slot[s->id] && v->model->in[s->id] &&
		 !v->seen[s->id] && in_order(v, s);
	if (v->ok)
		v->seen[s->id] = true;
	v->last = s;
	v->n++;
}

static bool tree_equals(enum slot_order order, const struct slot_node *root,
			const struct naive *model)
{
	struct visit v = { .order = order, .model = model, .ok = true };

	slot_tree_visit(root, visit_one, &v);
	return v.ok && v.n == naive_count(model) && slot_tree_is_valid(order, root);
}

static bool trees_equal(const struct trees *t, const struct naive *model)
{
	return tree_equals(BY_GFN, t->by_gfn, model) && tree_equals(BY_HVA, t->by_hva, model);
}

/* --- random changes ---------------------------------------------------- */

/* A slot that is out gets a new place; false: it would overlap. */
static bool place(struct world *w, unsigned int id)
{
	struct memslot *s = &w->now.slot[id];
	uint64_t npages = 1 + run_below(&w->run, 12);

	*s = (struct memslot){
		.id = (uint16_t)id,
		.base_gfn = gfn_of(run_below(&w->run, N_GFNS)),
		.npages = npages,
		.hva = hva_of(TEST_HVA + (run_below(&w->run, N_HVA_PAGES) << PAGE_SHIFT)),
	};
	return !naive_overlaps(&w->now, s->base_gfn.raw, s->base_gfn.raw + npages);
}

static void change_one(struct world *w, struct slot_tree_update *u, struct trees *t)
{
	unsigned int id = (unsigned int)run_below(&w->run, N_SLOTS);
	struct memslot *s = &w->now.slot[id];

	if (u->failed)
		return;
	if (w->now.in[id]) {
		t->by_gfn = slot_tree_remove(u, BY_GFN, t->by_gfn, s);
		if (!u->failed)
			t->by_hva = slot_tree_remove(u, BY_HVA, t->by_hva, s);
		w->now.in[id] = false;
	} else if (place(w, id)) {
		t->by_gfn = slot_tree_insert(u, BY_GFN, t->by_gfn, s);
		if (!u->failed)
			t->by_hva = slot_tree_insert(u, BY_HVA, t->by_hva, s);
		w->now.in[id] = true;
	}
}

static void check_lookups(struct world *w)
{
	struct run *r = &w->run;

	for (int i = 0; i < 8; i++) {
		uint64_t gfn = run_below(r, N_GFNS + 20), end = gfn + 1 + run_below(r, 20);

		run_assert(r, slot_tree_find(w->trees.by_gfn, gfn_of(gfn)) ==
			      naive_find(&w->now, gfn));
		run_assert(r, slot_tree_overlaps(w->trees.by_gfn, gfn_of(gfn), gfn_of(end)) ==
			      naive_overlaps(&w->now, gfn, end));
	}
}

/* Addresses within pages, too: a notifier may be given those. */
static void check_visit_hva(struct world *w)
{
	hva_t start = hva_of(TEST_HVA + run_below(&w->run, (N_HVA_PAGES + 16) << PAGE_SHIFT));
	hva_t end = hva_add(start, 1 + run_below(&w->run, 24 << PAGE_SHIFT));
	struct visit v = { .order = BY_HVA, .model = &w->now, .ok = true };
	unsigned int n = 0;

	slot_tree_visit_hva(w->trees.by_hva, start, end, visit_one, &v);
	for (unsigned int i = 0; i < N_SLOTS; i++) {
		const struct memslot *s = &w->now.slot[i];
		bool meets = w->now.in[i] && hva_lt(s->hva, end) &&
			     hva_lt(start, memslot_hva_end(s));

		run_assert(&w->run, v.seen[i] == meets);
		n += meets;
	}
	run_assert(&w->run, v.ok && v.n == n);
}

static void step(struct world *w)
{
	struct naive old_model = w->now;
	struct trees old = w->trees, new = old;
	uint64_t bytes = atomic64_load_relaxed(&w->alloc.bytes);
	unsigned int n_changes = 1 + (unsigned int)run_below(&w->run, 4);
	struct slot_tree_update u;

	slot_tree_update_begin(&u, &w->alloc);
	for (unsigned int i = 0; i < n_changes; i++)
		change_one(w, &u, &new);
	run_assert(&w->run, !u.failed && trees_equal(&new, &w->now));
	if (run_chance(&w->run, 10)) {
		slot_tree_update_abort(&u);
		w->now = old_model;
		run_assert(&w->run, atomic64_load_relaxed(&w->alloc.bytes) == bytes);
	} else {
		slot_tree_update_finish(&u);
		w->trees = new;
		run_assert(&w->run, atomic64_load_relaxed(&w->alloc.bytes) ==
				    2 * naive_count(&w->now) * sizeof(struct slot_node));
	}
	run_assert(&w->run, trees_equal(&w->trees, &w->now));
}

static struct world *world_make(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	run_begin(&w->run, seed);
	alloc_init(&w->alloc);
	return w;
}

static void world_free(struct world *w)
{
	slot_tree_free(&w->alloc, w->trees.by_gfn);
	slot_tree_free(&w->alloc, w->trees.by_hva);
	assert_int_equal(atomic64_load_relaxed(&w->alloc.bytes), 0);
	free(w);
}

static void the_trees_agree_with_a_naive_array(void **state UNUSED)
{
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct world *w = world_make(seed);

		for (; w->run.step < STEPS(10000); w->run.step++) {
			step(w);
			check_lookups(w);
			check_visit_hva(w);
		}
		world_free(w);
	}
}

/* --- the old tree ------------------------------------------------------ */

/* All slots in fixed places: then none moves under an old tree. */
static void fill_in_places(struct world *w)
{
	for (unsigned int id = 0; id < N_SLOTS; id++)
		w->now.slot[id] = (struct memslot){
			.id = (uint16_t)id,
			.base_gfn = gfn_of(id * 8),
			.npages = 1 + id % 8,
			.hva = hva_of(TEST_HVA + ((id * 37 % 64) << PAGE_SHIFT)),
		};
}

static struct trees toggle(struct world *w, struct slot_tree_update *u, unsigned int id)
{
	struct memslot *s = &w->now.slot[id];
	struct trees t = w->trees;

	if (w->now.in[id])
		t.by_gfn = slot_tree_remove(u, BY_GFN, t.by_gfn, s);
	else
		t.by_gfn = slot_tree_insert(u, BY_GFN, t.by_gfn, s);
	if (u->failed)
		return w->trees;
	if (w->now.in[id])
		t.by_hva = slot_tree_remove(u, BY_HVA, t.by_hva, s);
	else
		t.by_hva = slot_tree_insert(u, BY_HVA, t.by_hva, s);
	return t;
}

static void readers_of_the_old_root_see_the_old_tree(void **state UNUSED)
{
	struct world *w = world_make(11);

	fill_in_places(w);
	for (; w->run.step < STEPS(20000); w->run.step++) {
		unsigned int id = (unsigned int)run_below(&w->run, N_SLOTS);
		struct slot_tree_update u;
		struct trees new;

		slot_tree_update_begin(&u, &w->alloc);
		new = toggle(w, &u, id);
		run_assert(&w->run, !u.failed && trees_equal(&w->trees, &w->now));
		w->now.in[id] = !w->now.in[id];
		run_assert(&w->run, trees_equal(&new, &w->now));
		slot_tree_update_finish(&u);
		w->trees = new;
	}
	world_free(w);
}

/* Path copying: what an update allocates grows with the height only. */
static void an_update_of_a_full_tree_copies_a_path_and_not_the_tree(void **state UNUSED)
{
	struct world *w = world_make(12);
	struct slot_tree_update u;
	uint64_t before;

	fill_in_places(w);
	for (unsigned int id = 0; id < N_SLOTS; id++) {
		slot_tree_update_begin(&u, &w->alloc);
		w->trees = toggle(w, &u, id);
		w->now.in[id] = true;
		slot_tree_update_finish(&u);
	}
	before = atomic64_load_relaxed(&w->alloc.bytes);
	slot_tree_update_begin(&u, &w->alloc);
	toggle(w, &u, N_SLOTS / 2);
	assert_true(atomic64_load_relaxed(&w->alloc.bytes) - before <
		    40 * sizeof(struct slot_node));
	slot_tree_update_abort(&u);
	world_free(w);
}

/* --- out of memory ----------------------------------------------------- */

static void an_update_without_memory_leaves_the_old_trees_and_leaks_nothing(void **state UNUSED)
{
	struct world *w = world_make(13);
	unsigned int n_failures = 0;

	fill_in_places(w);
	for (; w->run.step < STEPS(1500); w->run.step++) {
		unsigned int id = (unsigned int)run_below(&w->run, N_SLOTS);
		uint64_t bytes = atomic64_load_relaxed(&w->alloc.bytes);
		struct slot_tree_update u;
		struct trees new;

		for (uint64_t n = 1;; n++) {
			slot_tree_update_begin(&u, &w->alloc);
			atomic64_store_relaxed(&w->alloc.fail_in, n);
			new = toggle(w, &u, id);
			run_assert(&w->run, u.failed == !atomic64_load_relaxed(&w->alloc.fail_in));
			if (!u.failed)
				break;
			n_failures++;
			run_assert(&w->run, trees_equal(&w->trees, &w->now));
			slot_tree_update_abort(&u);
			run_assert(&w->run, atomic64_load_relaxed(&w->alloc.bytes) == bytes);
			run_assert(&w->run, trees_equal(&w->trees, &w->now));
		}
		atomic64_store_relaxed(&w->alloc.fail_in, 0);
		slot_tree_update_finish(&u);
		w->trees = new;
		w->now.in[id] = !w->now.in[id];
	}
	assert_true(n_failures > w->run.step);
	world_free(w);
}

/* --- the check itself -------------------------------------------------- */

struct by_hand {
	struct memslot slot[3];
	struct slot_node node[3];
};

/* 0 at the top, 1 to its left, 2 to the right of 1: hand-made, so as to be wrong. */
static void build_by_hand(struct by_hand *h, const uint64_t gfn[3])
{
	memset(h, 0, sizeof(*h));
	for (unsigned int i = 0; i < 3; i++) {
		h->slot[i] = (struct memslot){ .id = (uint16_t)i, .base_gfn = gfn_of(gfn[i]),
					       .npages = 1,
					       .hva = hva_of(TEST_HVA + (gfn[i] << PAGE_SHIFT)) };
		h->node[i].slot = &h->slot[i];
		h->node[i].height = 1;
		h->node[i].max_end = memslot_hva_end(&h->slot[i]);
	}
	h->node[0].left = &h->node[1];
	h->node[0].right = &h->node[2];
	h->node[0].height = 2;
	h->node[0].max_end = memslot_hva_end(&h->slot[2]);
}

static void a_wrong_tree_is_not_valid(void **state UNUSED)
{
	const uint64_t right[3] = { 20, 10, 30 }, left_wrong[3] = { 20, 25, 30 };
	const uint64_t right_wrong[3] = { 20, 10, 15 };
	struct by_hand h;

	build_by_hand(&h, right);
	assert_true(slot_tree_is_valid(BY_GFN, &h.node[0]));
	assert_true(slot_tree_is_valid(BY_HVA, &h.node[0]));
	h.node[0].height = 3;
	assert_false(slot_tree_is_valid(BY_GFN, &h.node[0]));
	build_by_hand(&h, right);
	h.node[0].max_end = hva_add(h.node[0].max_end, 1);
	assert_false(slot_tree_is_valid(BY_HVA, &h.node[0]));
	build_by_hand(&h, left_wrong);
	assert_false(slot_tree_is_valid(BY_GFN, &h.node[0]));
	build_by_hand(&h, right_wrong);
	assert_false(slot_tree_is_valid(BY_GFN, &h.node[0]));
}

/* A fourth below one of the two at the sides, towards the middle: there it has
 * to lie between that one and the top. */
static bool valid_with_grandchild(enum slot_order order, unsigned int side, uint64_t at)
{
	const uint64_t gfn[3] = { 20, 10, 30 };
	struct memslot slot = { .id = 3, .base_gfn = gfn_of(at), .npages = 1,
				.hva = hva_of(TEST_HVA + (at << PAGE_SHIFT)) };
	struct slot_node node = { .slot = &slot, .height = 1, .max_end = memslot_hva_end(&slot) };
	struct by_hand h;

	build_by_hand(&h, gfn);
	if (side == 1)
		h.node[1].right = &node;
	else
		h.node[2].left = &node;
	h.node[side].height = 2;
	h.node[side].max_end = hva_max(node.max_end, h.node[side].max_end);
	h.node[0].height = 3;
	return slot_tree_is_valid(order, &h.node[0]);
}

static void a_slot_beyond_its_grandparent_is_not_valid(void **state UNUSED)
{
	for (enum slot_order order = BY_GFN; order <= BY_HVA; order++) {
		assert_true(valid_with_grandchild(order, 1, 15));
		assert_false(valid_with_grandchild(order, 1, 25));
		assert_true(valid_with_grandchild(order, 2, 25));
		assert_false(valid_with_grandchild(order, 2, 15));
	}
}

static void an_unbalanced_tree_is_not_valid(void **state UNUSED)
{
	const uint64_t gfn[3] = { 30, 20, 40 };
	struct memslot low = { .id = 3, .base_gfn = gfn_of(10), .npages = 1,
			       .hva = hva_of(TEST_HVA) };
	struct slot_node node = { .slot = &low, .height = 1, .max_end = memslot_hva_end(&low) };
	struct by_hand h;

	build_by_hand(&h, gfn);
	h.node[0].right = NULL;
	h.node[0].max_end = memslot_hva_end(&h.slot[0]);
	h.node[1].left = &node;
	h.node[1].height = 2;
	h.node[0].height = 3;
	assert_false(slot_tree_is_valid(BY_GFN, &h.node[0]));
	assert_true(slot_tree_is_valid(BY_GFN, &h.node[1]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_trees_agree_with_a_naive_array),
		cmocka_unit_test(readers_of_the_old_root_see_the_old_tree),
		cmocka_unit_test(an_update_of_a_full_tree_copies_a_path_and_not_the_tree),
		cmocka_unit_test(an_update_without_memory_leaves_the_old_trees_and_leaks_nothing),
		cmocka_unit_test(a_wrong_tree_is_not_valid),
		cmocka_unit_test(a_slot_beyond_its_grandparent_is_not_valid),
		cmocka_unit_test(an_unbalanced_tree_is_not_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
