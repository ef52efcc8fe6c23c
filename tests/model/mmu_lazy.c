/* SPDX-License-Identifier: MIT */
/*
 * tests/model/mmu_lazy.c - a guest that changes its tables and flushes late.
 *
 * An entry may be used as it is now, or as it was at any time since the guest last asked
 * for the address to be forgotten; each entry of a walk by itself, as processors cache
 * the levels apart from each other.  A fault, however, must be that of the tables as they
 * are now.  One machine at a time, as the machines need not agree.
 */
#include "mmu_diff.h"

#include <string.h>

#include "mmu/notifier.h"
#include "mmu/shadow/internal.h"
#include "mmu/tlb/request.h"

struct change {
	uint64_t gpa;
	uint64_t old, time;
};

#define MAX_CHANGES 256

struct lazy {
	struct world *w;
	int machine;
	struct change change[MAX_CHANGES];
	unsigned int n_changes;
	/* The access that is looked at. */
	const struct paging *p;
	uint64_t gva;
	enum access access;
	uint64_t since;
	uint64_t observed;
};

static struct mmu_vcpu *vcpu(struct lazy *l, enum who who)
{
	return world_vcpu(l->w, l->machine, who);
}

/* --- what is allowed --------------------------------------------------------- */

static bool may_reach(struct lazy *l, int level, const struct flat_walk *so_far);

static bool may_reach_by(struct lazy *l, int level, struct flat_walk w, uint64_t e)
{
	enum flat_step step = flat_step(l->p, level, e, l->gva, &w);

	if (step == FLAT_TABLE)
		return may_reach(l, level - 1, &w);
	return step == FLAT_LEAF && w.gpa == l->observed && !flat_refuses(l->p, &w, l->access);
}

static bool may_reach(struct lazy *l, int level, const struct flat_walk *so_far)
{
	uint64_t gpa = flat_entry_gpa(l->p, level, so_far->table, l->gva);
	const uint8_t *at = flat_pointer(&l->w->flat, gpa);
	uint64_t e = 0;

	if (at) {
		memcpy(&e, at, flat_entry_bytes(l->p));
		if (may_reach_by(l, level, *so_far, e))
			return true;
	}
	for (unsigned int i = 0; i < l->n_changes; i++) {
		const struct change *c = &l->change[i];

		if (c->gpa == gpa && c->time > l->since && may_reach_by(l, level, *so_far, c->old))
			return true;
	}
	return false;
}

static bool is_allowed(struct lazy *l)
{
	struct flat_walk w;
	int level = flat_begin(l->p, l->gva, &w);

	if (level <= 0)
		return level == 0 && w.gpa == l->observed;
	return may_reach(l, level, &w);
}

/* The guest frame of a page of memory: no two slots share one. */
static uint64_t frame_gpa(struct lazy *l, const uint8_t *host)
{
	uint64_t offset = (uint64_t)(host - l->w->flat.memory);

	for (int i = 0; i < FLAT_SLOTS; i++) {
		const struct flat_slot *s = &l->w->flat.slot[i];
		uint64_t page = offset >> PAGE_SHIFT;

		if (page >= s->first && page - s->first < s->n_pages)
			return ((s->gfn + page - s->first) << PAGE_SHIFT) | (offset & 0xfff);
	}
	world_fail(l->w, l->machine, "a page lies in a slot");
}

/* --- an access --------------------------------------------------------------- */

static void check_success(struct lazy *l, const struct outcome *o)
{
	const struct flat_slot *slot;

	l->observed = o->verdict == MMU_OK ? frame_gpa(l, o->host) : o->gpa;
	world_check(l->w, l->machine, is_allowed(l));
	slot = flat_slot_at(&l->w->flat, l->observed);
	if (o->verdict == MMU_OK)
		world_check(l->w, l->machine, l->access != ACCESS_WRITE || !slot->read_only);
	else
		world_check(l->w, l->machine,
			    !slot || (slot->read_only && l->access == ACCESS_WRITE));
}

static void step_access(struct lazy *l)
{
	struct world *w = l->w;
	unsigned int i = (unsigned int)run_below(&w->run, N_GVAS);
	struct flat_result now;
	struct outcome o;
	int retries = 0;

	l->p = &w->regs[GUEST];
	l->gva = w->gva[i] + 0x200;
	l->access = (enum access)run_below(&w->run, 3);
	l->since = MAX(w->flushed, w->flushed_gva[i]);
	if (!(l->p->cr0 & X86_CR0_PG))
		l->gva = (uint64_t)i << PAGE_SHIFT;
	do {
		o = world_access(vcpu(l, GUEST), l->gva, l->access, 0, NULL);
	} while (o.verdict == MMU_RETRY && retries++ < 3);
	w->n_accesses++;
	if (o.verdict == MMU_OK || o.verdict == MMU_MMIO) {
		check_success(l, &o);
		return;
	}
	/* It leaves no trace in memory, or the check fails. */
	flat_access(&w->flat, l->p, l->gva, l->access, &now);
	if (now.kind == FLAT_NO_TABLE)
		world_check(w, l->machine, o.verdict == MMU_BAD_TABLES);
	else
		world_check(w, l->machine, o.verdict == MMU_GUEST_FAULT && now.kind == FLAT_FAULT &&
						   o.error_code == now.error_code);
}

/* --- steps ------------------------------------------------------------------- */

static void flush_all(struct lazy *l)
{
	world_set_paging(l->w, GUEST);
	l->n_changes = 0;
}

/* One entry by vCPU 1, without a flush. */
static void step_change(struct lazy *l)
{
	struct world *w = l->w;
	uint64_t gpa = (world_random_table(w) << PAGE_SHIFT) + world_random_offset(w);
	unsigned int bytes = w->format == FORMAT_32BIT ? 4 : 8;
	uint64_t e = world_random_entry(w, 1 + (int)run_below(&w->run, (uint64_t)world_levels(w)));
	struct change *c;
	struct outcome o;

	if (!w->flat.slot[0].n_pages)
		return;
	if (l->n_changes == MAX_CHANGES)
		flush_all(l);
	c = &l->change[l->n_changes++];
	*c = (struct change){ .gpa = gpa, .time = ++w->now };
	memcpy(&c->old, w->flat.memory + gpa, bytes);
	if (run_chance(&w->run, 50))
		e = c->old ^ 1ull << run_below(&w->run, 7);
	o = world_access(vcpu(l, EDITOR), world_window(gpa), ACCESS_WRITE, bytes, &e);
	world_check(w, l->machine, o.verdict == MMU_OK);
	w->n_changes++;
}

static void step_invlpg(struct lazy *l)
{
	struct world *w = l->w;
	unsigned int i = (unsigned int)run_below(&w->run, N_GVAS);

	guest_enter(vcpu(l, GUEST));
	mmu_invlpg(vcpu(l, GUEST), gva_of(w->gva[i]));
	guest_leave(vcpu(l, GUEST));
	w->flushed_gva[i] = w->now;
}

static void step_host(struct lazy *l)
{
	struct world *w = l->w;
	struct mmu *m = &w->vm[l->machine]->mmu;
	hva_t start = vm_hva(w->vm[l->machine], run_below(&w->run, MEMORY));
	struct invalidation inv;

	if (run_chance(&w->run, 50)) {
		mmu_set_page_limit(m, MMU_MIN_PAGES + run_below(&w->run, 12));
		return;
	}
	mmu_invalidate_begin(m, start, hva_add(start, run_below(&w->run, 600) << PAGE_SHIFT), &inv);
	mmu_invalidate_end(&inv);
}

static void check_tables(struct lazy *l)
{
	const char *wrong = l->machine == SHADOW ? shadow_find_fault(&l->w->vm[SHADOW]->mmu) : NULL;

	if (wrong)
		world_fail(l->w, SHADOW, wrong);
}

static void step_rarely(struct lazy *l)
{
	struct world *w = l->w;
	uint64_t what = run_below(&w->run, 100);

	if (what < 35)
		step_host(l);
	else if (what < 60)
		world_slot(w, (uint32_t)run_below(&w->run, 4), run_chance(&w->run, 75),
			   run_chance(&w->run, 50));
	else if (what < 75)
		world_set_paging(w, EDITOR);
	else
		check_tables(l);
}

static void step(struct lazy *l)
{
	struct world *w = l->w;
	uint64_t what = run_below(&w->run, 1000);

	if (what < 860)
		step_access(l);
	else if (what < 890)
		world_random_rights(w);
	else if (what < 940)
		step_change(l);
	else if (what < 980)
		step_invlpg(l);
	else if (what < 983)
		world_random_registers(w);
	else if (what < 990)
		world_load_root(w);
	else if (what < 992)
		flush_all(l);
	else
		step_rarely(l);
}

static void run_machine(struct world *w, int machine, unsigned int steps)
{
	struct lazy l = { .w = w, .machine = machine };
	uint8_t *memory = w->flat.memory;

	/* The naive walk sees what the machine has. */
	w->flat.memory = w->vm[machine]->memory;
	flush_all(&l);
	for (w->run.step = 0; w->run.step < steps; w->run.step++)
		step(&l);
	check_tables(&l);
	w->flat.memory = memory;
}

void diff_lazy(struct world *w, unsigned int steps)
{
	for (int i = 0; i < N_MACHINES; i++)
		run_machine(w, i, steps);
}
