/* SPDX-License-Identifier: MIT */
#include "mmu_diff.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem/dirty_log.h"
#include "mmu/notifier.h"
#include "mmu/shadow/internal.h"
#include "mmu/tdp/internal.h"
#include "mmu/tlb/request.h"

/* Between two accesses of one kind, how many tries may meet a race?  There is none. */
#define MAX_RETRIES 3

static uint64_t address(struct world *w, unsigned int i)
{
	if (w->regs[GUEST].cr0 & X86_CR0_PG)
		return w->gva[i];
	/* The frames themselves. */
	if (i < 60)
		return (uint64_t)i << PAGE_SHIFT;
	return ((uint64_t)BIG_GFN + run_below(&w->run, BIG)) << PAGE_SHIFT;
}

/* Now and then memory runs out, and is there again: that must not be seen either. */
static struct outcome access_machine(struct world *w, int i, uint64_t gva, enum access access,
				     uint64_t *value)
{
	struct alloc *a = &w->vm[i]->alloc;
	struct outcome o;
	int retries = 0;

	if (w->fail_in)
		atomic64_store_relaxed(&a->fail_in, w->fail_in);
	do {
		o = world_access(world_vcpu(w, i, GUEST), gva, access, 8, value);
		atomic64_store_relaxed(&a->fail_in, 0);
	} while ((o.verdict == MMU_RETRY || o.verdict == MMU_NO_MEMORY) &&
		 retries++ < MAX_RETRIES);
	return o;
}

static bool agree(struct world *w, int i, const struct outcome *o, const struct flat_result *r)
{
	static const enum mmu_verdict verdicts[] = {
		[FLAT_RAM] = MMU_OK,
		[FLAT_MMIO] = MMU_MMIO,
		[FLAT_FAULT] = MMU_GUEST_FAULT,
		[FLAT_NO_TABLE] = MMU_BAD_TABLES,
	};

	if (o->verdict != verdicts[r->kind])
		return false;
	if (r->kind == FLAT_FAULT)
		return o->error_code == r->error_code;
	if (r->kind == FLAT_NO_TABLE)
		return true;
	if (!o->by_tlb && o->gpa != r->gpa)
		return false;
	return r->kind == FLAT_MMIO ||
	       o->host - w->vm[i]->memory == r->at - w->flat.memory;
}

static bool entries_agree(struct world *w, int i, const struct flat_result *r)
{
	for (int n = 0; n < r->n_used; n++) {
		const uint8_t *at = flat_pointer(&w->flat, r->used[n]);

		if (at && w->vm[i]->memory[at - w->flat.memory] != *at)
			return false;
	}
	return true;
}

static void compare(struct world *w, int i, uint64_t gva, enum access access,
		    const struct outcome *o, const struct flat_result *r)
{
	static const char *const kinds[] = { "memory", "MMIO", "fault", "no table" };
	const struct paging *p = &w->regs[GUEST];

	if (agree(w, i, o, r) && entries_agree(w, i, r))
		return;
	fprintf(stderr, "access %d of %#llx: verdict %d, error code %#x, gpa %#llx, tlb %d;\n"
		"wanted %s, error code %#x, gpa %#llx\n"
		"cr0 %#llx cr4 %#llx efer %#llx pkru %#x cpl %u ac %d\n", (int)access,
		(unsigned long long)gva, (int)o->verdict, o->error_code, (unsigned long long)o->gpa,
		o->by_tlb, kinds[r->kind], r->error_code, (unsigned long long)r->gpa,
		(unsigned long long)p->cr0, (unsigned long long)p->cr4, (unsigned long long)p->efer,
		p->pkru, p->cpl, p->ac);
	for (int n = 0; n < r->n_used; n++) {
		const uint8_t *at = flat_pointer(&w->flat, r->used[n]);

		if (at)
			fprintf(stderr, "entry at %#llx: %#llx, wanted %#llx\n",
				(unsigned long long)r->used[n],
				(unsigned long long)*(const uint64_t *)(const void *)
					(w->vm[i]->memory + (at - w->flat.memory)),
				(unsigned long long)*(const uint64_t *)(const void *)at);
	}
	world_fail(w, i, "the machines agree");
}

static void access_all(struct world *w, uint64_t gva, enum access access, uint64_t value,
		       struct flat_result *r)
{
	uint64_t loaded, want;

	w->fail_in = run_chance(&w->run, 2) ? 1 + run_below(&w->run, 8) : 0;
	flat_access(&w->flat, &w->regs[GUEST], gva, access, r);
	if (r->kind == FLAT_RAM && access == ACCESS_WRITE) {
		memcpy(r->at, &value, 8);
		flat_stored(&w->flat, r);
	}
	for (int i = 0; i < N_MACHINES; i++) {
		uint64_t *data = access == ACCESS_WRITE ? &value : &loaded;
		struct outcome o = access_machine(w, i, gva, access, data);

		compare(w, i, gva, access, &o, r);
		if (r->kind == FLAT_RAM) {
			memcpy(&want, r->at, 8);
			world_check(w, i, *data == want);
		}
		w->n_accesses++;
	}
	w->n_kinds[r->kind]++;
}

/* --- what a guest owes its processor ----------------------------------------- */

static void invlpg_everywhere(struct world *w, uint64_t gva)
{
	for (int i = 0; i < N_MACHINES; i++) {
		struct mmu_vcpu *v = world_vcpu(w, i, GUEST);

		guest_enter(v);
		mmu_invlpg(v, gva_of(gva));
		guest_leave(v);
	}
}

static void flush_if_owed(struct world *w, unsigned int i, uint64_t gva)
{
	if (MAX(w->flushed, w->flushed_gva[i]) >= w->changed)
		return;
	if (run_chance(&w->run, 90)) {
		invlpg_everywhere(w, gva);
		w->flushed_gva[i] = w->now;
	} else {
		world_set_paging(w, GUEST);
	}
}

/* --- steps ------------------------------------------------------------------- */

/* Data lies where no entries are that the guest uses. */
static void step_access(struct world *w)
{
	enum access access = (enum access)run_below(&w->run, 3);
	unsigned int i = (unsigned int)run_below(&w->run, N_GVAS);
	uint64_t gva = address(w, i);
	struct flat_result r;

	flush_if_owed(w, i, gva);
	access_all(w, gva + 0x200 + run_below(&w->run, 190) * 8, access, run_next(&w->run), &r);
}

static void note_change(struct world *w)
{
	w->changed = ++w->now;
	w->n_changes++;
}

/* By vCPU 1, one entry. */
static void step_change(struct world *w)
{
	uint64_t gpa = (world_random_table(w) << PAGE_SHIFT) + world_random_offset(w);
	unsigned int bytes = w->format == FORMAT_32BIT ? 4 : 8;
	uint64_t e = world_random_entry(w, 1 + (int)run_below(&w->run, (uint64_t)world_levels(w)));

	/* Half of them only turn a bit or two. */
	if (run_chance(&w->run, 50)) {
		memcpy(&e, w->flat.memory + gpa, bytes);
		e ^= 1ull << run_below(&w->run, 7);
	}
	memcpy(w->flat.memory + gpa, &e, bytes);
	if (w->flat.slot[0].logged)
		w->flat.dirty[0] |= 1ull << (gpa >> PAGE_SHIFT);
	for (int i = 0; i < N_MACHINES; i++) {
		struct outcome o = world_access(world_vcpu(w, i, EDITOR), world_window(gpa),
						ACCESS_WRITE, bytes, &e);

		world_check(w, i, o.verdict == MMU_OK);
	}
	note_change(w);
}

/* By the guest, in its own tables, if it happens to reach one. */
static void step_change_own(struct world *w)
{
	unsigned int i = (unsigned int)run_below(&w->run, N_GVAS);
	uint64_t gva = address(w, i);
	struct flat_result r;
	uint64_t e;

	flush_if_owed(w, i, gva);
	access_all(w, gva + 0x200, ACCESS_READ, 0, &r);
	if (r.kind != FLAT_RAM || r.gpa >> PAGE_SHIFT >= SMALL)
		return;
	e = world_random_entry(w, 1 + (int)run_below(&w->run, (uint64_t)world_levels(w)));
	if (w->format == FORMAT_32BIT)
		e |= world_random_entry(w, 1) << 32;
	access_all(w, gva + (world_random_offset(w) & ~7u), ACCESS_WRITE, e, &r);
	if (r.kind == FLAT_RAM)
		note_change(w);
}

static void compare_memory(struct world *w)
{
	for (int i = 0; i < N_MACHINES; i++)
		world_check(w, i, !memcmp(w->vm[i]->memory, w->flat.memory, 72ull << PAGE_SHIFT));
}

static void step_harvest(struct world *w)
{
	uint64_t id = run_below(&w->run, 4), bitmap[BIG / 64];
	const struct flat_slot *s = &w->flat.slot[id];

	if (!s->n_pages || !s->logged)
		return;
	for (int i = 0; i < N_MACHINES; i++) {
		memset(bitmap, 0, sizeof(bitmap));
		world_check(w, i, !dirty_log_get(&w->vm[i]->slots, (uint32_t)id, bitmap));
		for (uint64_t n = 0; n < s->n_pages; n++) {
			uint64_t page = s->first + n;

			world_check(w, i, (bitmap[n / 64] >> (n % 64) & 1) ==
						  (w->flat.dirty[page / 64] >> (page % 64) & 1));
		}
	}
	for (uint64_t page = s->first; page < s->first + s->n_pages; page++)
		w->flat.dirty[page / 64] &= ~(1ull << (page % 64));
}

/* What the host does must not be seen. */
static void step_host(struct world *w)
{
	uint64_t first = run_below(&w->run, MEMORY), n = 1 + run_below(&w->run, 600);
	uint64_t what = run_below(&w->run, 3), limit = MMU_MIN_PAGES + run_below(&w->run, 12);
	enum age how = (enum age)run_below(&w->run, 3);

	for (int i = 0; i < N_MACHINES; i++) {
		hva_t start = vm_hva(w->vm[i], first), end = vm_hva(w->vm[i], first + n);
		struct invalidation inv;

		if (what == 0) {
			mmu_invalidate_begin(&w->vm[i]->mmu, start, end, &inv);
			mmu_invalidate_end(&inv);
		} else if (what == 1) {
			mmu_age(&w->vm[i]->mmu, start, end, how);
		} else {
			mmu_set_page_limit(&w->vm[i]->mmu, limit);
		}
	}
}

static void check_tables(struct world *w)
{
	const char *wrong = shadow_find_fault(&w->vm[SHADOW]->mmu);

	if (wrong)
		world_fail(w, SHADOW, wrong);
	world_check(w, TDP, tdp_is_valid(&w->vm[TDP]->mmu));
	compare_memory(w);
}

static void step_rarely(struct world *w)
{
	uint64_t what = run_below(&w->run, 100);

	if (what < 35)
		step_harvest(w);
	else if (what < 55)
		step_host(w);
	else if (what < 70)
		world_slot(w, (uint32_t)run_below(&w->run, 4), run_chance(&w->run, 75),
			   run_chance(&w->run, 50));
	else if (what < 80)
		world_set_paging(w, EDITOR);
	else if (what < 90)
		world_random_gvas(w);
	else
		check_tables(w);
}

/* A window of vCPU 1's on a slot that is not there would be no memory. */
static bool may_change(const struct world *w)
{
	return w->flat.slot[0].n_pages;
}

static void step(struct world *w)
{
	uint64_t what = run_below(&w->run, 1000);

	if (what < 920)
		step_access(w);
	else if (what < 940)
		world_random_rights(w);
	else if (what < 970 && may_change(w))
		step_change(w);
	else if (what < 980)
		step_change_own(w);
	else if (what < 987)
		world_random_registers(w);
	else if (what < 992)
		world_load_root(w);
	else if (what < 996)
		world_take_turns(w);
	else
		step_rarely(w);
}

void diff_strict(struct world *w, unsigned int steps)
{
	for (w->run.step = 0; w->run.step < steps; w->run.step++)
		step(w);
	check_tables(w);
}
