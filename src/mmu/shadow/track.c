/* SPDX-License-Identifier: MIT */
/*
 * mmu/shadow/track.c - writes to guest tables that have a shadow page.
 *
 * The vCPU has made the write like any other; here the entries derived from the old contents are
 * zapped (EMULATED_PT_WRITE_ZAPS).  In this order: a fault that has read the old entry either
 * installs it before, and it is zapped here, or finds the shadow page changed.
 *
 * No TLB is flushed: the guest has not asked for it yet, and when it does, whoever finds nothing
 * mapped finds the debt.
 */
#include "mmu/dirty.h"
#include "mmu/shadow/internal.h"
#include "mmu/tlb/flush.h"

/* After this many writes with no use in between, assume the page is no longer a page table. */
#define MAX_WRITES_UNUSED 3u

/* Entries [*first, *end) of @sp are derived from these bytes of its guest table. */
static void find_entries(const struct shadow_page *sp, unsigned int offset, unsigned int bytes,
			 unsigned int *first, unsigned int *end)
{
	unsigned int entry_bytes = sp->role.format == GPT_32BIT ? 4 : 8;
	unsigned int low = offset / entry_bytes;
	unsigned int high = (offset + bytes - 1) / entry_bytes + 1;

	if (sp->role.format == GPT_32BIT) {
		/* A directory entry is two of ours, and ours are a quarter of the
		 * directory or half of a table. */
		unsigned int each = sp->role.level == LEVEL_2M ? 2 : 1;
		unsigned int base = sp->role.quadrant * ENTRIES_PER_TABLE / each;

		low = low > base ? (low - base) * each : 0;
		high = high > base ? (high - base) * each : 0;
	}
	*first = MIN(low, ENTRIES_PER_TABLE);
	*end = MIN(high, ENTRIES_PER_TABLE);
}

static bool is_misaligned(const struct shadow_page *sp, unsigned int offset, unsigned int bytes)
{
	unsigned int entry_bytes = sp->role.format == GPT_32BIT ? 4 : 8;

	return offset % MIN(bytes, entry_bytes) || bytes < 4;
}

static void drop_entries(struct mmu *m, struct shadow_page *sp, unsigned int first,
			 unsigned int end) REQUIRES(m->lock)
{
	enum flush_due due = FLUSH_NOT_DUE;

	for (unsigned int i = first; i < end; i++)
		if (spte_kind(sptep_read(&sp->table.spte[i])) != SPTE_NONE)
			flush_raise(&due, shadow_drop(m, sp, i));
	flush_record(m, &due);
}

static void table_written(struct mmu *m, struct shadow_page *sp, unsigned int offset,
			  unsigned int bytes) REQUIRES(m->lock)
{
	unsigned int first, end;

	find_entries(sp, offset, bytes, &first, &end);
	if (first == end)
		return;
	shadow_changed(m, sp);
	if (is_misaligned(sp, offset, bytes) || ++sp->n_writes > MAX_WRITES_UNUSED) {
		mmu_count(m, mmu_flooded);
		shadow_zap(m, sp);
	} else {
		drop_entries(m, sp, first, end);
	}
}

static void mark_page(struct mmu_vcpu *v, gfn_t gfn)
{
	const struct memslot *slot;

	rcu_read_begin();
	slot = slot_set_find_hinted(slots_current(v->mmu->slots), gfn, &v->slot_hint);
	if (slot)
		dirty_mark(v, slot, gfn);
	rcu_read_end();
}

void shadow_track_written(struct mmu_vcpu *v, gpa_t gpa, unsigned int bytes)
{
	struct mmu *m = v->mmu;
	gfn_t gfn = gfn_of_gpa(gpa);
	struct shadow_page *sp, *next;

	mark_page(v, gfn);
	rwlock_wrlock(&m->lock);
	for (sp = shadow_next_of(m, gfn, NULL); sp; sp = next) {
		next = shadow_next_of(m, gfn, sp);
		if (rule(EMULATED_PT_WRITE_ZAPS))
			table_written(m, sp, (unsigned int)gpa_offset(gpa), bytes);
	}
	shadow_reap(m, REAP_IF_MANY);
	rwlock_wrunlock(&m->lock);
	vcpu_count(v, mmu_pte_write);
}
