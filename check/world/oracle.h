/* SPDX-License-Identifier: MIT */
/*
 * check/world/oracle.h - what a guest and a client may see, kept apart from what is judged.
 *
 *   O1  freed page      check/world/host.c: the frame itself knows
 *   O2  lost dirty page check/world/copies.h: what the log told, and copies kept by it
 *   O3  stale right     check/world/host.c; check/world/guest.c: the guest's tables;
 *                       check/world/ages.h: which pages are young
 *   O4  MMIO and RAM    here: an access went where no table of slots says that was
 *                       current at some moment of it
 *   O5  memory safety   check/engine/memory.c, check/engine/arena.c, bug_on()
 *   O6  progress        check/engine/sched.c
 *
 * None looks at a structure of mem/ or mmu/; but see check/world/tlb_log.h.
 */
#ifndef CHECK_WORLD_ORACLE_H
#define CHECK_WORLD_ORACLE_H

#include "base/types.h"

/* Guest frames, and pages of the host, that oracles follow. */
#define ORACLE_GFNS 2048u

void oracle_begin_run(void);
/* For the checker's own tests: nothing is noticed. */
extern bool oracle_is_blind;

/* Where a guest frame leads: to a host page, or nowhere. */
#define ORACLE_NOWHERE UINT16_MAX

/*
 * A thread's call that changes slots begins; @gfn is to lead to @page, from where the guest may
 * only read if @read_only; the call has returned.  Until then an access may find the old place or
 * the new.  Two calls at the same time must not change the same frame.
 */
void oracle_change_begin(void);
void oracle_change(uint64_t gfn, unsigned int page, bool read_only);
void oracle_change_end(void);

/* An access of vCPU @n begins, and ends: what is asked from then on until it is judged is about
 * the time between. */
void oracle_access_begin(unsigned int n);
void oracle_access_end(unsigned int n);
void oracle_access_judged(unsigned int n);
/* The step that follows is ordered with the beginnings and ends of accesses. */
void oracle_order_with_accesses(void);
/* Is a vCPU of another thread in the middle of one? */
bool oracle_others_access(int thread);

/* Might @gfn lead to @page in this time, or was it the client's to answer (ORACLE_NOWHERE)? */
bool oracle_may_reach(unsigned int n, uint64_t gfn, unsigned int page, bool write);
/* Might any frame? */
bool oracle_may_see(unsigned int n, unsigned int page);
/* Fails if it might not. */
void oracle_judge_place(unsigned int n, uint64_t gfn, unsigned int page, bool write);

/*
 * For the step in which memory is accessed: does the client change slots in this program, so that
 * the step has to be a point?  The step is ordered with its calls.  Does a frame lead to @page now,
 * or is about to, or has no call that ends that returned yet?
 */
bool oracle_slots_change(void);
void oracle_note_step(void);
bool oracle_shows(unsigned int page, bool write);

/* Where it leads now; while a call changes that, to the new place. */
unsigned int oracle_place_of(uint64_t gfn);

#endif
