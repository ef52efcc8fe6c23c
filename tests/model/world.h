/* SPDX-License-Identifier: MIT */
/*
 * tests/model/world.h - one guest on three machines: direct tables, shadow tables, and the
 * naive one (flat.h).  Its tables are random, in a few frames that point at each other.
 *
 * vCPUs 0 and 2 are the guest under test, by turns: with the same tables, and registers
 * of their own.  vCPU 1 has an address space of its own, in which every frame can be
 * written: it changes the tables as a guest does, through the MMU.
 */
#ifndef MODEL_WORLD_H
#define MODEL_WORLD_H

#include "flat.h"
#include "vm_fixture.h"

#include "mmu/guest/x86.h"

/* Guest memory: small pages, some of them read-only, some far up; and a large slot. */
#define SMALL 48u		/* frames from 0 */
#define ROM 8u			/* frames behind them */
#define OWN 60u			/* vCPU 1's own tables: frames 60 to 63, in no other use */
#define HIGH_GFN 0x100000u	/* 4 GiB: for PSE-36 */
#define BIG_GFN 0x40000u	/* 1 GiB */
#define BIG 1024u
#define MEMORY (64u + 8u + 440u + BIG)	/* the big slot begins at a multiple of 2 MiB */
#define BIG_FIRST 512u

#define N_GVAS 64
#define N_ROOTS 3

enum { TDP, SHADOW, N_MACHINES };

enum guest_format { FORMAT_32BIT, FORMAT_PAE, FORMAT_4LEVEL, FORMAT_5LEVEL, N_FORMATS };

struct world {
	struct run run;
	unsigned int program;
	struct test_vm *vm[N_MACHINES];
	struct flat flat;
	enum guest_format format;
	/* Of the guest's vCPU whose turn it is, and of vCPU 1; the same on every machine. */
	struct paging regs[2];
	unsigned int turn;		/* vCPU 0 or 2 */
	uint64_t root[N_ROOTS][4];	/* CR3, or four PDPTEs */
	uint64_t gva[N_GVAS];
	/* What it has asked to be forgotten: times of changes and flushes. */
	uint64_t now, changed, flushed, flushed_gva[N_GVAS];
	struct waiting {		/* the same of the one whose turn it is not */
		struct paging regs;
		uint64_t flushed, flushed_gva[N_GVAS];
	} waiting;
	uint64_t fail_in;		/* the allocation that fails in the next access */
	uint64_t n_accesses, n_kinds[4], n_changes;
};

void world_begin(struct world *w, uint64_t seed, unsigned int program);
void world_end(struct world *w);

_Noreturn void world_fail(const struct world *w, int machine, const char *what);
#define world_check(w, machine, cond)                            \
	do {                                                     \
		if (!(cond))                                     \
			world_fail(w, machine, #cond);           \
	} while (0)

enum who { GUEST, EDITOR };

static inline struct mmu_vcpu *world_vcpu(struct world *w, int machine, enum who who)
{
	return &w->vm[machine]->vcpu[who == EDITOR ? 1 : w->turn];
}

/* The other one of the guest's vCPUs has its turn. */
void world_take_turns(struct world *w);

/* The same change on every machine. */
void world_set_paging(struct world *w, enum who who);
void world_set_privilege(struct world *w);
void world_slot(struct world *w, uint32_t id, bool present, bool logged);

/* The guest's registers take other values. */
void world_random_rights(struct world *w);	/* without a flush */
void world_random_registers(struct world *w);
void world_load_root(struct world *w);
void world_random_gvas(struct world *w);

/* An entry for a table of @level, and where the tables that the guest uses have entries. */
uint64_t world_random_entry(struct world *w, int level);
unsigned int world_random_offset(struct world *w);
uint64_t world_random_table(struct world *w);

/* Where vCPU 1 has it, of the first 64 frames. */
uint64_t world_window(uint64_t gpa);
int world_levels(const struct world *w);

/* One access of one machine's vCPU, as its processor makes it; a write stores *value, a
 * read fetches it, if @bytes is not 0. */
struct outcome {
	enum mmu_verdict verdict;
	uint32_t error_code;
	uint64_t gpa;		/* of MMIO; of memory only if the TLB did not answer */
	uint8_t *host;
	bool by_tlb;
};
struct outcome world_access(struct mmu_vcpu *v, uint64_t gva, enum access access,
			    unsigned int bytes, uint64_t *value);

#endif
