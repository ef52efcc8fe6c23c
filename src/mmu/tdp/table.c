/* SPDX-License-Identifier: MIT */
/* mmu/tdp/table.c - direct tables: made, unlinked, and freed when no walk can be in them. */
#include "mmu/limits.h"
#include "mmu/paging/table.h"
#include "mmu/tdp/internal.h"
#include "mmu/tlb/flush.h"
#include "sync/rcu.h"

struct table *tdp_table_new(struct mmu *m, int level)
{
	struct table *t = pool_get(&m->tables);

	if (t) {
		t->level = level;
		table_count(m, 1);
	}
	return t;
}

void tdp_table_free(struct mmu *m, struct table *t)
{
	if (t->for_mmio)
		atomic64_fetch_add(&m->n_mmio_tables, (uint64_t)-1);
	table_count(m, -1);
	pool_put(&m->tables, t);
}

/* UNLINK_FLUSH_FREE: from here on a walk may be in it until this debt is paid. */
void tdp_table_bury(struct mmu *m, struct table *t)
{
	rwlock_assert_held_write(&m->lock);
	t->next_dead = m->dead;
	m->dead = t;
	atomic32_fetch_add(&m->n_dead, 1);
	flush_owe(m);
}

void tdp_table_free_dead(struct mmu *m, struct table *dead)
{
	for (struct table *next; dead; dead = next) {
		next = dead->next_dead;
		tdp_table_free(m, dead);
	}
}

void tdp_reap(struct mmu *m, enum reap which)
{
	struct table *dead;

	if (atomic32_load_relaxed(&m->n_dead) <= (which == REAP_ALL ? 0 : MAX_DEAD_TABLES))
		return;
	rwlock_wrlock(&m->lock);
	dead = m->dead;
	m->dead = NULL;
	atomic32_store_relaxed(&m->n_dead, 0);
	rwlock_wrunlock(&m->lock);

	if (rule(UNLINK_FLUSH_FREE))
		flush_settle(m);
	if (dead && rule(WALKER_ANNOUNCE))
		rcu_synchronize();
	tdp_table_free_dead(m, dead);
}
