/* SPDX-License-Identifier: MIT */
/*
 * check/world/copies.h - oracle O2: no write is lost to the dirty log.
 *
 * Two ways to see it.  A call that hands out the log is compared when it returns with what the
 * guest had written before the call began (copies_call_*).  And clients keep copies of the
 * guest's memory by what the log tells them: in the end these are like the memory, whole pages of
 * it (oracle_copy(), oracle_compare()).
 *
 * Pages are those of the host, so that a slot may move.
 */
#ifndef CHECK_WORLD_COPIES_H
#define CHECK_WORLD_COPIES_H

#include "base/types.h"

#define COPIES_CONSUMERS 2u
/* Of a slot, the pages that a call of these answers for. */
#define COPIES_PAGES 64u

void copies_begin_run(void);

/*
 * A vCPU's thread writes to @page, in this step.  The log has to tell of it when the instruction
 * has ended: with this step, or, for a write to a table that is tracked and for accessed and dirty
 * bits, whose pages are marked afterwards, at the end of the access.  And when no other vCPU is in
 * an access: it may have made the page writable, for all, and be about to mark it (as in KVM).
 */
void copies_written(unsigned int page);
void copies_write_ends_now(unsigned int page);
void copies_access_ends(void);

/* --- what a call hands out ----------------------------------------------------------- */

/* A log of these pages, at most COPIES_PAGES, begins: the call that began it has returned.  The
 * client knows that it has to copy them all.  Or it ends. */
void copies_log_begins(unsigned int first, unsigned int n);
void copies_log_ends(unsigned int first, unsigned int n);

struct copies_call {
	unsigned int first, n;
	uint32_t ended[COPIES_PAGES];	/* when it began: writes that had ended */
};

/* A call that is to hand out the log of these pages begins ... */
void copies_call_begins(struct copies_call *c, unsigned int first, unsigned int n);
/* ... and has returned.  Bit i of @told: page first + i is in the log that it handed out. */
void copies_call_returns(const struct copies_call *c, uint64_t told);

/* --- copies kept by the log ---------------------------------------------------------- */

/* The consumer copies this host page now. */
void oracle_copy(unsigned int consumer, unsigned int page);
/* The pages are to be alike now. */
void oracle_compare(unsigned int consumer, unsigned int first, unsigned int n);

#endif
