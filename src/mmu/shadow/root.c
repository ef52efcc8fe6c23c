/* SPDX-License-Identifier: MIT */
/*
 * mmu/shadow/root.c - the start of a vCPU's walk of the shadow tables.
 *
 * A vCPU keeps the roots of the last few settings of its paging registers pinned.  Returning to
 * one of them needs no lock, unless something below it is out of date or the roots themselves are
 * gone.
 */
#include "mmu/shadow/internal.h"
#include "mmu/tlb/flush.h"

#define NO_TABLE gpa_of(~0ull)

struct wanted {
	union shadow_role role;		/* of the first */
	gpa_t key[4];
	unsigned int n;			/* pages */
};

static struct wanted wanted_without_paging(void)
{
	/* Four times 1 GiB: the whole address space. */
	return (struct wanted){
		.role = { .level = LEVEL_2M, .format = GPT_LONG, .direct = 1,
			  .access = SHADOW_ALL, .dirty = 1 },
		.key = { { 0 }, { 1ull << 30 }, { 2ull << 30 }, { 3ull << 30 } },
		.n = 4,
	};
}

static struct wanted wanted_roots(const struct paging *p)
{
	struct gpt_kind kind = gpt_kind_of(p);
	struct wanted w = { .role = shadow_role_of_kind(kind), .n = 4 };

	if (!(p->cr0 & X86_CR0_PG))
		return wanted_without_paging();
	w.role.access = SHADOW_ALL;
	w.role.level = kind.format == GPT_LONG ? kind.levels : LEVEL_2M;
	if (kind.format == GPT_LONG)
		w.n = 1;
	for (unsigned int i = 0; i < w.n; i++) {
		w.key[i] = gpte_table(kind, p->cr3);
		if (kind.format == GPT_PAE)
			w.key[i] = p->pdptr[i] & GPTE_P ? gpte_table(kind, p->pdptr[i]) : NO_TABLE;
	}
	return w;
}

/*
 * CR3 may point anywhere.  A root outside all slots gets no shadow page; the walk reports it.
 */
static void drop_invisible(const struct mmu *m, struct wanted *w)
{
	const struct slot_set *set;

	if (w->role.direct)
		return;
	rcu_read_begin();
	set = slots_current(m->slots);
	for (unsigned int i = 0; i < w->n; i++)
		if (!slot_set_find(set, gfn_of_gpa(w->key[i])))
			w->key[i] = NO_TABLE;
	rcu_read_end();
}

static bool is_usable(const struct shadow_roots *r)
{
	for (unsigned int i = 0; i < 4; i++)
		if (r->page[i] && shadow_is_obsolete(r->page[i]))
			return false;
	return r->role;
}

static bool is_wanted(const struct shadow_roots *r, const struct wanted *w)
{
	if (r->role != w->role.word)
		return false;
	for (unsigned int i = 0; i < w->n; i++)
		if (!gpa_eq(r->key[i], w->key[i]))
			return false;
	return true;
}

static bool is_up_to_date(const struct shadow_roots *r)
{
	for (unsigned int i = 0; i < 4; i++)
		if (r->page[i] && shadow_has_unsync(r->page[i]))
			return false;
	return true;
}

static void release_roots(struct mmu *m, struct shadow_roots *r) REQUIRES(m->lock)
{
	for (unsigned int i = 0; i < 4; i++)
		if (r->page[i])
			shadow_unpin(m, r->page[i]);
	*r = (struct shadow_roots){ 0 };
}

/* Those that are obsolete, or all. */
enum drop { DROP_OBSOLETE, DROP_ALL };

static void drop_roots(struct mmu_vcpu *v, enum drop which)
{
	struct mmu *m = v->mmu;

	rwlock_wrlock(&m->lock);
	for (unsigned int i = 0; i < SHADOW_CACHED_ROOTS; i++) {
		if (!v->shadow.roots[i].role ||
		    (which == DROP_OBSOLETE && is_usable(&v->shadow.roots[i])))
			continue;
		release_roots(m, &v->shadow.roots[i]);
		if (i == v->shadow.root)
			v->roots_loaded = false;
	}
	shadow_reap(m, REAP_IF_MANY);
	rwlock_wrunlock(&m->lock);
}

void shadow_drop_obsolete_roots(struct mmu_vcpu *v)
{
	drop_roots(v, DROP_OBSOLETE);
}

void shadow_drop_all_roots(struct mmu_vcpu *v)
{
	drop_roots(v, DROP_ALL);
}

/* Returns the index of these roots in the cache, or SHADOW_CACHED_ROOTS. */
static unsigned int find_cached(const struct mmu_vcpu *v, const struct wanted *w)
{
	unsigned int i = 0;

	while (i < SHADOW_CACHED_ROOTS &&
	       !(is_wanted(&v->shadow.roots[i], w) && is_usable(&v->shadow.roots[i])))
		i++;
	return i;
}

static bool fill_roots(struct mmu *m, struct shadow_roots *r, const struct wanted *w)
	REQUIRES(m->lock)
{
	enum flush_due due = FLUSH_NOT_DUE;
	bool ok = true;

	r->role = w->role.word;
	for (unsigned int i = 0; i < w->n && ok; i++) {
		union shadow_role role = w->role;
		struct shadow_page *sp;

		r->key[i] = w->key[i];
		if (gpa_eq(w->key[i], NO_TABLE))
			continue;
		if (role.format == GPT_32BIT)
			role.quadrant = i & 3;
		sp = shadow_find(m, gfn_of_gpa(w->key[i]), role);
		if (!sp)
			sp = shadow_make(m, gfn_of_gpa(w->key[i]), role, &due);
		ok = sp;
		if (ok) {
			shadow_pin(m, sp);
			r->page[i] = sp;
		}
	}
	flush_record(m, &due);
	if (!ok)
		release_roots(m, r);
	return ok;
}

/* Replaces the least recently used one, or nearly. */
static bool load_new(struct mmu_vcpu *v, struct wanted *w)
{
	struct mmu *m = v->mmu;
	unsigned int victim = (v->shadow.root + 1) % SHADOW_CACHED_ROOTS;
	bool ok;

	drop_invisible(m, w);
	rwlock_wrlock(&m->lock);
	release_roots(m, &v->shadow.roots[victim]);
	shadow_make_room(m, w->n);
	ok = fill_roots(m, &v->shadow.roots[victim], w);
	rwlock_wrunlock(&m->lock);
	v->shadow.root = victim;
	vcpu_count(v, root_loads);
	return ok;
}

static void sync_roots(struct mmu_vcpu *v)
{
	const struct shadow_roots *r = &v->shadow.roots[v->shadow.root];
	struct shadow_batch batch;
	struct mmu *m = v->mmu;

	do {
		batch.n = 0;
		rwlock_wrlock(&m->lock);
		for (unsigned int i = 0; i < 4; i++)
			if (r->page[i])
				shadow_collect_unsync(m, r->page[i], &batch);
		rwlock_wrunlock(&m->lock);
		shadow_sync(v, &batch);
	} while (batch.n == SHADOW_SYNC_BATCH);
}

enum mmu_verdict shadow_load_roots(struct mmu_vcpu *v)
{
	struct wanted w = wanted_roots(&v->paging);
	unsigned int found = find_cached(v, &w);

	if (found < SHADOW_CACHED_ROOTS) {
		v->shadow.root = found;
		vcpu_count(v, root_reloads);
	} else if (!load_new(v, &w)) {
		return MMU_NO_MEMORY;
	}
	/*
	 * From here on the roots reflect what the guest wrote into its tables before this load.
	 * Later writes may be missed until the next.
	 */
	if (!is_up_to_date(&v->shadow.roots[v->shadow.root]))
		sync_roots(v);
	v->roots_loaded = true;
	return MMU_OK;
}
