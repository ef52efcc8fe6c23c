/* SPDX-License-Identifier: MIT */
/*
 * preload/defer.h - the program's signal handlers, kept out of our calls.
 *
 * Every handler that the program installs by way of the C library stands behind one
 * of ours.  If that finds the thread in a call (between the hold and the release of
 * sync/thread.h) it notes the signal, has all signals blocked when it returns, and
 * kicks the vCPU; the release calls the handlers as the kernel would have called
 * them then (preload/deliver.h).  Else it calls the program's at once.
 */
#ifndef PRELOAD_DEFER_H
#define PRELOAD_DEFER_H

#include <signal.h>
#include <stdint.h>

/* From the constructor on: takes over the handlers that are there already. */
void defer_begin(void);

/* What sigaction(2) means to the program, for every signal. */
int defer_sigaction(int sig, const struct sigaction *new_action, struct sigaction *old_action);

/* The thread's signal mask is about to be changed, or may have been. */
void defer_mask_changes(void);
/* Is the thread in a call of ours, with handlers held back? */
bool defer_is_holding(void);

#endif
