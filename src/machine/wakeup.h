/* SPDX-License-Identifier: MIT */
/*
 * machine/wakeup.h - how a vCPU that has nothing to do sleeps, and who wakes it.
 *
 * Whatever may end its sleep (an interrupt, an expired timer, INIT, SIPI, NMI, a signal) is set
 * first, in a place of its own, and then kicks: it sets a bit in one word, the vCPU's requests,
 * which it looks at in guest mode anyway.
 *
 *	owner				any other thread
 *	word &= ~bit  (take)		set what is to be found
 *	look: nothing			word |= bit   (kick)
 *	asleep = 1			asleep?  wake it
 *	word has no bit: sleep
 *
 * All four steps on the right of "(…)" and the store of asleep are full barriers.  Taken before
 * the look, a kick whose cause the look has missed is still there; asleep is set before the
 * word is read, and read after the word is set, so one of the two sees the other.  Other bits
 * of the word come and go without waking anyone: the sleeper reads the word and goes on sleeping.
 *
 * A deferred signal sets the bit from a handler on the owner's own thread, which ends its
 * sleep, or keeps it from beginning: the word is no longer what it was.
 */
#ifndef MACHINE_WAKEUP_H
#define MACHINE_WAKEUP_H

#include <stdbool.h>
#include <stdint.h>

#include "sync/atomic.h"
#include "sync/thread.h"

/* (c) constant after creation  (a) atomic */
struct wakeup {
	struct atomic32 *word;		/* (c) */
	uint32_t bit;			/* (c) of the word */
	struct atomic32 asleep;		/* (a) */
	struct thread_bell bell;	/* (a) */
};

void wakeup_init(struct wakeup *w, struct atomic32 *word, uint32_t bit);
void wakeup_destroy(struct wakeup *w);

/* Any thread, after it has set what the owner is to find. */
void wakeup_kick(struct wakeup *w);

/*
 * The owner sleeps until @look returns true.  It looks for a signal other than @blocked too: one
 * that comes later ends the sleep for another look.
 */
void wakeup_wait(struct wakeup *w, bool (*look)(void *arg), void *arg, thread_sigmask_t blocked);

#endif
