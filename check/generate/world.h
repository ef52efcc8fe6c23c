/* SPDX-License-Identifier: MIT */
/*
 * check/generate/world.h - the world of a generated scenario, and how an operation is done in it.
 *
 * Without page tables slot 0 has guest frames 0..3, slot 1 frames 4 and 5, slot 2 frames 8..11
 * with the memory of slot 0; elsewhere is nothing.  With page tables it is the guest of
 * check/world/guest.h, with a second table for 2 MiB .. 4 MiB (pages 512 and 514), a third root
 * in which page 2 is another frame, and in slot 1 a frame that can be that second table.
 */
#ifndef CHECK_GENERATE_WORLD_H
#define CHECK_GENERATE_WORLD_H

#include "check/generate/program.h"
#include "check/world/guest.h"

#define WORLD_VCPUS MACHINE_VCPUS
#define WORLD_SLOTS 3u
#define WORLD_FLAT_GFNS 20u
#define WORLD_AWAITED 13u	/* host page */
#define WORLD_THIRD_TABLE 14u
#define WORLD_TABLE_ALIAS 15u	/* GUEST_PT, by another address */
#define WORLD_ROOT_3 16u
#define WORLD_TABLE_GFN 32u	/* slot 1, with page tables */

unsigned int world_host_pages(const struct generated *g);
/* May the guest's tables change where this page of addresses leads? */
bool world_is_watched(uint16_t page);

void world_make(const struct generated *g);
/* The last look. */
void world_finish(const struct generated *g);

void guest_do(struct operation o);
void client_do(struct operation o);
void host_do(struct operation o);

/* --- between them ------------------------------------------------------------------ */

/* The client begins a run: what it knows of slots, of which slot 0 is made. */
void client_begin_run(const struct generated *g);
/* All logs are taken once more: copies are like the memory. */
void client_compare(void);
/* The contents of host pages @first..@last changed by no guest's doing. */
void client_ignore_pages(unsigned int first, unsigned int last);

#endif
