/* SPDX-License-Identifier: MIT */
/*
 * preload/signals/defer.h - the program's signal handlers, kept out of our calls.
 *
 * Every handler that the program installs through the C library is called by one of ours.  If the
 * thread is in a call (between the hold and the release of sync/thread.h), ours records the
 * signal, returns with all signals blocked, and kicks the vCPU; the release then calls the
 * handlers as the kernel would have (preload/signals/deliver.h).  Otherwise it calls the
 * program's at once.
 */
#ifndef PRELOAD_DEFER_H
#define PRELOAD_DEFER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* Called by the constructor: takes over the handlers already installed. */
void defer_begin(void);

/* What sigaction(2) means to the program, for every signal. */
int defer_sigaction(int sig, const struct sigaction *new_action, struct sigaction *old_action);

/* The thread's signal mask is about to be changed, or may have been. */
void defer_mask_changes(void);
/* True if the thread is in a call of ours, with handlers deferred. */
bool defer_is_holding(void);

#endif
