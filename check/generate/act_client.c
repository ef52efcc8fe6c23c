/* SPDX-License-Identifier: MIT */
/*
 * What the client does with slots and logs.  It knows them as a client would, so it knows as well
 * which calls must be refused, and with what.
 */
#include <errno.h>

#include "check/engine/arena.h"
#include "check/engine/sched.h"
#include "check/engine/timeline.h"
#include "check/generate/world.h"
#include "check/world/copies.h"
#include "check/world/halt.h"
#include "check/world/machine.h"
#include "check/world/oracle.h"
#include "mem/dirty_log.h"
#include "mmu/mmu.h"

#define CHURNED 3u	/* the slot that is only there to change */
#define MAX_PAGES 512u	/* of a log; of the host's, those that are compared */

struct known_slot {
	uint64_t gfn;
	unsigned int pages, page;
	uint32_t flags;
};

static struct client {
	uint32_t options, log;	/* .log: flags of a slot that is made */
	struct known_slot slot[CHURNED + 1];	/* .pages 0: there is none */
	bool unlogged[MAX_PAGES];	/* host pages that may have changed unseen */
} *client;

/* Where slot @id is at first, or over other memory. */
static struct known_slot place(unsigned int id, bool other)
{
	uint32_t o = client->options;
	bool large = o & (WORLD_huge | WORLD_full);

	if (id == CHURNED)
		return (struct known_slot){ .gfn = large ? 600 : 40, .pages = 1,
					    .page = o & WORLD_paged ? 22 : large ? 520 : 12 };
	if (o & WORLD_paged)
		return (struct known_slot){ WORLD_TABLE_GFN, 1, other ? 21 : 20, 0 };
	if (id == 1)
		return (struct known_slot){ .gfn = large ? 512 : 4, .pages = 2,
					    .page = (large ? 512 : 4) + (other ? 2 : 0) };
	return (struct known_slot){ .gfn = id ? 8 : 0,
				    .pages = large ? 512 : 4,
				    .page = other ? 8 : 0 };
}

/* What slots_set_region() must answer. */
static int expected(unsigned int id, const struct known_slot *now)
{
	const struct known_slot *old = &client->slot[id];

	if (!now->pages)
		return old->pages ? 0 : -EINVAL;
	if (old->pages && (old->page != now->page || old->pages != now->pages ||
			   (old->flags ^ now->flags) & KVM_MEM_READONLY))
		return -EINVAL;
	for (unsigned int i = 0; i <= CHURNED; i++) {
		const struct known_slot *s = &client->slot[i];

		if (i != id && s->pages && now->gfn < s->gfn + s->pages &&
		    s->gfn < now->gfn + now->pages)
			return -EEXIST;
	}
	return 0;
}

static void note_unlogged(const struct known_slot *s)
{
	for (unsigned int i = 0; s->pages && i < s->pages && s->page + i < MAX_PAGES; i++)
		client->unlogged[s->page + i] |= !(s->flags & KVM_MEM_LOG_DIRTY_PAGES);
}

static void must_be_refused(unsigned int id, const struct known_slot *now, int err)
{
	struct kvm_userspace_memory_region r = {
		.slot = id, .flags = now->flags, .guest_phys_addr = now->gfn << PAGE_SHIFT,
		.memory_size = (uint64_t)now->pages << PAGE_SHIFT,
		.userspace_addr = host_hva(now->page).raw,
	};
	int got = slots_set_region(&vm->slots, &r);

	timeline_note("KVM_SET_USER_MEMORY_REGION of slot %u is refused with %d", id, got);
	if (got != err && !oracle_is_blind)
		sched_fail(VERDICT_WRONG,
			   "KVM_SET_USER_MEMORY_REGION of slot %u returned %d, not %d", id, got,
			   err);
}

static void set(unsigned int id, struct known_slot now)
{
	int err = expected(id, &now);

	if (err) {
		must_be_refused(id, &now, err);
		return;
	}
	if (!now.pages)
		client_delete_slot(id);
	else
		client_set_slot(id, now.gfn, now.pages, now.page, now.flags);
	client->slot[id] = now;
	note_unlogged(&now);
}

static void create(unsigned int id, bool other, bool read_only)
{
	struct known_slot now = place(id, other);

	now.flags = read_only ? KVM_MEM_READONLY : client->log;
	set(id, now);
	/* Also what was written before the log began. */
	if (now.flags & KVM_MEM_LOG_DIRTY_PAGES && client->slot[id].pages && sched_self() >= 0)
		client_copy_all(0, id);
}

static void move(unsigned int id)
{
	struct known_slot now = client->slot[id];
	uint64_t home = place(id, false).gfn;

	if (!now.pages)
		return;
	now.gfn = now.gfn == home ? home + 2 * (uint64_t)now.pages : home;
	set(id, now);
}

static void set_logging(unsigned int id, bool on)
{
	struct known_slot now = client->slot[id];

	if (!now.pages)
		return;
	now.flags &= ~(uint32_t)KVM_MEM_LOG_DIRTY_PAGES;
	now.flags |= on ? KVM_MEM_LOG_DIRTY_PAGES : 0;
	set(id, now);
	if (!on)
		return;
	client_copy_all(0, id);
	for (unsigned int i = 0; i < now.pages && now.page + i < MAX_PAGES; i++)
		client->unlogged[now.page + i] = false;
	for (unsigned int i = 0; i <= CHURNED; i++)
		note_unlogged(&client->slot[i]);
}

static void churn(unsigned int times)
{
	struct known_slot now = place(CHURNED, false);

	for (unsigned int i = 0; i < times; i++) {
		set(CHURNED, now);
		now.flags ^= KVM_MEM_LOG_DIRTY_PAGES;
	}
}

static bool is_logged(unsigned int id)
{
	return client->slot[id].pages && client->slot[id].flags & KVM_MEM_LOG_DIRTY_PAGES;
}

static void take(unsigned int id, bool clear)
{
	uint64_t bitmap[MAX_PAGES / 64];

	if (is_logged(id))
		clear ? client_get_clear_copy(0, id) : client_get_log(0, id);
	else if (dirty_log_get(&vm->slots, id, bitmap) != -ENOENT && !oracle_is_blind)
		sched_fail(VERDICT_WRONG, "KVM_GET_DIRTY_LOG of slot %u, which has none", id);
}

static void take_to_awaited(unsigned int id)
{
	const struct known_slot *s = &client->slot[id];
	struct copies_call call;
	int err;

	copies_call_begins(&call, s->page, is_logged(id) ? s->pages : 0);
	err = dirty_log_get(&vm->slots, id, hva_pointer(host_hva(WORLD_AWAITED)));
	copies_call_returns(&call, host_peek(WORLD_AWAITED));
	timeline_note("KVM_GET_DIRTY_LOG to the page that was awaited returns %d", err);
	if (err != (is_logged(id) ? 0 : -ENOENT) && !oracle_is_blind)
		sched_fail(VERDICT_WRONG, "KVM_GET_DIRTY_LOG of slot %u returned %d", id, err);
	/* Nobody copies what this one has taken. */
	if (s->pages)
		client_ignore_pages(s->page, s->page + s->pages - 1);
}

static void reap(unsigned int n)
{
	if (vm->vcpu[n].ring.entries)
		client_reap_ring(0, n);
}

/* False: it is nothing of this kind. */
static bool wake(struct operation o)
{
	switch (o.kind) {
	case OP_irq:
		halt_send((uint8_t)(0x41 + 0x11 * o.a), DELIVER_FIXED);
		return true;
	case OP_init:
		halt_send(0, DELIVER_INIT);
		return true;
	case OP_sipi:
		halt_send(HALT_STARTUP_VECTOR, DELIVER_STARTUP);
		return true;
	case OP_kick:
		halt_stop();
		return true;
	default:
		return false;
	}
}

void client_do(struct operation o)
{
	if (wake(o))
		return;
	switch (o.kind) {
	case OP_create:
	case OP_ro:
	case OP_other:
		create(o.a, o.kind == OP_other, o.kind == OP_ro);
		break;
	case OP_delete:
		set(o.a, (struct known_slot){ 0 });
		break;
	case OP_move:
		move(o.a);
		break;
	case OP_log:
	case OP_nolog:
		set_logging(o.a, o.kind == OP_log);
		break;
	case OP_churn:
		churn(o.a);
		break;
	case OP_get:
	case OP_clear:
		take(o.a, o.kind == OP_clear);
		break;
	case OP_getawaited:
		take_to_awaited(o.a);
		break;
	case OP_reap:
		reap(o.a);
		break;
	case OP_limit:
		mmu_set_page_limit(&vm->mmu, o.a);
		break;
	}
}

/* --- the run as a whole ----------------------------------------------------------- */

void client_begin_run(const struct generated *g)
{
	client = arena_alloc(sizeof(*client));
	client->options = g->options;
	client->log = g->options & WORLD_log ? KVM_MEM_LOG_DIRTY_PAGES : 0;
	if (g->options & WORLD_paged) {
		client->slot[0] = (struct known_slot){ .pages = world_host_pages(g),
						       .flags = client->log };
		note_unlogged(&client->slot[0]);
	} else {
		create(0, false, false);
	}
	if (g->options & WORLD_slot)
		create(1, false, false);
	if (g->options & WORLD_alias && !(g->options & WORLD_paged))
		create(2, false, false);
	for (unsigned int id = 0; id < WORLD_SLOTS; id++)
		if (is_logged(id))
			client_copy_all(0, id);
}

void client_ignore_pages(unsigned int first, unsigned int last)
{
	for (unsigned int i = first; i <= last && i < MAX_PAGES; i++)
		client->unlogged[i] = true;
}

void client_compare(void)
{
	for (unsigned int id = 0; id < WORLD_SLOTS; id++)
		if (is_logged(id) && !(client->options & WORLD_ring))
			take(id, client->options & WORLD_manual);
	for (unsigned int n = 0; n < vm->n_vcpus; n++)
		if (client->options & WORLD_ring)
			reap(n);
	for (unsigned int id = 0; id < WORLD_SLOTS; id++) {
		const struct known_slot *s = &client->slot[id];

		for (unsigned int i = 0; is_logged(id) && s->page + i < 64 && i < s->pages; i++)
			if (!client->unlogged[s->page + i] && !sched_has_failed())
				oracle_compare(0, s->page + i, 1);
	}
}
