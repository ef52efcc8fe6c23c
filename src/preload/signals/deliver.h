/* SPDX-License-Identifier: MIT */
/*
 * preload/signals/deliver.h - delivers a signal as the kernel does.
 *
 * The only way to set a thread's signal mask that no seccomp filter forbids is to return from a
 * signal handler: rt_sigreturn(2) restores the mask, like all registers, from a frame on the
 * stack.  We build such frames ourselves.
 */
#ifndef PRELOAD_DELIVER_H
#define PRELOAD_DELIVER_H

#include <signal.h>
#include <stdint.h>

struct deferred_signal {
	siginfo_t info;
	uint64_t mask;		/* of the thread, once the handler has returned */
	uint64_t handler_mask;	/* while it runs */
	stack_t stack;		/* the thread's alternate one */
	int flags;		/* SA_ONSTACK */
	void (*handler)(int sig, siginfo_t *info, void *context);
};

/* Calls the handler, on its stack and with its mask, and leaves the thread with @s->mask, unless
 * the handler changed it. */
void deliver_signal(const struct deferred_signal *s);
/* Sets the thread's mask. */
void deliver_mask(uint64_t mask);

#endif
