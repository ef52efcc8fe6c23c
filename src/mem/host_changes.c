/* SPDX-License-Identifier: MIT */
#include "mem/host_changes.h"

#include "base/bug.h"
#include "mem/limits.h"
#include "sync/wait.h"

void host_changes_init(struct host_changes *c)
{
	*c = (struct host_changes){ 0 };
	mutex_init(&c->lock, RANK_CHANGES);
	CDS_INIT_LIST_HEAD(&c->open);
}

void host_changes_destroy(struct host_changes *c)
{
	mutex_destroy(&c->lock);
}

void host_change_open(struct host_changes *c, struct host_change *change, hva_t start, hva_t end)
{
	change->start = start;
	change->end = end;
	change->is_open = true;
	mutex_lock(&c->lock);
	cds_list_add(&change->node, &c->open);
	atomic32_fetch_add(&c->n_open, 1);
	mutex_unlock(&c->lock);
}

void host_change_close(struct host_changes *c, struct host_change *change)
{
	if (!change->is_open)
		return;
	change->is_open = false;
	mutex_lock(&c->lock);
	cds_list_del(&change->node);
	bug_on(!atomic32_fetch_add(&c->n_open, (uint32_t)-1));
	mutex_unlock(&c->lock);
	/* Full barriers: a sleeper missed here sees that it is closed. */
	atomic32_fetch_add(&c->n_closed, 1);
	if (atomic32_load_relaxed(&c->n_asleep))
		wait_wake_all(&c->n_closed);
}

bool host_changes_meet(struct host_changes *c, hva_t start, hva_t end)
{
	struct host_change *change;
	bool meets = false;

	if (likely(!atomic32_load_acquire(&c->n_open)))
		return false;
	mutex_lock(&c->lock);
	cds_list_for_each_entry(change, &c->open, node) {
		meets |= hva_lt(start, change->end) && hva_lt(change->start, end);
		/* WINDOW_UNION: all open ones, not only the latest. */
		if (meets)
			break;
	}
	mutex_unlock(&c->lock);
	return meets;
}

void host_changes_wait(struct host_changes *c, hva_t start, hva_t end)
{
	uint32_t closed = atomic32_load_acquire(&c->n_closed);

	lock_assert_none_from(RANK_SLOTS);
	for (int i = 0; i < CHANGE_SPINS; i++) {
		if (atomic32_load_acquire(&c->n_closed) != closed)
			return;
		cpu_relax();
	}
	atomic32_fetch_add(&c->n_asleep, 1);
	closed = atomic32_load_acquire(&c->n_closed);
	if (host_changes_meet(c, start, end))
		wait_on_for(&c->n_closed, closed, WAIT_MOMENT_US);
	atomic32_fetch_add(&c->n_asleep, (uint32_t)-1);
}
