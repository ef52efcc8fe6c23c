/* SPDX-License-Identifier: MIT */
/*
 * mmu/shadow/check.c - invariants of the shadow tables whenever the MMU lock is not held for
 * write.  For tests: it checks everything, and is slow.
 *
 * Each check returns the sentence that does not hold, or NULL. They go from the outside in, so
 * that a page is not followed before it is known to be one.
 */
#include "base/bug.h"
#include "mmu/shadow/internal.h"

static unsigned int count_in_list(const struct spte_list *l, struct spte_ref wanted)
{
	struct spte_cursor c;
	struct spte_ref ref;
	unsigned int n = 0;

	spte_list_begin(l, &c);
	while (spte_list_next(&c, &ref))
		n += ref.sp == wanted.sp && ref.i == wanted.i;
	return n;
}

static bool is_active(const struct shadow *s, const struct shadow_page *wanted)
{
	struct shadow_page *sp;

	cds_list_for_each_entry(sp, &s->active, node)
		if (sp == wanted)
			return true;
	return false;
}

/* --- the lists --------------------------------------------------------------- */

struct hash_count {
	const struct shadow_page *wanted;
	uint64_t n;
};

static void count_page(void *ctx, const struct shadow_page *sp)
{
	struct hash_count *count = ctx;

	count->n += !count->wanted || sp == count->wanted;
}

static uint64_t count_hashed(const struct shadow *s, const struct shadow_page *wanted)
{
	struct hash_count count = { .wanted = wanted };

	if (wanted)
		for (const struct shadow_page *sp = shadow_hash_first(&s->hash, wanted->gfn); sp;
		     sp = sp->next)
			count_page(&count, sp);
	else
		shadow_hash_visit(&s->hash, count_page, &count);
	return count.n;
}

static const char *check_lists(const struct mmu *m)
{
	const struct shadow *s = m->shadow;
	uint64_t n = 0, n_dead = 0, n_unsync = 0, n_pinned = 0;
	struct shadow_page *sp;

	cds_list_for_each_entry(sp, &s->active, node) {
		n++;
		n_unsync += atomic32_load_relaxed(&sp->unsync);
		n_pinned += sp->n_roots != 0;
		if (count_hashed(s, sp) != 1)
			return "an active page is in the hash once";
		if (atomic32_load_relaxed(&sp->zapped))
			return "an active page is not zapped";
	}
	for (sp = s->dead_first; sp; sp = sp->next) {
		n_dead++;
		if (!atomic32_load_relaxed(&sp->zapped) || sp->n_roots)
			return "a buried page is zapped, and nobody's root";
	}
	if (n != s->n_used || count_hashed(s, NULL) != n || n_dead != s->n_dead)
		return "the lists are as long as they are said to be";
	if (n_pinned != s->n_pinned)
		return "the roots are counted";
	if (n_unsync != atomic64_load_relaxed(&m->stats[VM_STAT_mmu_unsync]))
		return "the unsync pages are counted";
	return NULL;
}

/* --- roots ------------------------------------------------------------------- */

static uint32_t count_pins(const struct mmu *m, const struct shadow_page *sp)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < atomic32_load_relaxed(&m->n_vcpus); i++) {
		const struct mmu_vcpu *v = atomic_ptr_load_relaxed(&m->vcpus[i]);

		for (unsigned int r = 0; v && r < SHADOW_CACHED_ROOTS; r++)
			for (unsigned int p = 0; p < ARRAY_SIZE(v->shadow.roots[r].page); p++)
				n += v->shadow.roots[r].page[p] == sp;
	}
	return n;
}

/* --- entries ----------------------------------------------------------------- */

static const char *check_leaf(const struct mmu *m, const struct shadow_page *sp, unsigned int i,
			      spte_t spte)
{
	struct spte_ref ref = { (struct shadow_page *)sp, i };
	gfn_t gfn = shadow_gfn(sp, i);
	const struct frame *frame = frames_find(&m->shadow->frames, gfn, sp->table.level);

	if (!frame || count_in_list(&frame->rmap, ref) != 1)
		return "RMAP_BIJECTION: a leaf is once in the rmap of its frame";
	if (!spte_list_is_valid(&frame->rmap) ||
	    spte_list_length(&frame->rmap) > SHADOW_LIST_MAX)
		return "an rmap is not too long, and its entries are where they say";
	if (spte_level(spte) != sp->table.level ||
	    !IS_ALIGNED(spte_pfn(spte) | gfn.raw, level_pages(sp->table.level)))
		return "a leaf has the level and the alignment of its table";
	if (!spte_is_legal(spte) || (spte_is_writable(spte) && !(spte.raw & SPTE_GD)))
		return "FOUR_STATES, and W implies GD";
	if (((spte.raw & SPTE_U) && !(sp->role.access & SHADOW_USER)) ||
	    ((spte.raw & SPTE_GW) && !(sp->role.access & SHADOW_WRITE)) ||
	    (!(spte.raw & SPTE_NX) && !(sp->role.access & SHADOW_EXEC)))
		return "no entry allows more than its page's role";
	if (sp->role.direct && (!!(spte.raw & SPTE_GD) != sp->role.dirty ||
				((spte.raw >> SPTE_KEY_SHIFT) & 15) != sp->role.key))
		return "DIRECT_ACCESS_MATCH";
	return NULL;
}

static const char *check_link(const struct mmu *m, const struct shadow_page *sp, unsigned int i,
			      spte_t spte)
{
	struct spte_ref ref = { (struct shadow_page *)sp, i };
	const struct shadow_page *child = shadow_page_of(spte_link(spte));

	if (!is_active(m->shadow, child))
		return "a link leads to an active page";
	if (child->table.level != sp->table.level - 1)
		return "a link leads one level down";
	if (count_in_list(&child->parents, ref) != 1)
		return "a page knows each of its parents once";
	if (child->role.access & ~sp->role.access)
		return "rights only become fewer";
	return NULL;
}

static const char *check_unsync(const struct shadow_page *sp)
{
	uint32_t n = 0;

	for (unsigned int i = 0; i < ENTRIES_PER_TABLE; i++) {
		bool bit = sp->unsync_links[i / 64] >> (i % 64) & 1;
		spte_t spte = sptep_read(&sp->table.spte[i]);
		bool below = spte_is_link(spte) &&
			     shadow_has_unsync(shadow_page_of(spte_link(spte)));

		n += bit;
		if (bit != below)
			return "UNSYNC_CHILD_COUNTS: a bit for each link to what is unsync";
	}
	if (n != atomic32_load_relaxed(&sp->unsync_children))
		return "UNSYNC_CHILD_COUNTS: as many as there are bits";
	if (atomic32_load_relaxed(&sp->unsync) && (sp->role.level != LEVEL_4K || sp->role.direct))
		return "UNSYNC_ONLY_LEAF";
	return NULL;
}

static const char *check_parents(const struct mmu *m, const struct shadow_page *sp)
{
	struct spte_cursor c;
	struct spte_ref ref;

	if (!spte_list_is_valid(&sp->parents) || spte_list_length(&sp->parents) > SHADOW_LIST_MAX)
		return "a page has not too many parents, and they are where they say";
	spte_list_begin(&sp->parents, &c);
	while (spte_list_next(&c, &ref)) {
		spte_t spte;

		if (!is_active(m->shadow, ref.sp))
			return "a parent is an active page";
		spte = sptep_read(&ref.sp->table.spte[ref.i]);
		if (!spte_is_link(spte) || spte_link(spte) != &sp->table)
			return "a parent links to its child";
	}
	return NULL;
}

/* The kinds of entries, counted on the way. */
struct census {
	uint64_t n_leafs[LEVEL_1G + 1];
	uint64_t n_rmaps[LEVEL_1G + 1];
};

static const char *check_entries(const struct mmu *m, const struct shadow_page *sp,
				 struct census *census)
{
	const char *wrong = NULL;

	for (unsigned int i = 0; i < ENTRIES_PER_TABLE && !wrong; i++) {
		spte_t spte = sptep_read(&sp->table.spte[i]);

		if (spte_is_leaf(spte)) {
			if (sp->table.level > LEVEL_1G)
				return "no leaf is above 1 GiB";
			census->n_leafs[sp->table.level]++;
			wrong = check_leaf(m, sp, i, spte);
		} else if (spte_is_link(spte)) {
			wrong = check_link(m, sp, i, spte);
		} else if (spte_kind(spte) == SPTE_FROZEN) {
			wrong = "nothing is frozen";
		} else if (spte_kind(spte) == SPTE_MMIO && sp->table.level != LEVEL_4K) {
			wrong = "MMIO entries are of 4 KiB";
		}
	}
	return wrong;
}

static const char *check_page(const struct mmu *m, const struct shadow_page *sp,
			      struct census *census)
{
	const char *wrong = check_entries(m, sp, census);

	if (!wrong)
		wrong = check_parents(m, sp);
	if (!wrong)
		wrong = check_unsync(sp);
	if (!wrong && sp->n_roots != count_pins(m, sp))
		wrong = "a root is pinned by those who have it";
	if (!wrong && (sp->table.level != (int)sp->role.level ||
		       (sp->gfns == NULL) != sp->role.direct))
		wrong = "a page is what its role says";
	return wrong;
}

/* --- frames ------------------------------------------------------------------ */

static void count_rmaps(struct shadow *s, struct census *census)
{
	struct range all = range_whole(gfn_of(0), gfn_of(1ull << 45));
	struct frame_iter it = frame_iter_begin(&s->frames, &all);

	while (frame_iter_next(&it)) {
		struct spte_cursor c;
		struct spte_ref ref;

		spte_list_begin(&it.frame->rmap, &c);
		while (spte_list_next(&c, &ref))
			census->n_rmaps[MIN(it.i.level, (int)LEVEL_1G)]++;
	}
}

static uint64_t count_tables(const struct shadow *s, gfn_t gfn, int level)
{
	const struct shadow_page *sp;
	uint64_t n = 0;

	cds_list_for_each_entry(sp, &s->active, node)
		n += !sp->role.direct &&
		     gfn_eq(level_align(sp->gfn, level), level_align(gfn, level));
	return n;
}

static bool maps_for_writing(const struct frame *frame)
{
	struct spte_cursor c;
	struct spte_ref ref;

	spte_list_begin(&frame->rmap, &c);
	while (spte_list_next(&c, &ref))
		if (sptep_read(&ref.sp->table.spte[ref.i]).raw & SPTE_MMUW)
			return true;
	return false;
}

static const char *check_table_frame(const struct shadow *s, const struct shadow_page *sp)
{
	for (int level = LEVEL_4K; level <= LEVEL_1G; level++) {
		const struct frame *frame = frames_find(&s->frames, sp->gfn, level);

		if (!frame || frame->n_tables != count_tables(s, sp->gfn, level))
			return "the tables in a frame are counted";
		if (!atomic32_load_relaxed(&sp->unsync) && maps_for_writing(frame))
			return "SYNCED_IMPLIES_WPROT";
	}
	return NULL;
}

static const char *check_frames(const struct mmu *m, struct census *census)
{
	struct shadow *s = m->shadow;
	const struct shadow_page *sp;
	uint64_t n_indirect = 0;
	const char *wrong = NULL;

	cds_list_for_each_entry(sp, &s->active, node) {
		if (sp->role.direct)
			continue;
		n_indirect++;
		wrong = check_table_frame(s, sp);
		if (wrong)
			return wrong;
	}
	count_rmaps(s, census);
	for (int level = LEVEL_4K; level <= LEVEL_1G; level++) {
		if (frames_count_tables(&s->frames, level) != n_indirect)
			return "no frame counts tables that are not there";
		if (census->n_rmaps[level] != census->n_leafs[level])
			return "RMAP_BIJECTION: an rmap has nothing but leafs";
	}
	return NULL;
}

static const char *check_gauges(const struct mmu *m, const struct census *census)
{
	static const enum vm_stat gauge[] = { 0, VM_STAT_pages_4k, VM_STAT_pages_2m,
					      VM_STAT_pages_1g };

	for (int level = LEVEL_4K; level <= LEVEL_1G; level++)
		if (atomic64_load_relaxed(&m->stats[gauge[level]]) != census->n_leafs[level])
			return "the translations are counted";
	if (atomic64_load_relaxed(&m->stats[VM_STAT_mmu_tables]) !=
	    atomic64_load_relaxed(&m->shadow->pages.in_use))
		return "the pages are counted";
	return NULL;
}

const char *shadow_find_fault(const struct mmu *m)
{
	struct census census = { 0 };
	const struct shadow_page *sp;
	const char *wrong = check_lists(m);

	if (wrong)
		return wrong;
	cds_list_for_each_entry(sp, &m->shadow->active, node) {
		wrong = check_page(m, sp, &census);
		if (wrong)
			return wrong;
	}
	wrong = check_frames(m, &census);
	return wrong ? wrong : check_gauges(m, &census);
}
