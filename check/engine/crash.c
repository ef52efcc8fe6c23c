/* SPDX-License-Identifier: MIT */
#include "check/engine/crash.h"

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "base/bug.h"
#include "base/types.h"
#include "check/engine/sched.h"

#define STACK_BYTES (64u << 10)

static char stack[STACK_BYTES] __attribute__((aligned(64)));
static int crash_signal;
static void *crash_address;

/* In the place of base/bug.c. */
void bug(const char *file, int line, const char *what)
{
	const char *name = strrchr(file, '/');

	if (!sched_is_in_run())
		abort();
	sched_fail(VERDICT_MEMORY, "bug_on(%s) at %s:%d, in %s", what, name ? name + 1 : file, line,
		   sched_thread_name(sched_self()));
	abort();
}

static void landing(void)
{
	sched_fail(VERDICT_MEMORY, "%s in %s at address %p",
		   crash_signal == SIGFPE ? "arithmetic fault" :
					    "access to memory that is not there",
		   sched_thread_name(sched_self()), crash_address);
	abort();
}

static void on_crash(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	if (!sched_is_in_run()) {
		signal(sig, SIG_DFL);
		return;
	}
	crash_signal = sig;
	crash_address = info->si_addr;
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)landing;
	/* As after a call: 8 below a multiple of 16. */
	uc->uc_mcontext.gregs[REG_RSP] = (greg_t)(uintptr_t)(stack + STACK_BYTES - 8);
}

void crash_catch(void)
{
	static char signal_stack[64 << 10];
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	struct sigaction action = {
		.sa_sigaction = on_crash,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER,
	};
	stack_t alternative = { .ss_sp = signal_stack, .ss_size = sizeof(signal_stack) };

	sigaltstack(&alternative, NULL);
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &action, NULL);
}
