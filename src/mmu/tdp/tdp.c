/* SPDX-License-Identifier: MIT */
/* mmu/tdp/tdp.c - making and protecting direct translations. */
#include "mmu/tdp/tdp.h"

#include "base/trace.h"
#include "mmu/flush.h"
#include "mmu/tdp/internal.h"

struct table *tdp_new_table(struct mmu *m, int level)
{
	struct table *t = pool_get(&m->tables);

	if (t) {
		t->level = level;
		mmu_count(m, mmu_tables);
	}
	return t;
}

void tdp_free_table(struct mmu *m, struct table *t)
{
	if (t->for_mmio)
		atomic64_fetch_add(&m->n_mmio_tables, (uint64_t)-1);
	mmu_count_n(m, VM_STAT_mmu_tables, (uint64_t)-1);
	pool_put(&m->tables, t);
}

static int tdp_init(struct mmu *m)
{
	pool_init(&m->tables, m->alloc, sizeof(struct table));
	m->root = tdp_new_table(m, TDP_ROOT_LEVEL);
	return m->root ? 0 : -ENOMEM;
}

static void free_tree(struct mmu *m, struct table *t)
{
	for (unsigned int i = 0; i < ENTRIES_PER_TABLE; i++) {
		spte_t spte = sptep_read(&t->spte[i]);

		if (spte_is_link(spte))
			free_tree(m, spte_link(spte));
	}
	tdp_free_table(m, t);
}

static void tdp_destroy(struct mmu *m)
{
	tdp_reap(m, true);
	if (m->root)
		free_tree(m, m->root);
	pool_destroy(&m->tables);
}

int tdp_max_level(const struct mmu *m, gfn_t gfn)
{
	return MIN(tdp_lookup(m, gfn).level, (int)LEVEL_1G);
}

/* Links a new table into an empty entry.  False: no memory. */
static bool grow(struct mmu *m, struct spte_slot *slot, spte_t old, int level, bool for_mmio)
{
	struct table *t = tdp_new_table(m, level - 1);

	if (!t)
		return false;
	t->for_mmio = for_mmio;
	if (for_mmio)
		atomic64_fetch_add(&m->n_mmio_tables, 1);
	if (!sptep_cmpxchg(slot, &old, spte_make_link(t)))
		tdp_free_table(m, t);
	return true;
}

/*
 * Replaces a large leaf by a table of smaller ones with the same translations, so no TLB needs a
 * flush.
 */
static bool split(struct mmu *m, struct spte_slot *slot, spte_t old, int level)
{
	uint64_t bits = old.raw & (PAGE_SIZE - 1) & ~(3ull << SPTE_LEVEL_SHIFT) &
			~(SPTE_KIND_MASK | SPTE_LEAF);
	struct table *t = tdp_new_table(m, level - 1);

	if (!t)
		return false;
	for (unsigned int i = 0; i < ENTRIES_PER_TABLE; i++)
		sptep_set(&t->spte[i], spte_make_leaf(spte_pfn(old) + i * level_pages(level - 1),
						      level - 1, bits));
	if (sptep_cmpxchg(slot, &old, spte_make_link(t))) {
		mmu_count_leafs(m, level, -1);
		mmu_count_leafs(m, level - 1, ENTRIES_PER_TABLE);
	} else {
		tdp_free_table(m, t);
	}
	return true;
}

static uint64_t leaf_bits(const struct host_page *page, bool allow_write)
{
	uint64_t bits = SPTE_U;

	if (page->writable || mutant(HOST_READ_ONLY_IGNORED))
		bits |= SPTE_HOSTW | SPTE_MMUW;
	if ((page->writable || mutant(HOST_READ_ONLY_IGNORED)) && allow_write)
		bits |= SPTE_W;
	return bits;
}

static enum fault_verdict set_leaf(struct mmu *m, struct tdp_entry *e, gfn_t gfn,
				   const struct host_page *page, bool write, bool allow_write)
{
	uint64_t bits = leaf_bits(page, allow_write);
	pfn_t first = page->pfn - (gfn & (level_pages(e->level) - 1));
	spte_t old = e->spte, new;

	if (spte_is_leaf(old)) {
		if (!write || spte_is_writable(old))
			return FAULT_SPURIOUS;
		bug_on(rule(PFN_CHANGE_GOES_THROUGH_ZERO) && spte_pfn(old) != first);
		new.raw = old.raw | bits;
	} else {
		new = spte_make_leaf(first, e->level, bits);
	}
	/* VOLATILE_RMW: W, A and D of the old value may change at any moment. */
	if (!sptep_cmpxchg(e->slot, &old, new))
		return FAULT_RETRY;
	if (!spte_is_leaf(old))
		mmu_count_leafs(m, e->level, 1);
	trace_spte_changed(gfn, e->level, old.raw, new.raw);
	return FAULT_FIXED;
}

enum fault_verdict tdp_map(struct mmu *m, gfn_t gfn, const struct host_page *page, bool write,
			   bool allow_write)
{
	rwlock_assert_held(&m->lock);
	for (;;) {
		struct tdp_entry e = tdp_lookup(m, gfn);

		/* The thread that froze it is about to flush and empty it. */
		if (rule(FROZEN_SPTE_UNTOUCHED) && spte_kind(e.spte) == SPTE_FROZEN)
			return FAULT_RETRY;
		if (e.level <= page->level)
			return set_leaf(m, &e, gfn, page, write, allow_write);
		if (spte_is_leaf(e.spte)) {
			if (!write || spte_is_writable(e.spte) || mutant(LARGE_READ_ONLY_STAYS))
				return FAULT_SPURIOUS;
			if (!split(m, e.slot, e.spte, e.level))
				return FAULT_NO_MEMORY;
		} else if (!grow(m, e.slot, e.spte, e.level, false)) {
			return FAULT_NO_MEMORY;
		}
	}
}

void tdp_map_mmio(struct mmu *m, gfn_t gfn, uint64_t generation)
{
	rwlock_assert_held(&m->lock);
	spte_t new = spte_make_mmio(gfn, MMIO_ACCESS_MASK, generation);
	struct tdp_entry e;

	if (gfn > MMIO_MAX_GFN)
		return;
	for (;;) {
		e = tdp_lookup(m, gfn);
		if (e.level == LEVEL_4K)
			break;
		if (spte_kind(e.spte) != SPTE_NONE ||
		    atomic64_load_relaxed(&m->n_mmio_tables) >= MAX_TABLES_FOR_MMIO ||
		    !grow(m, e.slot, e.spte, e.level, true))
			return;
	}
	if (spte_kind(e.spte) != SPTE_NONE && spte_kind(e.spte) != SPTE_MMIO)
		return;
	if (sptep_cmpxchg(e.slot, &e.spte, new))
		trace_mark_mmio_spte(gfn, MMIO_ACCESS_MASK, generation);
}

/* Takes W from one leaf.  WPROT_LOGGING_KEEPS_MMUW. */
static bool protect_leaf(struct spte_slot *slot, spte_t spte)
{
	spte_t new;

	while (spte_is_leaf(spte) && spte_is_writable(spte)) {
		new.raw = spte.raw & ~SPTE_W;
		if (!rule(WPROT_LOGGING_KEEPS_MMUW))
			new.raw &= ~SPTE_MMUW;
		if (sptep_cmpxchg(slot, &spte, new))
			return true;
	}
	return false;
}

struct protect {
	int first_level;
	uint64_t n;
};

static bool protect_entry(void *ctx, const struct tdp_place *at)
{
	struct protect *p = ctx;

	p->n += protect_leaf(at->slot, at->spte);
	return at->level > p->first_level;
}

static void note_protected(struct mmu *m, uint64_t n) REQUIRES_SHARED(m->lock)
{
	if (n) {
		flush_owe_for_log(m);
		mmu_count_n(m, VM_STAT_mmu_write_protected, n);
	}
}

static void tdp_write_protect(struct mmu *m, gfn_t start, gfn_t end, int first_level)
{
	struct range r = range_make(start, end);

	while (range_more(&r)) {
		struct protect p = { .first_level = first_level };

		rwlock_rdlock(&m->lock);
		tdp_visit(m, &r, &(struct tdp_visitor){ .fn = protect_entry, .ctx = &p });
		/* YIELD_FLUSHES. */
		note_protected(m, p.n);
		rwlock_rdunlock(&m->lock);
	}
}

static uint64_t protect_mask(struct mmu *m, gfn_t first, uint64_t mask) REQUIRES_SHARED(m->lock)
{
	uint64_t n = 0;

	while (mask) {
		unsigned int bit = (unsigned int)__builtin_ctzll(mask);
		struct tdp_entry e = tdp_lookup(m, first + bit);

		/* One lookup serves all its neighbours in the same table. */
		do {
			n += protect_leaf(e.slot, e.spte);
			mask &= mask - 1;
			if (!mask || e.level != LEVEL_4K)
				break;
			unsigned int next = (unsigned int)__builtin_ctzll(mask);

			if (level_align(first + next, LEVEL_2M) !=
			    level_align(first + bit, LEVEL_2M))
				break;
			e.slot += next - bit;
			e.spte = sptep_read(e.slot);
			bit = next;
		} while (true);
	}
	return n;
}

static void tdp_write_protect_mask(struct mmu *m, gfn_t first, uint64_t mask)
{
	rwlock_rdlock(&m->lock);
	note_protected(m, protect_mask(m, first, mask));
	rwlock_rdunlock(&m->lock);
}

static bool table_is_valid(const struct table *t, gfn_t base)
{
	for (unsigned int i = 0; i < ENTRIES_PER_TABLE; i++) {
		spte_t spte = sptep_read(&t->spte[i]);
		const struct table *below;

		if (!spte_is_legal(spte))
			return false;
		if (spte_is_leaf(spte) &&
		    (spte_level(spte) != t->level ||
		     !IS_ALIGNED(spte_pfn(spte), level_pages(t->level))))
			return false;
		if (!spte_is_link(spte))
			continue;
		below = spte_link(spte);
		if (below->level != t->level - 1 ||
		    !table_is_valid(below, base + i * level_pages(t->level)))
			return false;
	}
	return true;
}

bool tdp_is_valid(const struct mmu *m)
{
	return table_is_valid(m->root, 0);
}

static bool clear_accessed(struct spte_slot *slot, spte_t spte)
{
	spte_t new;

	while (spte_is_leaf(spte) && (spte.raw & SPTE_A)) {
		new.raw = spte.raw & ~SPTE_A;
		if (sptep_cmpxchg(slot, &spte, new))
			return true;
	}
	return false;
}

struct ageing {
	bool clear, young;
};

static bool age_entry(void *ctx, const struct tdp_place *at)
{
	struct ageing *a = ctx;

	if (a->clear)
		a->young |= clear_accessed(at->slot, at->spte);
	else
		a->young |= spte_is_leaf(at->spte) && (at->spte.raw & SPTE_A);
	return true;
}

static bool tdp_age(struct mmu *m, struct range *r, bool clear)
{
	struct ageing a = { .clear = clear };

	tdp_visit(m, r, &(struct tdp_visitor){ .fn = age_entry, .ctx = &a });
	return a.young;
}

const struct mmu_ops tdp_ops = {
	.init = tdp_init,
	.destroy = tdp_destroy,
	.zap_leafs = tdp_zap_leafs,
	.zap_mmio = tdp_zap_mmio,
	.zap_slot = tdp_zap_slot,
	.write_protect = tdp_write_protect,
	.write_protect_mask = tdp_write_protect_mask,
	.age = tdp_age,
	.is_split = tdp_is_split,
	.collapse = tdp_collapse,
	.reap = tdp_reap,
};
