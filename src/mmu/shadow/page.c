/* SPDX-License-Identifier: MIT */
/* mmu/shadow/page.c - shadow pages: creating, linking, finding and zapping them. */
#include "base/bug.h"
#include "mmu/paging/leaf.h"
#include "mmu/shadow/internal.h"
#include "mmu/tlb/flush.h"

/* More unlinked pages than this are flushed for. */
#define MAX_DEAD 256u
/* This many are freed at once. */
#define MAX_REAPED (2 * MAX_DEAD)
/* At the limit this many are zapped at once, with one flush for all. */
#define RECYCLE_BATCH 16u

void shadow_changed(struct mmu *m, struct shadow_page *sp)
{
	struct atomic64 *seq = &m->shadow->gpt_seq;

	rwlock_assert_held_write(&m->lock);
	sp->changed = atomic64_load_relaxed(seq) + 1;
	atomic64_store_release(seq, sp->changed);
}

struct shadow_page *shadow_find(struct mmu *m, gfn_t gfn, union shadow_role role)
{
	struct shadow_page *sp = shadow_hash_first(&m->shadow->hash, gfn);
	uint64_t n = 0;

	rwlock_assert_held_write(&m->lock);
	/* ROLE_IS_PART_OF_KEY: all of it. */
	while (sp && (!gfn_eq(sp->gfn, gfn) || !shadow_has_role(sp, role))) {
		sp = sp->next;
		n++;
	}
	mmu_visited(m, n);
	return sp;
}

struct shadow_page *shadow_next_of(struct mmu *m, gfn_t gfn, struct shadow_page *after)
{
	struct shadow_page *sp = after ? after->next : shadow_hash_first(&m->shadow->hash, gfn);
	uint64_t n = 0;

	rwlock_assert_held_write(&m->lock);
	while (sp && (!gfn_eq(sp->gfn, gfn) || sp->role.direct)) {
		sp = sp->next;
		n++;
	}
	mmu_visited(m, n);
	return sp;
}

struct shadow_page *shadow_find_direct(struct mmu *m, gfn_t gfn, int level)
{
	struct shadow_page *sp = shadow_hash_first(&m->shadow->hash, gfn);
	uint64_t n = 0;

	rwlock_assert_held_write(&m->lock);
	while (sp && (!gfn_eq(sp->gfn, gfn) || !sp->role.direct || sp->table.level != level ||
		      sp->n_roots)) {
		sp = sp->next;
		n++;
	}
	mmu_visited(m, n);
	return sp;
}

bool shadow_frame_is_tracked(const struct mmu *m, gfn_t gfn)
{
	const struct frame *frame = frames_find(&m->shadow->frames, gfn, LEVEL_4K);

	rwlock_assert_held_write(&m->lock);
	return frame && frame->n_tables;
}

/* --- protection for tracking -------------------------------------------------- */

/*
 * NO_SPTE_IMPLIES_NO_TLB.  A writable entry that was dropped because of the guest's own change,
 * and left a debt, may still be in a TLB; the frame it mapped is no longer recorded.
 */
static bool may_be_writable_unmapped(const struct mmu *m)
{
	return rule(NO_SPTE_IMPLIES_NO_TLB) &&
	       atomic64_load_acquire(&m->paid) < m->shadow->write_debt;
}

void shadow_protect_frame(struct mmu *m, gfn_t gfn, enum flush_due *due)
{
	rwlock_assert_held_write(&m->lock);
	if (may_be_writable_unmapped(m))
		flush_raise(due, FLUSH_DUE_NOW);
	for (int level = LEVEL_4K; level <= LEVEL_1G; level++) {
		const struct frame *frame = frames_find(&m->shadow->frames, gfn, level);
		struct spte_cursor c;
		struct spte_ref ref;

		if (!frame)
			continue;
		mmu_visited(m, spte_list_length(&frame->rmap));
		spte_list_begin(&frame->rmap, &c);
		while (spte_list_next(&c, &ref)) {
			struct table_place at = shadow_place(ref, level_align(gfn, level));

			leaf_change(m, &at, SPTE_W | SPTE_MMUW, 0, due);
		}
	}
}

/* --- what is out of date ------------------------------------------------------ */

static void tell_parents(struct mmu *m, struct shadow_page *sp, bool unsync) REQUIRES(m->lock);

/* UNSYNC_CHILD_COUNTS: bit i is set exactly if link i leads to a page that is unsync, or has one
 * below it. */
static void set_link_unsync(struct mmu *m, struct shadow_page *sp, unsigned int i, bool unsync)
	REQUIRES(m->lock)
{
	uint64_t *word = &sp->unsync_links[i / 64], bit = 1ull << (i % 64);
	uint32_t n = atomic32_load_relaxed(&sp->unsync_children);

	if (!!(*word & bit) == unsync)
		return;
	*word ^= bit;
	atomic32_store_release(&sp->unsync_children, unsync ? n + 1 : n - 1);
	if (n == (unsync ? 0 : 1))
		tell_parents(m, sp, unsync);
}

static void tell_parents(struct mmu *m, struct shadow_page *sp, bool unsync)
{
	struct spte_cursor c;
	struct spte_ref ref;

	mmu_visited(m, spte_list_length(&sp->parents));
	spte_list_begin(&sp->parents, &c);
	while (spte_list_next(&c, &ref))
		set_link_unsync(m, ref.sp, ref.i, unsync);
}

unsigned int shadow_links_above(struct mmu *m, const struct shadow_page *sp, unsigned int n)
{
	struct spte_cursor c;
	struct spte_ref ref;

	rwlock_assert_held_write(&m->lock);
	spte_list_begin(&sp->parents, &c);
	while (n < SHADOW_MAX_LINKS_MARKED && spte_list_next(&c, &ref)) {
		mmu_visited(m, 1);
		n = shadow_links_above(m, ref.sp, n + 1);
	}
	return n;
}

static void set_unsync(struct mmu *m, struct shadow_page *sp, bool unsync) REQUIRES(m->lock)
{
	if (atomic32_load_relaxed(&sp->unsync) == unsync)
		return;
	atomic32_store_release(&sp->unsync, unsync);
	if (rule(UNSYNC_CHILD_COUNTS))
		tell_parents(m, sp, unsync);
	mmu_count_n(m, VM_STAT_mmu_unsync, unsync ? 1 : (uint64_t)-1);
}

void shadow_mark_unsync(struct mmu *m, struct shadow_page *sp)
{
	rwlock_assert_held_write(&m->lock);
	/* The pages below a higher-level page could not be marked. */
	bug_on(rule(UNSYNC_ONLY_LEAF) && sp->role.level != LEVEL_4K);
	set_unsync(m, sp, true);
}

void shadow_mark_synced(struct mmu *m, struct shadow_page *sp)
{
	rwlock_assert_held_write(&m->lock);
	set_unsync(m, sp, false);
}

/* --- entries ------------------------------------------------------------------ */

bool shadow_link(struct mmu *m, struct shadow_page *parent, unsigned int i,
		 struct shadow_page *child)
{
	spte_t link = spte_make_link(&child->table);
	struct spte_ref ref = { parent, i };

	rwlock_assert_held_write(&m->lock);
	if (!spte_list_add(&m->shadow->frames.nodes, &child->parents, ref))
		return false;
	sptep_set(&parent->table.spte[i], link);
	table_entry_changed(m, child->gfn, parent->table.level, NO_SPTE, link);
	if (shadow_has_unsync(child))
		set_link_unsync(m, parent, i, true);
	return true;
}

static void forget_leaf(struct mmu *m, struct spte_ref ref, spte_t old, gfn_t gfn)
	REQUIRES(m->lock)
{
	struct shadow *s = m->shadow;
	struct frame *frame = frames_find(&s->frames, gfn, ref.sp->table.level);

	bug_on(!frame);
	/* The caller is about to record it. */
	if (old.raw & SPTE_MMUW)
		s->write_debt = atomic64_load_relaxed(&m->owed) + 1;
	if (rule(RMAP_BIJECTION))
		spte_list_remove(&s->frames.nodes, &frame->rmap, ref);
}

static void forget_link(struct mmu *m, struct spte_ref ref, struct shadow_page *child)
	REQUIRES(m->lock)
{
	spte_list_remove(&m->shadow->frames.nodes, &child->parents, ref);
	set_link_unsync(m, ref.sp, ref.i, false);
}

/* What an entry maps, or remembers as no memory; of a link, the frame of the guest's table. */
static gfn_t gfn_of_entry(struct spte_ref ref, spte_t spte)
{
	if (spte_is_link(spte))
		return shadow_page_of(spte_link(spte))->gfn;
	return spte_kind(spte) == SPTE_MMIO ? spte_mmio_gfn(spte) : shadow_gfn(ref.sp, ref.i);
}

enum flush_due shadow_drop(struct mmu *m, struct shadow_page *sp, unsigned int i)
{
	struct spte_ref ref = { sp, i };
	/* VOLATILE_RMW: a vCPU may be setting A and D meanwhile. */
	spte_t old = sptep_xchg(&sp->table.spte[i], NO_SPTE);
	gfn_t gfn = gfn_of_entry(ref, old);

	rwlock_assert_held_write(&m->lock);
	mmu_visited(m, 1);
	if (spte_is_leaf(old))
		forget_leaf(m, ref, old, gfn);
	else if (spte_is_link(old))
		forget_link(m, ref, shadow_page_of(spte_link(old)));
	return table_entry_changed(m, gfn, sp->table.level, old, NO_SPTE);
}

unsigned int shadow_drop_all(struct mmu *m, const struct spte_list *l)
{
	unsigned int n = spte_list_length(l);

	rwlock_assert_held_write(&m->lock);
	while (!spte_list_is_empty(l)) {
		struct spte_ref ref = spte_list_first(l);

		shadow_drop(m, ref.sp, ref.i);
	}
	return n;
}

bool shadow_change_leaf(struct mmu *m, struct spte_ref ref, uint64_t bits, enum flush_due *due)
{
	struct table_place at = shadow_place(ref, shadow_gfn(ref.sp, ref.i));

	rwlock_assert_held_write(&m->lock);
	/*
	 * MMU-writable stays: it bounds what a TLB may hold, and the guest has not yet requested
	 * a flush (FLUSH_IFF_MMUW_CLEARED).
	 */
	return leaf_change(m, &at, SPTE_GUEST_MASK | (bits & SPTE_GD ? 0 : SPTE_W), bits, due);
}

bool shadow_next_frame(struct mmu *m, struct frame_iter *it)
{
	uint64_t left = it->i.range->left;
	bool found;

	rwlock_assert_held_write(&m->lock);
	found = frame_iter_next(it);
	mmu_visited(m, left - it->i.range->left);
	return found;
}

/* --- pages -------------------------------------------------------------------- */

static void count_tables_in(struct mmu *m, gfn_t gfn, int64_t n)
{
	for (int level = LEVEL_4K; level <= LEVEL_1G; level++)
		frames_find(&m->shadow->frames, gfn, level)->n_tables += (uint64_t)n;
}

static void free_page(struct mmu *m, struct shadow_page *sp)
{
	if (sp->gfns)
		pool_put(&m->shadow->gfns, sp->gfns);
	pool_put(&m->shadow->pages, sp);
	table_count(m, -1);
}

/* With all the memory that it needs, not linked yet. */
static struct shadow_page *alloc_page(struct mmu *m, gfn_t gfn, union shadow_role role)
{
	struct shadow *s = m->shadow;
	struct shadow_page *sp = pool_get(&s->pages);

	if (!sp)
		return NULL;
	table_count(m, 1);
	if (!role.direct) {
		sp->gfns = pool_get(&s->gfns);
		if (!sp->gfns || !frames_make(&s->frames, gfn, LEVEL_4K)) {
			free_page(m, sp);
			return NULL;
		}
	}
	sp->gfn = gfn;
	sp->role = role;
	sp->table.level = (int)role.level;
	return sp;
}

struct shadow_page *shadow_make(struct mmu *m, gfn_t gfn, union shadow_role role,
				enum flush_due *due)
{
	struct shadow *s = m->shadow;
	struct shadow_page *sp = alloc_page(m, gfn, role);

	rwlock_assert_held_write(&m->lock);
	if (!sp)
		return NULL;
	shadow_hash_add(&s->hash, sp);
	cds_list_add_tail(&sp->node, &s->active);
	s->n_used++;
	mmu_count(m, mmu_cache_miss);
	if (!role.direct) {
		count_tables_in(m, gfn, 1);
		shadow_changed(m, sp);
		/* SYNCED_IMPLIES_WPROT: after the flush, every write to the table is
		 * intercepted. */
		if (rule(SYNCED_IMPLIES_WPROT))
			shadow_protect_frame(m, gfn, due);
	}
	return sp;
}

static void bury_page(struct shadow *s, struct shadow_page *sp)
{
	sp->next = NULL;
	*s->dead_last = sp;
	s->dead_last = &sp->next;
	s->n_dead++;
}

void shadow_zap(struct mmu *m, struct shadow_page *sp)
{
	struct shadow *s = m->shadow;

	rwlock_assert_held_write(&m->lock);
	if (atomic32_load_relaxed(&sp->zapped))
		return;
	mmu_visited(m, ENTRIES_PER_TABLE);
	for (unsigned int i = 0; i < ENTRIES_PER_TABLE; i++)
		if (spte_kind(sptep_read(&sp->table.spte[i])) != SPTE_NONE)
			shadow_drop(m, sp, i);
	shadow_drop_all(m, &sp->parents);
	if (!sp->role.direct) {
		if (atomic32_load_relaxed(&sp->unsync))
			shadow_mark_synced(m, sp);
		count_tables_in(m, sp->gfn, -1);
		/* The guest may use any frame as a table, even outside all slots. */
		frames_prune(&s->frames, sp->gfn, gfn_add(sp->gfn, 1));
	}
	shadow_hash_remove(&s->hash, sp);
	cds_list_del(&sp->node);
	s->n_used--;
	atomic32_store_release(&sp->zapped, true);
	mmu_count(m, mmu_shadow_zapped);
	/* UNLINK_FLUSH_FREE: a vCPU may be walking through it. */
	flush_owe(m);
	sp->debt = atomic64_load_relaxed(&m->owed);
	if (sp->n_roots)
		s->n_pinned--;
	else
		bury_page(s, sp);
}

static bool may_be_freed(const struct mmu *m, const struct shadow_page *sp)
{
	return sp && atomic64_load_acquire(&m->paid) >= sp->debt;
}

bool shadow_reap(struct mmu *m, enum reap which)
{
	struct shadow *s = m->shadow;

	rwlock_assert_held_write(&m->lock);
	if ((which == REAP_ALL || s->n_dead > MAX_DEAD) && rule(UNLINK_FLUSH_FREE))
		flush_settle(m);
	for (unsigned int n = 0; n < MAX_REAPED && may_be_freed(m, s->dead_first); n++) {
		struct shadow_page *sp = s->dead_first;

		s->dead_first = sp->next;
		if (!s->dead_first)
			s->dead_last = &s->dead_first;
		s->n_dead--;
		free_page(m, sp);
	}
	return may_be_freed(m, s->dead_first);
}

void shadow_pin(struct mmu *m, struct shadow_page *sp)
{
	rwlock_assert_held_write(&m->lock);
	m->shadow->n_pinned += !sp->n_roots++;
}

void shadow_unpin(struct mmu *m, struct shadow_page *sp)
{
	rwlock_assert_held_write(&m->lock);
	if (--sp->n_roots)
		return;
	if (atomic32_load_relaxed(&sp->zapped))
		bury_page(m->shadow, sp);
	else
		m->shadow->n_pinned--;
}

/* The @n oldest that are not roots. */
static void recycle_oldest(struct mmu *m, uint64_t n) REQUIRES(m->lock)
{
	struct shadow_page *sp, *next;

	cds_list_for_each_entry_safe(sp, next, &m->shadow->active, node) {
		if (!n)
			return;
		mmu_visited(m, 1);
		if (sp->n_roots)
			continue;
		shadow_zap(m, sp);
		mmu_count(m, mmu_recycled);
		n--;
	}
}

/*
 * Roots are not counted against the limit: there can be more roots than it allows, and a page
 * created for one step of a fault must survive until the next.
 *
 * Zapped pages are freed after a flush.  To avoid a flush for every page at the limit, a few more
 * are zapped than necessary.  And one fault does not enforce a much lower limit alone.
 */
bool shadow_make_room(struct mmu *m, unsigned int n)
{
	struct shadow *s = m->shadow;
	uint64_t limit = mmu_page_limit(m) + s->n_pinned;
	uint64_t batch = MAX(MIN(limit / 8, RECYCLE_BATCH), 1);

	rwlock_assert_held_write(&m->lock);
	if (s->n_used + s->n_dead + n <= limit) {
		shadow_reap(m, REAP_IF_MANY);
		return false;
	}
	if (s->n_used + n + batch > limit)
		recycle_oldest(m, MIN(s->n_used + n + batch - limit, RECYCLE_BATCH + n));
	shadow_reap(m, REAP_ALL);
	return s->n_used + n > mmu_page_limit(m) + s->n_pinned;
}
