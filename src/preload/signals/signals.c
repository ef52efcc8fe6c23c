/* SPDX-License-Identifier: MIT */
/*
 * preload/signals/signals.c - the C library's signal functions, interposed.
 *
 * They call each other by internal names, so each one that sets an action is implemented here
 * with sigaction(2).  Those that change the thread's mask, jumps among them, only cause it to be
 * read again.
 */
#include "preload/next.h"

#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/system_call.h"
#include "preload/preload.h"
#include "preload/signals/defer.h"
#include "sync/thread.h"

static int set_action(int sig, const struct sigaction *new_action, struct sigaction *old_action)
{
	return preload_is_off() ? NEXT(sigaction)(sig, new_action, old_action) :
				  defer_sigaction(sig, new_action, old_action);
}

EXPORT int sigaction(int sig, const struct sigaction *new_action, struct sigaction *old_action)
{
	return set_action(sig, new_action, old_action);
}

/* The C library's other name for it. */
int __sigaction(int sig, const struct sigaction *new_action, struct sigaction *old_action);
EXPORT int __sigaction(int sig, const struct sigaction *new_action, struct sigaction *old_action)
{
	return set_action(sig, new_action, old_action);
}

static sighandler_t set_handler(int sig, sighandler_t handler, int flags, bool blocks_itself)
{
	struct sigaction new_action = { .sa_handler = handler, .sa_flags = flags };
	struct sigaction old_action;

	if (handler == SIG_ERR) {
		errno = EINVAL;
		return SIG_ERR;
	}
	sigemptyset(&new_action.sa_mask);
	if (blocks_itself && sigaddset(&new_action.sa_mask, sig))
		return SIG_ERR;
	return set_action(sig, &new_action, &old_action) ? SIG_ERR : old_action.sa_handler;
}

/* (a) what siginterrupt(3) has set for future actions. */
static uint64_t interrupting;

static sighandler_t set_bsd(int sig, sighandler_t handler)
{
	uint64_t all = __atomic_load_n(&interrupting, __ATOMIC_RELAXED);
	bool interrupts = sig > 0 && sig <= 64 && (all & 1ull << (sig - 1));

	return set_handler(sig, handler, interrupts ? 0 : SA_RESTART, true);
}

EXPORT sighandler_t signal(int sig, sighandler_t handler)
{
	return set_bsd(sig, handler);
}

EXPORT sighandler_t ssignal(int sig, sighandler_t handler)
{
	return set_bsd(sig, handler);
}

/* No header declares it any more. */
sighandler_t bsd_signal(int sig, sighandler_t handler);
EXPORT sighandler_t bsd_signal(int sig, sighandler_t handler)
{
	return set_bsd(sig, handler);
}

/* One-shot, and not blocking itself. */
EXPORT sighandler_t sysv_signal(int sig, sighandler_t handler)
{
	return set_handler(sig, handler, (int)(SA_RESETHAND | SA_NODEFER), false);
}

EXPORT sighandler_t __sysv_signal(int sig, sighandler_t handler)
{
	return set_handler(sig, handler, (int)(SA_RESETHAND | SA_NODEFER), false);
}

EXPORT int siginterrupt(int sig, int interrupts)
{
	struct sigaction action;
	uint64_t bit;

	if (set_action(sig, NULL, &action))
		return -1;
	bit = 1ull << (sig - 1);
	if (interrupts) {
		__atomic_fetch_or(&interrupting, bit, __ATOMIC_RELAXED);
		action.sa_flags &= ~SA_RESTART;
	} else {
		__atomic_fetch_and(&interrupting, ~bit, __ATOMIC_RELAXED);
		action.sa_flags |= SA_RESTART;
	}
	return set_action(sig, &action, NULL);
}

EXPORT int sigignore(int sig)
{
	return set_handler(sig, SIG_IGN, 0, false) == SIG_ERR ? -1 : 0;
}

/* --- the mask ---------------------------------------------------------------- */

static int change_mask(int how, const sigset_t *set, sigset_t *old)
{
	defer_mask_changes();
	return NEXT(sigprocmask)(how, set, old);
}

EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	return change_mask(how, set, old);
}

/* The C library's function unblocks its own two signals, whatever the set says. */
static int change_all(int how, const sigset_t *set, sigset_t *old)
{
	if (old)
		sigemptyset(old);
	return system_call(SYS_rt_sigprocmask, how, (long)set, (long)old, sizeof(uint64_t), 0, 0) ?
		       errno :
		       0;
}

/*
 * liburcu calls it around the registration of a thread, to keep handlers out.  There they are
 * already kept out; and a filter of the client's may forbid the system call.  Where the mask
 * keeps them out, the cancellation signal must stay blocked too.
 */
EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	if (defer_is_holding()) {
		if (old)
			sigemptyset(old);
		return 0;
	}
	if (thread_is_in_library)
		return change_all(how, set, old);
	defer_mask_changes();
	return NEXT(pthread_sigmask)(how, set, old);
}

static int change_one(int how, int sig, sigset_t *old)
{
	sigset_t set;

	sigemptyset(&set);
	if (sigaddset(&set, sig))
		return -1;
	return change_mask(how, &set, old);
}

EXPORT int sighold(int sig)
{
	return change_one(SIG_BLOCK, sig, NULL);
}

EXPORT int sigrelse(int sig)
{
	return change_one(SIG_UNBLOCK, sig, NULL);
}

/* SIG_HOLD blocks, anything else unblocks; the previous state is returned as SIG_HOLD
 * likewise. */
EXPORT sighandler_t sigset(int sig, sighandler_t handler)
{
	struct sigaction action;
	sighandler_t was;
	sigset_t old;

	if (handler != SIG_HOLD) {
		was = set_handler(sig, handler, 0, false);
		if (was == SIG_ERR || change_one(SIG_UNBLOCK, sig, &old))
			return SIG_ERR;
		return sigismember(&old, sig) == 1 ? SIG_HOLD : was;
	}
	if (change_one(SIG_BLOCK, sig, &old))
		return SIG_ERR;
	if (sigismember(&old, sig) == 1)
		return SIG_HOLD;
	return set_action(sig, NULL, &action) ? SIG_ERR : action.sa_handler;
}

#define DEFINE_OLD_MASK_CALL(name)                  \
	int name(int mask);                         \
	EXPORT int name(int mask)                   \
	{                                           \
		defer_mask_changes();               \
		return NEXT(name)(mask);            \
	}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
DEFINE_OLD_MASK_CALL(sigblock)
DEFINE_OLD_MASK_CALL(sigsetmask)
#pragma GCC diagnostic pop

/* --- what changes it by the way ---------------------------------------------- */

#define DEFINE_JUMP(name)                                               \
	void name(sigjmp_buf to, int value) __attribute__((noreturn));  \
	EXPORT void name(sigjmp_buf to, int value)                      \
	{                                                               \
		if (to->__mask_was_saved)                               \
			defer_mask_changes();                           \
		NEXT(name)(to, value);                                  \
		__builtin_unreachable();                                \
	}

DEFINE_JUMP(longjmp)
DEFINE_JUMP(_longjmp)
DEFINE_JUMP(siglongjmp)
DEFINE_JUMP(__longjmp_chk)

EXPORT int setcontext(const ucontext_t *to)
{
	defer_mask_changes();
	return NEXT(setcontext)(to);
}

/* A thread that returns here has called one of the two. */
EXPORT int swapcontext(ucontext_t *from, const ucontext_t *to)
{
	defer_mask_changes();
	return NEXT(swapcontext)(from, to);
}
