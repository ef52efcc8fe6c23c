/* SPDX-License-Identifier: MIT */
#include "check/generate/world.h"

#include "check/engine/sched.h"
#include "check/world/halt.h"
#include "check/world/machine.h"
#include "check/world/oracle.h"
#include "mmu/mmu.h"

static const uint16_t watched[] = { 2, 3, 512, 514 };
/* The tables of the third root. */
#define ROOT_3_PDPT 17u
#define ROOT_3_PD 18u
#define ROOT_3_PT 19u

unsigned int world_host_pages(const struct generated *g)
{
	return g->options & WORLD_paged ? 24 : g->options & WORLD_huge ? 1024 :
	       g->options & WORLD_full ? 528 : 14;
}

bool world_is_watched(uint16_t page)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(watched); i++)
		if (watched[i] == page)
			return true;
	return false;
}

/* --- at first ------------------------------------------------------------------- */

static struct machine_options machine_options(const struct generated *g)
{
	uint32_t o = g->options;

	return (struct machine_options){
		.vcpus = program_vcpus(g),
		.host_pages = world_host_pages(g),
		.level = o & WORLD_huge ? LEVEL_2M : LEVEL_4K,
		.rings = o & WORLD_ring,
		.ring_entries = o & WORLD_smallring ? 64 + 2 : 0,
		.manual_protect = o & WORLD_manual,
		.initially_set = o & WORLD_initial,
		.loses_translations = o & WORLD_forgets,
		.cannot_interrupt = o & WORLD_waits,
		.page_limit = o & WORLD_limit ? 9 : 0,
	};
}

static void poke_table(unsigned int table, unsigned int i, uint64_t gfn)
{
	host_poke(table, i * 8, gpte(gfn, GPTE_ALL));
}

static void make_tables(const struct generated *g)
{
	bool slot = g->options & WORLD_slot;

	poke_table(GUEST_PD, 1, slot ? WORLD_TABLE_GFN : GUEST_PT2);
	poke_table(GUEST_PT2, 0, 2);
	poke_table(GUEST_PT2, 2, 2);
	poke_table(WORLD_THIRD_TABLE, 0, 3);
	poke_table(WORLD_THIRD_TABLE, 2, 3);
	poke_table(WORLD_ROOT_3, 0, ROOT_3_PDPT);
	poke_table(ROOT_3_PDPT, 0, ROOT_3_PD);
	poke_table(ROOT_3_PD, 0, ROOT_3_PT);
	for (unsigned int i = 0; i < GUEST_PAGES; i++)
		poke_table(ROOT_3_PT, i, i == 2 ? 3 : i);
	/* Of slot 1, and of what may come in its place. */
	poke_table(20, 0, 2);
	poke_table(21, 0, 3);
	if (g->options & WORLD_alias)
		poke_table(GUEST_PT, WORLD_TABLE_ALIAS, GUEST_PT);
}

void world_make(const struct generated *g)
{
	uint32_t flags = g->options & WORLD_log ? KVM_MEM_LOG_DIRTY_PAGES : 0;

	if (g->options & WORLD_paged) {
		guest_make(machine_options(g), flags);
		make_tables(g);
		for (unsigned int i = 0; i < ARRAY_SIZE(watched); i++)
			guest_watch((uint64_t)watched[i] << PAGE_SHIFT);
	} else {
		machine_make(machine_options(g));
	}
	client_begin_run(g);
	if (g->options & WORLD_halt)
		halt_make();
	if (g->options & WORLD_oldflush)
		vm->mmu.flush_policy.v = FLUSH_IF_W_CLEARED;
	if (g->options & WORLD_awaited)
		host_await(WORLD_AWAITED);
}

/* --- at last -------------------------------------------------------------------- */

static bool uses(const struct generated_thread *t, uint16_t *pages, unsigned int *n)
{
	for (unsigned int i = 0; i < t->n; i++) {
		bool known = t->op[i].kind != OP_read && t->op[i].kind != OP_write &&
			     t->op[i].kind != OP_execute;

		for (unsigned int k = 0; k < *n; k++)
			known |= pages[k] == t->op[i].a;
		if (!known)
			pages[(*n)++] = t->op[i].a;
	}
	return *n;
}

static void look_at_pages(const struct generated *g, unsigned int n)
{
	uint16_t pages[PROGRAM_THREADS * PROGRAM_LENGTH];
	unsigned int n_pages = 0;

	for (unsigned int t = 0; t < g->n_threads; t++)
		uses(&g->thread[t], pages, &n_pages);
	for (unsigned int i = 0; i < n_pages; i++)
		guest_do((struct operation){ OP_read, (uint8_t)n, pages[i], pages[i] });
}

/* Each access is judged as any other is. */
void world_finish(const struct generated *g)
{
	client_compare();
	for (unsigned int n = 0; n < vm->n_vcpus && !sched_has_failed(); n++) {
		look_at_pages(g, n);
		vcpu_stop(n);
	}
}
