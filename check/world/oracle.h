/* SPDX-License-Identifier: MIT */
/*
 * check/world/oracle.h - what a guest and a client may see, kept apart from what is judged.
 *
 *   O1  freed page      check/world/host.c: the frame itself knows
 *   O2  lost dirty page a copy kept by the log differs at the end from the memory
 *   O3  stale right     check/world/host.c; a write-tracked table differs from its shadow
 *   O4  MMIO and RAM    an access went where no table of slots that was current at some
 *                       moment of it says
 *   O5  memory safety   check/engine/memory.c, check/engine/arena.c, bug_on()
 *   O6  progress        check/engine/sched.c
 *
 * None looks at a structure of mem/ or mmu/.
 */
#ifndef CHECK_WORLD_ORACLE_H
#define CHECK_WORLD_ORACLE_H

#include "base/types.h"

#define ORACLE_GFNS 2048u
#define ORACLE_CONSUMERS 2u

void oracle_begin_run(void);
/* For the checker's own tests: nothing is noticed. */
extern bool oracle_is_blind;

/* --- O4 ---------------------------------------------------------------------------- */

/* Where guest frames lead: to a host page, or nowhere. */
#define ORACLE_NOWHERE UINT16_MAX

/* A call that changes slots begins, for frame @gfn ... */
void oracle_change_begin(void);
void oracle_change(uint64_t gfn, unsigned int page);
/* ... and has returned. */
void oracle_change_end(void);
/* vCPU @n's access to @gfn; at its end, where it went. */
void oracle_access_begin(unsigned int n, uint64_t gfn);
void oracle_access_end(unsigned int n, uint64_t gfn, unsigned int page);

/* --- O2 ---------------------------------------------------------------------------- */

/* vCPU @n wrote to host page @page: for the sentence. */
void oracle_wrote(unsigned int n, unsigned int page);
/* The consumer copies this host page now. */
void oracle_copy(unsigned int consumer, unsigned int page);
/* All pages are to be alike now. */
void oracle_compare(unsigned int consumer, unsigned int first, unsigned int n);

#endif
