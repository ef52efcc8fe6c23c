/* SPDX-License-Identifier: MIT */
/*
 * base/guarded.c - the signal handler behind base/guarded.h.
 *
 * A fault whose program counter is in the fixup table resumes at the entry's
 * label.  Every other fault is the program's: its handler (from before our
 * installation or handed to guarded_sigaction() since) is called as the kernel
 * would have called it, and without one the program dies of the signal.
 */
#include "base/guarded.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "base/bug.h"

struct fixup_entry {
	int32_t insn;	/* relative to this field */
	int32_t resume;	/* relative to this field */
};

extern const struct fixup_entry fixup_start[] __asm__("__start_umbra_fixup")
	__attribute__((visibility("hidden")));
extern const struct fixup_entry fixup_stop[] __asm__("__stop_umbra_fixup")
	__attribute__((visibility("hidden")));

struct taken_signal {
	int sig;
	bool taken;
	struct sigaction program;	/* what the program believes is installed */
};

static struct taken_signal taken[] = { { .sig = SIGSEGV }, { .sig = SIGBUS } };
static pthread_mutex_t taken_lock = PTHREAD_MUTEX_INITIALIZER;

static struct taken_signal *find_taken(int sig)
{
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		if (taken[i].sig == sig)
			return &taken[i];
	return NULL;
}

static uintptr_t relative(const int32_t *field)
{
	return (uintptr_t)field + (intptr_t)*field;
}

/* Linear on purpose: a fault is rare and the table small. */
static uintptr_t find_fixup(uintptr_t pc)
{
	for (const struct fixup_entry *e = fixup_start; e < fixup_stop; e++)
		if (relative(&e->insn) == pc)
			return relative(&e->resume);
	return 0;
}

static void die_of(int sig)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };

	/* The faulting instruction runs again and meets the default action. */
	sigaction(sig, &dfl, NULL);
}

static void pass_on(struct taken_signal *t, siginfo_t *info, void *context)
{
	struct sigaction action = t->program;
	sigset_t mask, saved;

	if (!(action.sa_flags & SA_SIGINFO) &&
	    (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN)) {
		die_of(t->sig);
		return;
	}
	if (action.sa_flags & SA_RESETHAND)
		t->program.sa_handler = SIG_DFL;

	mask = action.sa_mask;
	if (!(action.sa_flags & SA_NODEFER))
		sigaddset(&mask, t->sig);
	pthread_sigmask(SIG_BLOCK, &mask, &saved);
	if (action.sa_flags & SA_SIGINFO)
		action.sa_sigaction(t->sig, info, context);
	else
		action.sa_handler(t->sig);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	int saved_errno = errno;
	ucontext_t *uc = context;
	uintptr_t resume = find_fixup((uintptr_t)uc->uc_mcontext.gregs[REG_RIP]);

	if (resume)
		uc->uc_mcontext.gregs[REG_RIP] = (greg_t)resume;
	else
		pass_on(find_taken(sig), info, context);
	errno = saved_errno;
}

int guarded_install(void)
{
	struct sigaction action = {
		.sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER,
	};
	int err = 0;

	sigemptyset(&action.sa_mask);
	pthread_mutex_lock(&taken_lock);
	for (size_t i = 0; i < ARRAY_SIZE(taken) && !err; i++) {
		if (taken[i].taken)
			continue;
		if (sigaction(taken[i].sig, &action, &taken[i].program))
			err = -errno;
		else
			taken[i].taken = true;
	}
	pthread_mutex_unlock(&taken_lock);
	return err;
}

bool guarded_sigaction(int sig, const struct sigaction *new_action, struct sigaction *old_action)
{
	struct taken_signal *t = find_taken(sig);
	struct sigaction old;
	bool ours = false;

	if (!t)
		return false;

	pthread_mutex_lock(&taken_lock);
	if (t->taken) {
		ours = true;
		old = t->program;
		if (new_action)
			t->program = *new_action;
		if (old_action)
			*old_action = old;
	}
	pthread_mutex_unlock(&taken_lock);
	return ours;
}
