/* SPDX-License-Identifier: MIT */
/*
 * mmu/shadow/sync.c - shadow pages that are out of date (unsync).
 *
 * A page is synced in three steps: its guest table is write-protected, read, and compared with
 * the page (SYNC_FIRST_CLEAR_THEN_READ).  It is read without the lock, as that can block; until
 * the end the page stays marked as unsync, so that any other thread that needs it syncs it too.
 * If it has changed in between (shadow_page.changed), what was read is stale, and the page is
 * simply emptied.
 */
#include "mmu/guest/guest_memory.h"
#include "mmu/shadow/internal.h"
#include "mmu/tlb/flush.h"
#include "mmu/tlb/request.h"

#define ENTRIES ENTRIES_PER_TABLE

static void add_to_batch(struct shadow_page *sp, struct shadow_batch *batch)
{
	if (batch->n < SHADOW_SYNC_BATCH)
		batch->id[batch->n++] = (struct shadow_id){ sp->gfn, sp->role };
}

void shadow_collect_unsync(struct mmu *m, struct shadow_page *sp, struct shadow_batch *batch)
{
	rwlock_assert_held_write(&m->lock);
	if (atomic32_load_relaxed(&sp->unsync))
		add_to_batch(sp, batch);
	for (unsigned int w = 0; w < ENTRIES / 64; w++) {
		for (uint64_t bits = sp->unsync_links[w]; bits; bits &= bits - 1) {
			unsigned int i = w * 64 + (unsigned int)__builtin_ctzll(bits);

			if (batch->n == SHADOW_SYNC_BATCH)
				return;
			shadow_collect_unsync(m, shadow_page_of(spte_link(sptep_read(
							 &sp->table.spte[i]))), batch);
		}
	}
}

/* The part of a guest table that a lowest-level shadow page is derived from. */
static enum mmu_verdict read_table(struct mmu_vcpu *v, const struct shadow_id *id,
				     uint64_t entry[ENTRIES])
{
	gpa_t gpa = gpa_of_gfn(id->gfn);
	uint32_t narrow[ENTRIES];
	enum mmu_verdict verdict;

	if (id->role.format != GPT_32BIT)
		return guest_read(v, gpa, entry, ENTRIES * 8);
	gpa = gpa_add(gpa, id->role.quadrant * sizeof(narrow));
	verdict = guest_read(v, gpa, narrow, sizeof(narrow));
	for (unsigned int i = 0; verdict == MMU_OK && i < ENTRIES; i++)
		entry[i] = narrow[i];
	return verdict;
}

/* The bits of a leaf that follow from the guest's entry. */
static uint64_t guest_bits(union shadow_role role, uint64_t entry)
{
	struct rights r = shadow_rights(role.access, (entry >> GPTE_PKEY_SHIFT) & 15);

	rights_narrow(&r, shadow_kind_of_role(role), entry);
	return shadow_guest_bits(&r, entry & GPTE_D);
}

static bool maps_as_before(const struct shadow_page *sp, unsigned int i, uint64_t entry)
{
	struct gpt_kind kind = shadow_kind_of_role(sp->role);

	return (entry & GPTE_P) && (entry & GPTE_A) &&
	       !(entry & gpte_reserved_bits(kind, 1, entry)) &&
	       gfn_eq(gfn_of_gpa(gpte_table(kind, entry)), shadow_gfn(sp, i));
}

/* Drops what does not follow from @entry, the guest's table; all of it if that is NULL. */
static void drop_outdated(struct mmu *m, struct shadow_page *sp, const uint64_t *entry,
		    enum flush_due *due) REQUIRES(m->lock)
{
	for (unsigned int i = 0; i < ENTRIES; i++) {
		spte_t spte = sptep_read(&sp->table.spte[i]);

		if (spte_kind(spte) == SPTE_NONE)
			continue;
		if (spte_is_leaf(spte) && entry && maps_as_before(sp, i, entry[i]))
			shadow_change_leaf(m, (struct spte_ref){ sp, i },
					   guest_bits(sp->role, entry[i]), due);
		else
			flush_raise(due, shadow_drop(m, sp, i));
	}
}

static struct shadow_page *find_unsync(struct mmu *m, const struct shadow_id *id)
	REQUIRES(m->lock)
{
	struct shadow_page *sp = shadow_find(m, id->gfn, id->role);

	return sp && atomic32_load_relaxed(&sp->unsync) ? sp : NULL;
}

/* The first step, for all of them and with one flush. */
static void protect_tables(struct mmu *m, const struct shadow_batch *batch, uint64_t *changed)
{
	enum flush_due due = FLUSH_NOT_DUE;
	uint64_t seq;

	rwlock_wrlock(&m->lock);
	seq = atomic64_load_relaxed(&m->shadow->gpt_seq);
	for (unsigned int i = 0; i < batch->n; i++) {
		struct shadow_page *sp = find_unsync(m, &batch->id[i]);

		changed[i] = 0;
		/* A page reached by several paths is listed several times; sync it once. */
		if (!sp || sp->changed > seq)
			continue;
		shadow_changed(m, sp);
		changed[i] = sp->changed;
		if (rule(SYNC_FIRST_CLEAR_THEN_READ))
			shadow_protect_frame(m, sp->gfn, &due);
	}
	flush_record(m, &due);
	rwlock_wrunlock(&m->lock);
}

static void renew_page(struct mmu *m, const struct shadow_id *id, uint64_t changed,
		       const uint64_t *entry)
{
	enum flush_due due = FLUSH_NOT_DUE;
	struct shadow_page *sp;

	rwlock_wrlock(&m->lock);
	sp = find_unsync(m, id);
	if (sp) {
		if (sp->changed != changed) {
			entry = NULL;
			shadow_protect_frame(m, sp->gfn, &due);
			shadow_changed(m, sp);
		}
		drop_outdated(m, sp, entry, &due);
		shadow_mark_synced(m, sp);
		mmu_count(m, mmu_synced);
		/* The flush for what was dropped, or lost W, is deferred until needed. */
		flush_record(m, &due);
	}
	rwlock_wrunlock(&m->lock);
}

void shadow_sync(struct mmu_vcpu *v, const struct shadow_batch *batch)
{
	uint64_t changed[SHADOW_SYNC_BATCH], entry[ENTRIES];

	if (!batch->n)
		return;
	protect_tables(v->mmu, batch, changed);
	for (unsigned int i = 0; i < batch->n; i++) {
		bool read;

		if (!changed[i])
			continue;
		read = read_table(v, &batch->id[i], entry) == MMU_OK;
		renew_page(v->mmu, &batch->id[i], changed[i], read ? entry : NULL);
	}
}

/* The lowest table on the way to @gva, if it is one of the lowest level. */
static struct shadow_page *find_lowest(const struct mmu *m, const struct shadow_roots *r, gva_t gva)
{
	struct shadow_path p;

	shadow_path_begin(&p, gva);
	shadow_path_find(m, &p, shadow_root_of(r, gva));
	return p.entry.sptep && p.entry.level == LEVEL_4K ? p.page[LEVEL_4K] : NULL;
}

static bool is_out_of_date(const struct mmu_vcpu *v, gva_t gva)
{
	for (unsigned int i = 0; i < SHADOW_CACHED_ROOTS; i++) {
		const struct shadow_page *sp = find_lowest(v->mmu, &v->shadow.roots[i], gva);

		/* UNSYNC_BEFORE_W: a write that was not intercepted came after the mark. */
		if (sp && atomic32_load_acquire(&sp->unsync))
			return true;
	}
	return false;
}

static bool needs_invlpg(struct mmu_vcpu *v, gva_t gva)
{
	bool needed;

	guest_pin(v);
	needed = is_out_of_date(v, gva);
	guest_unpin(v);
	return needed;
}

void shadow_invlpg(struct mmu_vcpu *v, gva_t gva)
{
	struct mmu *m = v->mmu;
	enum flush_due due = FLUSH_NOT_DUE;

	if (!needs_invlpg(v, gva))
		return;
	guest_leave(v);
	rwlock_wrlock(&m->lock);
	for (unsigned int i = 0; i < SHADOW_CACHED_ROOTS; i++) {
		struct shadow_page *sp = find_lowest(v->mmu, &v->shadow.roots[i], gva);

		if (!sp || !atomic32_load_relaxed(&sp->unsync))
			continue;
		/* Even if it has no entry: a fault may be about to install one from an earlier
		 * read. */
		shadow_changed(m, sp);
		flush_raise(&due, shadow_drop(m, sp, gva_index(gva, LEVEL_4K)));
	}
	flush_record(m, &due);
	rwlock_wrunlock(&m->lock);
	vcpu_count(v, invlpg);
	guest_enter(v);
}
