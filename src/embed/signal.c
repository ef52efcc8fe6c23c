/* SPDX-License-Identifier: MIT */
/*
 * embed/signal.c - <umbra/modes.h>: sigaction(2) beside the library's own handlers.
 */
#include <errno.h>
#include <signal.h>
#include <umbra/modes.h>

#include "base/guarded.h"
#include "sync/window.h"

int umbra_sigaction(int sig, const struct sigaction *new_action, struct sigaction *old_action)
{
	if (guarded_sigaction(sig, new_action, old_action))
		return 0;
	if (window_has_signal(sig)) {
		errno = EINVAL;
		return -1;
	}
	return sigaction(sig, new_action, old_action);
}
