/* SPDX-License-Identifier: MIT */
/*
 * tests/model/flat.h - a guest's memory and its page tables, naively: no TLB, no tables of
 * our own, one walk for every access.  From the manual (SDM 3A, chapter 4), and sharing
 * nothing with the code under test but the names of the registers.
 */
#ifndef MODEL_FLAT_H
#define MODEL_FLAT_H

#include "mmu/vcpu.h"

struct flat_slot {
	uint64_t gfn;
	uint64_t n_pages;	/* 0: there is no such slot */
	uint64_t first;		/* page of the memory */
	bool read_only, logged;
};

#define FLAT_SLOTS 5
#define FLAT_MAX_PAGES 2048

struct flat {
	uint8_t *memory;
	struct flat_slot slot[FLAT_SLOTS];
	uint64_t dirty[FLAT_MAX_PAGES / 64];	/* by page of the memory */
};

enum flat_kind { FLAT_RAM, FLAT_MMIO, FLAT_FAULT, FLAT_NO_TABLE };

struct flat_result {
	enum flat_kind kind;
	uint32_t error_code;	/* FLAT_FAULT */
	uint64_t gpa;		/* FLAT_RAM, FLAT_MMIO */
	uint8_t *at;		/* FLAT_RAM */
	/* The entries that were read. */
	uint64_t used[5];
	int n_used;
};

/* As the processor accesses memory now: sets A and D, and the dirty marks. */
void flat_access(struct flat *f, const struct paging *p, uint64_t gva, enum access access,
		 struct flat_result *r);
/* After a store to r->at. */
void flat_stored(struct flat *f, const struct flat_result *r);
/* NULL: no memory there. */
const struct flat_slot *flat_slot_at(const struct flat *f, uint64_t gpa);
uint8_t *flat_pointer(const struct flat *f, uint64_t gpa);

/* --- the pieces of a walk, for those who walk in another way ------------------ */

struct flat_walk {
	uint64_t table, gpa;
	bool user, write, execute_disable, dirty;
	unsigned int key;
};

enum flat_step { FLAT_TABLE, FLAT_LEAF, FLAT_ABSENT, FLAT_RESERVED };

/* The level of the first entry; 0: there is no paging; -1: not even a table. */
int flat_begin(const struct paging *p, uint64_t gva, struct flat_walk *w);
unsigned int flat_entry_bytes(const struct paging *p);
uint64_t flat_entry_gpa(const struct paging *p, int level, uint64_t table, uint64_t gva);
enum flat_step flat_step(const struct paging *p, int level, uint64_t entry, uint64_t gva,
			 struct flat_walk *w);
/* 0, or the bits of the error code that say why not. */
uint32_t flat_refuses(const struct paging *p, const struct flat_walk *w, enum access access);

#endif
