/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/guarded.h"
#include "mmu/shadow/internal.h"
#include "mmu/tlb/request.h"
#include "mmu/tlb/tlb.h"

_Noreturn void world_fail(const struct world *w, int machine, const char *what)
{
	static const char *const names[] = { "tdp", "shadow" };
	static const char *const formats[] = { "32-bit", "PAE", "4 levels", "5 levels" };

	fprintf(stderr, "%s: not so: %s\nseed %#llx program %u step %u, %s%s\n", names[machine],
		what, (unsigned long long)w->run.seed, w->program, w->run.step, formats[w->format],
		w->regs[GUEST].cr0 & X86_CR0_PG ? "" : " (off)");
	exit(1);
}

/* --- memory ------------------------------------------------------------------ */

static const struct flat_slot slots[FLAT_SLOTS] = {
	{ .gfn = 0, .n_pages = SMALL, .first = 0 },
	{ .gfn = SMALL, .n_pages = ROM, .first = SMALL, .read_only = true },
	{ .gfn = HIGH_GFN, .n_pages = 8, .first = 64 },
	{ .gfn = BIG_GFN, .n_pages = BIG, .first = BIG_FIRST },
	{ .gfn = OWN, .n_pages = 4, .first = OWN },
};

static void set_slots(struct world *w, uint32_t id, const struct flat_slot *s)
{
	uint32_t flags = (s->read_only ? KVM_MEM_READONLY : 0) |
			 (s->logged ? KVM_MEM_LOG_DIRTY_PAGES : 0);

	for (int i = 0; i < N_MACHINES; i++) {
		int err = set_slot(&w->vm[i]->slots, id, s->gfn << PAGE_SHIFT, s->n_pages,
				   vm_hva(w->vm[i], s->first).raw, flags);

		world_check(w, i, !err);
	}
}

void world_slot(struct world *w, uint32_t id, bool present, bool logged)
{
	struct flat_slot *s = &w->flat.slot[id];
	bool was_logged = s->n_pages && s->logged;

	if (!present && !s->n_pages)
		return;
	*s = slots[id];
	s->logged = logged && present;
	if (!present)
		s->n_pages = 0;
	if (!s->logged || !was_logged)
		for (uint64_t page = s->first; page < s->first + slots[id].n_pages; page++)
			w->flat.dirty[page / 64] &= ~(1ull << (page % 64));
	set_slots(w, id, s);
}

static void store_everywhere(struct world *w, uint64_t gpa, unsigned int bytes, uint64_t value)
{
	memcpy(w->flat.memory + gpa, &value, bytes);
	for (int i = 0; i < N_MACHINES; i++)
		memcpy(w->vm[i]->memory + gpa, &value, bytes);
}

/* --- random tables ----------------------------------------------------------- */

int world_levels(const struct world *w)
{
	static const int levels[] = { 2, 2, 4, 5 };

	return levels[w->format];
}

/* Frames 1 to 20 by level, so that most entries lead to where they should. */
static uint64_t frame_for(struct world *w, int level)
{
	static const uint8_t first[] = { 21, 12, 7, 4, 2, 1 };

	return first[level] + run_below(&w->run, (uint64_t)(first[level - 1] - first[level]));
}

uint64_t world_random_table(struct world *w)
{
	return 1 + run_below(&w->run, 20);
}

/* Entries are only at the ends of a table and in its middle: the rest is for data. */
unsigned int world_random_offset(struct world *w)
{
	static const uint16_t wide[] = { 0, 8, 16, 0x7f8, 0xff8 };
	static const uint16_t narrow[] = { 0, 4, 0x7fc, 0x800, 0xffc };
	unsigned int i = (unsigned int)run_below(&w->run, 5);

	return w->format == FORMAT_32BIT ? narrow[i] : wide[i];
}

static uint64_t random_frame(struct world *w)
{
	uint64_t what = run_below(&w->run, 100);

	if (what < 25)
		return world_random_table(w);
	if (what < 60)
		return 21 + run_below(&w->run, SMALL - 21);
	if (what < 70)
		return SMALL + run_below(&w->run, ROM);
	if (what < 88)
		return BIG_GFN + run_below(&w->run, BIG);
	if (what < 92)
		return HIGH_GFN + run_below(&w->run, 8);
	return 0x5000 + run_below(&w->run, 16);
}

static uint64_t large_frame(struct world *w)
{
	static const uint64_t base[] = { 0, 0, 0, BIG_GFN, BIG_GFN, BIG_GFN + 512, HIGH_GFN,
					 0x200000 };

	return base[run_below(&w->run, ARRAY_SIZE(base))];
}

static uint64_t random_flags(struct world *w)
{
	struct run *r = &w->run;
	uint64_t e = 0;

	e |= run_chance(r, 96) ? GPTE_P : 0;
	e |= run_chance(r, 86) ? GPTE_W : 0;
	e |= run_chance(r, 86) ? GPTE_U : 0;
	e |= run_chance(r, 60) ? GPTE_A : 0;
	e |= run_chance(r, 50) ? GPTE_D : 0;
	e |= run_chance(r, 20) ? GPTE_G : 0;
	/* What hardware ignores, or takes for caching. */
	e |= run_next(r) & run_next(r) & 0xe18;
	if (w->format == FORMAT_32BIT)
		return e;
	e |= run_chance(r, 6) ? GPTE_NX : 0;
	if (w->format != FORMAT_PAE || run_chance(r, 2))
		e |= run_chance(r, 50) ? run_below(r, 16) << GPTE_PKEY_SHIFT : 0;
	if (run_chance(r, 1))
		e |= 1ull << (w->regs[GUEST].maxphyaddr + run_below(r, 4));
	return e;
}

/* Only 32-bit tables have their upper address bits elsewhere. */
static uint64_t place_large(struct world *w, uint64_t gfn)
{
	uint64_t gpa = gfn << PAGE_SHIFT, e = gpa;

	if (w->format == FORMAT_32BIT)
		e = (gpa & 0xffc00000) | (gpa >> 32 & 0xff) << 13;
	if (run_chance(&w->run, 5))
		e |= 1ull << (13 + run_below(&w->run, 8));
	if (run_chance(&w->run, 10))
		e |= GPTE_PAT_LARGE;
	return e | GPTE_PS;
}

uint64_t world_random_entry(struct world *w, int level)
{
	struct run *r = &w->run;
	uint64_t e = random_flags(w);
	uint64_t gfn = frame_for(w, MAX(level - 1, 1));

	if (run_chance(r, 2))
		return w->format == FORMAT_32BIT ? run_next(r) & 0xffffffff : run_next(r);
	if (level > 1 && run_chance(r, level > 3 ? 2 : 15))
		return e | place_large(w, large_frame(w));
	if (level == 1 || run_chance(r, 5))
		gfn = random_frame(w);
	if (w->format == FORMAT_32BIT)
		gfn &= 0xfffff;
	/* In a lowest entry it is an attribute. */
	return e | gfn << PAGE_SHIFT | (level == 1 && run_chance(r, 10) ? GPTE_PS : 0);
}

static void fill_table(struct world *w, uint64_t gfn, int level)
{
	static const uint16_t wide[] = { 0, 8, 16, 0x7f8, 0xff8 };
	static const uint16_t narrow[] = { 0, 4, 0x7fc, 0x800, 0xffc };
	unsigned int bytes = w->format == FORMAT_32BIT ? 4 : 8;

	for (int i = 0; i < 5; i++)
		store_everywhere(w, (gfn << PAGE_SHIFT) + (bytes == 4 ? narrow[i] : wide[i]), bytes,
				 world_random_entry(w, level));
}

static void fill_tables(struct world *w)
{
	for (uint64_t gfn = 1; gfn <= 20; gfn++) {
		int level = gfn >= 12 ? 1 : gfn >= 7 ? 2 : gfn >= 4 ? 3 : gfn >= 2 ? 4 : 5;

		fill_table(w, gfn, MIN(level, world_levels(w)));
	}
}

static void choose_roots(struct world *w)
{
	uint64_t mask = (1ull << w->regs[GUEST].maxphyaddr) - 1;

	for (int i = 0; i < N_ROOTS; i++) {
		for (int j = 0; j < 4; j++) {
			uint64_t gfn = run_chance(&w->run, 2) ? random_frame(w) :
							     frame_for(w, world_levels(w));

			if (w->format == FORMAT_32BIT)
				gfn &= 0xfffff;
			w->root[i][j] = (gfn << PAGE_SHIFT & mask) |
					(run_chance(&w->run, 92) ? GPTE_P : 0);
		}
	}
}

static uint64_t random_gva(struct world *w)
{
	static const uint16_t wide[] = { 0, 1, 2, 255, 511 };
	static const uint16_t narrow[] = { 0, 1, 511, 512, 1023 };
	int bits = w->format == FORMAT_32BIT ? 10 : 9, levels = world_levels(w);

	uint64_t gva = 0;

	for (int level = 0; level < levels; level++) {
		uint64_t n = run_below(&w->run, 5);

		gva |= (uint64_t)(bits == 10 ? narrow[n] : wide[n]) << (12 + bits * level);
	}
	if (w->format == FORMAT_PAE)
		gva |= run_below(&w->run, 4) << 30;
	if (levels > 2 && gva >> (11 + 9 * levels) & 1)
		gva |= ~0ull << (11 + 9 * levels);
	return gva;
}

static bool leads_somewhere(const struct world *w, uint64_t gva)
{
	const struct paging *p = &w->regs[GUEST];
	enum flat_step step = FLAT_TABLE;
	struct flat_walk walk;
	int level = flat_begin(p, gva, &walk);

	for (; level > 0 && step == FLAT_TABLE; level--) {
		const uint8_t *at = flat_pointer(&w->flat,
						 flat_entry_gpa(p, level, walk.table, gva));
		uint64_t e = 0;

		if (!at)
			return false;
		memcpy(&e, at, flat_entry_bytes(p));
		step = flat_step(p, level, e, gva, &walk);
	}
	return step == FLAT_LEAF;
}

/* Many an address leads nowhere; fewer of those are chosen. */
void world_random_gvas(struct world *w)
{
	for (int i = 0; i < N_GVAS; i++) {
		w->gva[i] = random_gva(w);
		for (int n = 0; n < 8 && !leads_somewhere(w, w->gva[i]); n++)
			w->gva[i] = random_gva(w);
		w->flushed_gva[i] = w->waiting.flushed_gva[i] = 0;
	}
}

/* --- registers --------------------------------------------------------------- */

void world_set_paging(struct world *w, enum who who)
{
	for (int i = 0; i < N_MACHINES; i++) {
		world_vcpu(w, i, who)->paging = w->regs[who];
		mmu_paging_changed(world_vcpu(w, i, who));
	}
	if (who == GUEST)
		w->flushed = w->now;
}

void world_set_privilege(struct world *w)
{
	for (int i = 0; i < N_MACHINES; i++) {
		world_vcpu(w, i, GUEST)->paging = w->regs[GUEST];
		tlb_set_privilege(world_vcpu(w, i, GUEST));
	}
}

void world_take_turns(struct world *w)
{
	struct waiting next = w->waiting;

	w->waiting.regs = w->regs[GUEST];
	w->waiting.flushed = w->flushed;
	memcpy(w->waiting.flushed_gva, w->flushed_gva, sizeof(w->flushed_gva));
	w->regs[GUEST] = next.regs;
	w->flushed = next.flushed;
	memcpy(w->flushed_gva, next.flushed_gva, sizeof(w->flushed_gva));
	w->turn = 2 - w->turn;
}

void world_random_rights(struct world *w)
{
	struct paging *p = &w->regs[GUEST];

	p->cpl = p->cr0 & X86_CR0_PG && run_chance(&w->run, 50) ? 3 : 0;
	p->ac = run_chance(&w->run, 50);
	world_set_privilege(w);
}

static uint64_t flip(struct world *w, unsigned int percent, uint64_t bit)
{
	return run_chance(&w->run, percent) ? bit : 0;
}

/* Paging off: once in a while, and in the registers that there are then. */
static void choose_paging(struct world *w)
{
	struct paging *p = &w->regs[GUEST];
	bool on = run_chance(&w->run, 95);

	p->cr0 = X86_CR0_PE | (on ? X86_CR0_PG : 0) | flip(w, 60, X86_CR0_WP);
	p->efer = flip(w, 80, X86_EFER_NX);
	if (w->format >= FORMAT_4LEVEL)
		p->efer |= X86_EFER_LME | (on ? X86_EFER_LMA : 0);
	if (!on)
		p->cpl = 0;
}

void world_random_registers(struct world *w)
{
	struct paging *p = &w->regs[GUEST];

	choose_paging(w);
	p->cr4 = flip(w, 70, X86_CR4_PSE) | flip(w, 30, X86_CR4_SMEP) | flip(w, 20, X86_CR4_SMAP) |
		 flip(w, 30, X86_CR4_PKE) | flip(w, 50, X86_CR4_PGE);
	if (w->format != FORMAT_32BIT)
		p->cr4 |= X86_CR4_PAE;
	if (w->format == FORMAT_5LEVEL)
		p->cr4 |= X86_CR4_LA57;
	p->pkru = (uint32_t)(run_next(&w->run) & run_next(&w->run));
	world_set_paging(w, GUEST);
}

void world_load_root(struct world *w)
{
	const uint64_t *root = w->root[run_below(&w->run, N_ROOTS)];
	struct paging *p = &w->regs[GUEST];

	if (w->format == FORMAT_PAE)
		memcpy(p->pdptr, root, sizeof(p->pdptr));
	else
		p->cr3 = root[0] & ~0xfffull;
	world_set_paging(w, GUEST);
}

/* --- vCPU 1's own address space ---------------------------------------------- */

uint64_t world_window(uint64_t gpa)
{
	return 0xffff800000000000 + gpa;
}

static void make_window(struct world *w)
{
	const uint64_t all = GPTE_P | GPTE_W | GPTE_A | GPTE_D;

	store_everywhere(w, (OWN << 12) + 256 * 8, 8, (OWN + 1) << 12 | all);
	store_everywhere(w, (OWN + 1) << 12, 8, (OWN + 2) << 12 | all);
	store_everywhere(w, (OWN + 2) << 12, 8, (OWN + 3) << 12 | all);
	for (uint64_t gfn = 0; gfn < 64; gfn++)
		store_everywhere(w, ((OWN + 3) << 12) + gfn * 8, 8, gfn << 12 | all);
	w->regs[EDITOR] = (struct paging){
		.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP, .cr3 = OWN << 12,
		.cr4 = X86_CR4_PAE, .efer = X86_EFER_LME | X86_EFER_LMA,
		.maxphyaddr = w->regs[GUEST].maxphyaddr, .has_1g_pages = true,
	};
	world_set_paging(w, EDITOR);
}

/* --- a world ----------------------------------------------------------------- */

/* What the host offers, and what must not be seen. */
struct host {
	int level;
	bool eager;
	enum flush_policy policy;
	uint64_t generation;	/* near its end in tables, so that it begins again */
};

static void make_machine(struct world *w, int i, const struct host *host)
{
	vm_mode = i == SHADOW ? MMU_SHADOW : MMU_TDP;
	w->vm[i] = vm_make_sim(3, MEMORY);
	w->vm[i]->sim.level = host->level;
	w->vm[i]->sim.eager = host->eager;
	atomic32_store_relaxed(&w->vm[i]->mmu.flush_policy, host->policy);
	atomic64_store_relaxed(&w->vm[i]->slots.generation, host->generation);
}

void world_begin(struct world *w, uint64_t seed, unsigned int program)
{
	static const uint8_t widths[] = { 36, 39, 40, 48, 52 };
	struct host host;

	run_begin(&w->run, seed ^ (uint64_t)program << 32);
	w->run.seed = seed;
	w->program = program;
	w->now = 1;
	w->changed = w->flushed = 0;
	host = (struct host){
		.level = run_chance(&w->run, 50) ? LEVEL_2M : LEVEL_4K,
		.eager = run_chance(&w->run, 50),
		.policy = run_chance(&w->run, 70) ? FLUSH_IF_MMUW_CLEARED : FLUSH_IF_W_CLEARED,
		.generation = MMIO_GENERATION_MASK - run_below(&w->run, 20),
	};
	for (int i = 0; i < N_MACHINES; i++)
		make_machine(w, i, &host);
	w->flat = (struct flat){ .memory = calloc(MEMORY, PAGE_SIZE) };
	w->format = (enum guest_format)run_below(&w->run, N_FORMATS);
	w->regs[GUEST] = (struct paging){
		.maxphyaddr = widths[run_below(&w->run, ARRAY_SIZE(widths))],
		.has_1g_pages = run_chance(&w->run, 70),
	};
	for (uint32_t id = 0; id < FLAT_SLOTS; id++)
		world_slot(w, id, true, false);
	fill_tables(w);
	choose_roots(w);
	w->turn = 0;
	w->waiting.regs = w->regs[GUEST];
	for (int i = 0; i < 2; i++) {
		world_random_registers(w);
		world_load_root(w);
		world_take_turns(w);
	}
	world_random_gvas(w);
	make_window(w);
}

void world_end(struct world *w)
{
	for (int i = 0; i < N_MACHINES; i++)
		vm_free(w->vm[i]);
	free(w->flat.memory);
}

static void *by_tlb(struct mmu_vcpu *v, uint64_t gva, enum access access, unsigned int bytes)
{
	switch (access) {
	case ACCESS_READ:
		return tlb_read(v, gva_of(gva), bytes);
	case ACCESS_WRITE:
		return tlb_write(v, gva_of(gva), bytes);
	default:
		return tlb_exec(v, gva_of(gva));
	}
}

struct outcome world_access(struct mmu_vcpu *v, uint64_t gva, enum access access,
			    unsigned int bytes, uint64_t *value)
{
	struct mmu_result r = { 0 };
	struct outcome o = { 0 };

	guest_enter(v);
	o.host = by_tlb(v, gva, access, MAX(bytes, 1u));
	o.by_tlb = o.host;
	if (!o.by_tlb) {
		o.verdict = mmu_translate(v, gva_of(gva), access, &r);
		o.error_code = r.error_code;
		o.gpa = r.gpa.raw;
		o.host = o.verdict == MMU_OK ? r.host : NULL;
		if (o.host && r.tracked && bytes)
			mmu_track_write(v, r.gpa, bytes);
	}
	if (o.host && bytes && access == ACCESS_WRITE)
		guarded_copy(o.host, value, bytes);
	else if (o.host && bytes)
		guarded_copy(value, o.host, bytes);
	if (v->n_tracked)
		mmu_tracked_writes(v);
	guest_leave(v);
	return o;
}
