/* SPDX-License-Identifier: MIT */
/* check/world/client.c - the calls of the program that runs the VM. */
#include <errno.h>

#include "base/guarded.h"
#include "check/engine/timeline.h"
#include "check/world/ages.h"
#include "check/world/guest.h"
#include "check/world/machine.h"
#include "mem/dirty_log.h"
#include "mmu/notifier.h"

static void must(int err)
{
	if (err)
		sched_fail(VERDICT_WRONG, "a call that had to succeed failed with %d", err);
}

/* They are to lead to the slot's pages, or nowhere. */
static void change(const struct client_slot *c, bool there)
{
	for (unsigned int i = 0; i < c->pages; i++) {
		oracle_change(c->gfn + i, there ? c->page + i : ORACLE_NOWHERE,
			      c->flags & KVM_MEM_READONLY);
		ages_dropped(c->page + i);
	}
}

static unsigned int logged_pages(const struct client_slot *c)
{
	return c->flags & KVM_MEM_LOG_DIRTY_PAGES ? MIN(c->pages, COPIES_PAGES) : 0;
}

/* A slot's log began with this call, ended, or neither. */
static void change_log(const struct client_slot *old, const struct client_slot *now)
{
	if (logged_pages(old) && !logged_pages(now))
		copies_log_ends(old->page, logged_pages(old));
	if (logged_pages(now) && !logged_pages(old))
		copies_log_begins(now->page, logged_pages(now));
}

void client_set_slot(unsigned int id, uint64_t gfn, unsigned int pages, unsigned int page,
		     uint32_t flags)
{
	struct client_slot *c = &vm->client_slot[id], now = { gfn, pages, page, flags };
	struct kvm_userspace_memory_region r = {
		.slot = id,
		.flags = flags,
		.guest_phys_addr = gfn << PAGE_SHIFT,
		.memory_size = (uint64_t)pages << PAGE_SHIFT,
		.userspace_addr = host_hva(page).raw,
	};

	timeline_note("KVM_SET_USER_MEMORY_REGION: slot %u, gfn %llu, %u pages, hva page %u%s%s",
		      id, (unsigned long long)gfn, pages, page,
		      flags & KVM_MEM_LOG_DIRTY_PAGES ? ", logged" : "",
		      flags & KVM_MEM_READONLY ? ", read-only" : "");
	oracle_change_begin();
	change(c, false);
	change(&now, true);
	guest_slots_change();
	must(slots_set_region(&vm->slots, &r));
	oracle_change_end();
	guest_slots_changed();
	change_log(c, &now);
	*c = now;
	timeline_note("KVM_SET_USER_MEMORY_REGION returns");
}

void client_delete_slot(unsigned int id)
{
	struct client_slot *c = &vm->client_slot[id], none = { 0 };
	struct kvm_userspace_memory_region r = { .slot = id };

	timeline_note("KVM_SET_USER_MEMORY_REGION: deletes slot %u", id);
	oracle_change_begin();
	change(c, false);
	guest_slots_change();
	must(slots_set_region(&vm->slots, &r));
	oracle_change_end();
	guest_slots_changed();
	change_log(c, &none);
	*c = none;
	timeline_note("slot %u is deleted", id);
}

/* By host page, so that a move does not matter. */
static void copy_pages(unsigned int consumer, const struct client_slot *c, uint64_t bitmap)
{
	for (unsigned int i = 0; i < c->pages && i < 64; i++)
		if (bitmap & 1ull << i)
			oracle_copy(consumer, c->page + i);
}

/* The error of the call: none but -ENOENT. */
static int get_log(unsigned int consumer, unsigned int id)
{
	const struct client_slot *c = &vm->client_slot[id];
	uint64_t bitmap[8] = { 0 };
	struct copies_call call;
	int err;

	timeline_note("KVM_GET_DIRTY_LOG");
	copies_call_begins(&call, c->page, c->pages);
	err = dirty_log_get(&vm->slots, id, bitmap);
	must(err == -ENOENT ? 0 : err);
	/* There was no log to tell of anything. */
	if (err)
		call.n = 0;
	copies_call_returns(&call, bitmap[0]);
	timeline_note("KVM_GET_DIRTY_LOG returns %#llx", (unsigned long long)bitmap[0]);
	copy_pages(consumer, c, bitmap[0]);
	return err;
}

void client_get_log(unsigned int consumer, unsigned int id)
{
	must(get_log(consumer, id));
}

void client_try_log(unsigned int consumer, unsigned int id)
{
	get_log(consumer, id);
}

void client_get_clear_copy(unsigned int consumer, unsigned int id)
{
	const struct client_slot *c = &vm->client_slot[id];
	uint64_t bitmap[8] = { 0 };
	struct copies_call call;

	timeline_note("KVM_GET_DIRTY_LOG");
	copies_call_begins(&call, c->page, c->pages);
	must(dirty_log_get(&vm->slots, id, bitmap));
	timeline_note("KVM_GET_DIRTY_LOG returns %#llx; KVM_CLEAR_DIRTY_LOG of it",
		      (unsigned long long)bitmap[0]);
	must(dirty_log_clear(&vm->slots, id, 0, c->pages, bitmap));
	copies_call_returns(&call, bitmap[0]);
	timeline_note("KVM_CLEAR_DIRTY_LOG returns");
	copy_pages(consumer, c, bitmap[0]);
}

/* What the client took from a ring. */
struct taken {
	unsigned int n;
	struct {
		unsigned int id, page;
	} entry[80];
};

static void take_entries(unsigned int n, struct taken *taken)
{
	struct mmu_vcpu *v = &vm->vcpu[n];

	for (taken->n = 0; taken->n < ARRAY_SIZE(taken->entry); vm->fetched[n]++) {
		struct kvm_dirty_gfn *e = &v->ring.entries[vm->fetched[n] & (v->ring.size - 1)];

		if (!(shared32_load_acquire(&e->flags) & KVM_DIRTY_GFN_F_DIRTY))
			break;
		taken->entry[taken->n].id = shared32_load_relaxed(&e->slot);
		taken->entry[taken->n++].page = (unsigned int)shared64_load_relaxed(&e->offset);
		shared32_store_release(&e->flags, KVM_DIRTY_GFN_F_RESET);
	}
}

static void reset_rings(void)
{
	vm->n_resets++;
	vm->n_resetting++;
	mmu_reset_dirty_rings(&vm->mmu);
	vm->n_resetting--;
}

/* Of slot 0, for the oracle: with one vCPU, whose ring is all there is. */
void client_reap_ring(unsigned int consumer, unsigned int n)
{
	const struct client_slot *c = &vm->client_slot[0];
	struct copies_call call;
	struct taken taken;
	uint64_t told = 0;

	copies_call_begins(&call, c->page, vm->n_vcpus == 1 ? c->pages : 0);
	take_entries(n, &taken);
	timeline_note("took %u entries of vCPU %u's ring; KVM_RESET_DIRTY_RINGS", taken.n, n);
	reset_rings();
	for (unsigned int i = 0; i < taken.n; i++)
		if (!taken.entry[i].id && taken.entry[i].page < call.n)
			told |= 1ull << taken.entry[i].page;
	copies_call_returns(&call, told);
	timeline_note("KVM_RESET_DIRTY_RINGS returns");
	for (unsigned int i = 0; i < taken.n; i++)
		oracle_copy(consumer, vm->client_slot[taken.entry[i].id & 7].page +
				      taken.entry[i].page);
}

void client_copy_all(unsigned int consumer, unsigned int id)
{
	const struct client_slot *c = &vm->client_slot[id];

	for (unsigned int i = 0; i < c->pages; i++)
		oracle_copy(consumer, c->page + i);
}

bool client_age_pages(unsigned int first, unsigned int n, enum age how)
{
	struct ages_call call;
	bool young;

	ages_call_begins(&call, first, n, how);
	young = mmu_age(&vm->mmu, host_hva(first), host_hva(first + n), how);
	ages_call_returns(&call, young);
	timeline_note("hva pages %u..%u: %s%s", first, first + n - 1, young ? "young" : "old",
		      how == AGE_TEST	? "" :
		      how == AGE_CLEAR	? ", and cleared without a flush" :
					  ", and cleared and flushed");
	return young;
}

bool client_age(unsigned int page, enum age how)
{
	return client_age_pages(page, 1, how);
}
