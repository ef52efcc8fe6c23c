/* SPDX-License-Identifier: MIT */
#include "preload/next.h"

#include "preload/signals/defer.h"

#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/guarded.h"
#include "base/log.h"
#include "preload/signals/deliver.h"
#include "sync/atomic.h"
#include "sync/thread.h"
#include "sync/window.h"

#define N_SIGNALS 65
/* Signals that arrive at the same instant; any later one is blocked. */
#define MAX_DEFERRED 8

/*
 * The program's actions.  A handler reads its own word, which stays valid once the first handler
 * is installed; the rest is for sigaction(2) and for deferred signals.
 */
static struct {
	void (*handler)(int sig, siginfo_t *info, void *context); /* (a) */
	struct sigaction action; /* [actions_lock] */
} actions[N_SIGNALS];
static char actions_lock;
static bool is_on;	/* (c) since defer_begin() */

/* Per thread: accessed only by the thread and its handlers. guarded_holds is the depth of its
 * calls. */
static __thread struct {
	struct atomic32 n;		/* deferred: a futex too */
	struct deferred_signal deferred[MAX_DEFERRED];
	bool has_opened;		/* SIGNALS_NEEDED were blocked: they are not now */
} self __attribute__((tls_model("initial-exec")));

#define barrier() __atomic_signal_fence(__ATOMIC_SEQ_CST)

static void trampoline(int sig, siginfo_t *info, void *context);

static uint32_t n_deferred(void)
{
	return atomic32_load_relaxed(&self.n);
}

/* --- the handler that the kernel knows ------------------------------------- */

/* With all signals blocked: otherwise it would arrive at once, find no slot either, and so on. */
static void requeue(int sig, siginfo_t *info)
{
	static const uint64_t all = ~SIGNALS_NEEDED;

	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, sizeof(all));
	syscall(SYS_rt_tgsigqueueinfo, (pid_t)syscall(SYS_getpid), (pid_t)syscall(SYS_gettid), sig,
		info);
}

static uint64_t mask_of(const sigset_t *set)
{
	uint64_t mask;

	memcpy(&mask, set, sizeof(mask));
	return mask;
}

static uint64_t mask_in_handler(int sig, const struct sigaction *action, uint64_t mask)
{
	mask |= mask_of(&action->sa_mask);
	return action->sa_flags & SA_NODEFER ? mask : mask | SIGNAL_BIT(sig);
}

/*
 * Reserve the entry first: until the first handler has returned, and so blocked all signals,
 * others may interrupt it at any instruction, and reserve their own.  Entries are read only after
 * all of them have returned.
 */
static bool note_signal(int sig, const siginfo_t *info, const ucontext_t *uc)
{
	uint32_t place = atomic32_fetch_add(&self.n, 1);
	struct deferred_signal *d = &self.deferred[place];
	uint64_t mask = mask_of(&uc->uc_sigmask);

	if (place >= MAX_DEFERRED) {
		atomic32_fetch_add(&self.n, (uint32_t)-1);
		return false;
	}
	if (self.has_opened)
		mask |= guarded_mask.mask & SIGNALS_NEEDED;
	d->info = *info;
	d->mask = mask;
	d->stack = uc->uc_stack;
	d->flags = actions[sig].action.sa_flags;
	d->handler = __atomic_load_n(&actions[sig].handler, __ATOMIC_RELAXED);
	barrier();
	return true;
}

/* The mask before the first of them: a handler that interrupted another saw a larger one. */
static uint64_t mask_before(const struct deferred_signal *list, unsigned int n)
{
	uint64_t mask = ~0ull;

	for (unsigned int i = 0; i < n; i++)
		mask &= list[i].mask;
	return mask;
}

/* No handler of the program runs before the release: until then no other signal arrives. */
static void defer(int sig, siginfo_t *info, ucontext_t *uc)
{
	static const uint64_t all = ~SIGNALS_NEEDED;

	/* With SA_NODEFER one signal may be queued more often than we have entries. */
	if (!note_signal(sig, info, uc))
		requeue(sig, info);
	memcpy(&uc->uc_sigmask, &all, sizeof(all));
	if (thread_kick_word)
		atomic32_fetch_or(thread_kick_word, thread_kick_bits);
}

/*
 * A call like sigsuspend(2), ppoll(2) or epoll_pwait(2) has a mask of its own, in which the
 * handler runs; the frame has the one from before.  All that is known then is that the call was
 * interrupted; and where a filter may forbid asking, this is the only doubtful case.
 */
static bool may_have_other_mask(const ucontext_t *uc)
{
	return !thread_is_filtered() || uc->uc_mcontext.gregs[REG_RAX] == -EINTR;
}

/* The mask is different in the handler; after it, it is the frame's. */
static void call_now(int sig, siginfo_t *info, ucontext_t *uc)
{
	struct guarded_mask outside = guarded_mask;
	uint64_t before = mask_of(&uc->uc_sigmask);

	if (((before | mask_of(&actions[sig].action.sa_mask)) & SIGNALS_NEEDED) ||
	    may_have_other_mask(uc))
		guarded_mask.is_known = false;
	__atomic_load_n(&actions[sig].handler, __ATOMIC_RELAXED)(sig, info, uc);
	guarded_mask = outside;
	if (mask_of(&uc->uc_sigmask) != before)
		guarded_mask.is_known = false;
}

static void trampoline(int sig, siginfo_t *info, void *context)
{
	int saved_errno = errno;

	if (!guarded_holds) {
		call_now(sig, info, context);
		return;
	}
	/* The thread may be in guest mode, and the handler that restarts windows may interrupt
	 * this one. */
	guarded_leave_window(context);
	defer(sig, info, context);
	errno = saved_errno;
}

/* --- hold and release ------------------------------------------------------ */

static uint64_t ask_mask(void)
{
	uint64_t mask = 0;

	syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof(mask));
	return mask;
}

/* Missing guest memory must raise its signal, whatever the thread blocks. */
static NOINLINE void open_needed(void)
{
	if (!guarded_mask.is_known) {
		guarded_mask.mask = ask_mask();
		/* A signal deferred meanwhile has blocked the others. */
		if (n_deferred())
			guarded_mask.mask = mask_before(self.deferred, n_deferred());
		guarded_mask.is_known = true;
	}
	if (!(guarded_mask.mask & SIGNALS_NEEDED))
		return;
	self.has_opened = true;
	barrier();
	deliver_mask((n_deferred() ? ~0ull : guarded_mask.mask) & ~SIGNALS_NEEDED);
}

static void enter_call(void)
{
	guarded_holds++;
	barrier();
}

static void hold(void)
{
	enter_call();
	if (guarded_holds == 1 &&
	    unlikely(!guarded_mask.is_known || guarded_mask.mask & SIGNALS_NEEDED))
		open_needed();
}

/*
 * Remove it from the record first: a handler may hold and release, and need not return.  Neither
 * need the handler of a signal that was sent, so that one waits for the first of these and
 * interrupts it, as from the kernel.
 */
static NOINLINE void call_deferred(void)
{
	struct deferred_signal list[MAX_DEFERRED];
	unsigned int n = n_deferred();
	uint64_t before;

	deliver_mask(~0ull);
	guarded_send_kept();
	memcpy(list, self.deferred, n * sizeof(*list));
	before = mask_before(list, n);
	atomic32_store_relaxed(&self.n, 0);
	for (unsigned int i = 0; i < n; i++) {
		struct guarded_mask outside = guarded_mask;
		int sig = list[i].info.si_signo;

		list[i].mask = before;
		list[i].handler_mask = mask_in_handler(sig, &actions[sig].action, before);
		guarded_mask.is_known = false;
		deliver_signal(&list[i]);
		guarded_mask = outside;
	}
}

static NOINLINE void close_needed(void)
{
	deliver_mask(n_deferred() ? ~0ull : guarded_mask.mask);
	barrier();
	self.has_opened = false;
}

static void release(void)
{
	if (guarded_holds == 1 && unlikely(self.has_opened))
		close_needed();
	barrier();
	if (--guarded_holds)
		return;
	barrier();
	if (unlikely(n_deferred()))
		call_deferred();
	else
		guarded_send_kept();
}

static bool waits(thread_sigmask_t blocked)
{
	uint32_t n = n_deferred();

	for (uint32_t i = 0; i < n; i++)
		if (!(blocked & SIGNAL_BIT(self.deferred[i].info.si_signo)))
			return true;
	return false;
}

/* --- what the program installs --------------------------------------------- */

static bool is_function(const struct sigaction *action)
{
	return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

/* No handler runs meanwhile: it might install one. */
static void lock(void)
{
	enter_call();
	while (__atomic_test_and_set(&actions_lock, __ATOMIC_ACQUIRE))
		;
}

static void unlock(void)
{
	__atomic_clear(&actions_lock, __ATOMIC_RELEASE);
	release();
}

/* The program's action, as it gave it. */
static void show(int sig, const struct sigaction *action, struct sigaction *shown)
{
	*shown = *action;
	if (action->sa_sigaction != trampoline)
		return;
	shown->sa_sigaction = actions[sig].action.sa_sigaction;
	shown->sa_flags = actions[sig].action.sa_flags;
}

static int set_action(int sig, const struct sigaction *new_action, struct sigaction *old_action)
{
	struct sigaction real, was, program = actions[sig].action;
	bool takes = new_action && is_function(new_action);
	int result;

	if (new_action)
		real = *new_action;
	if (takes) {
		real.sa_sigaction = trampoline;
		real.sa_flags |= SA_SIGINFO;
	}
	if (NEXT(sigaction)(sig, NULL, &was))
		return -1;
	show(sig, &was, &was);
	/* Known before it is called. */
	if (takes) {
		actions[sig].action = *new_action;
		__atomic_store_n(&actions[sig].handler, new_action->sa_sigaction, __ATOMIC_RELEASE);
	}
	result = new_action ? NEXT(sigaction)(sig, &real, NULL) : 0;
	if (result && takes) {
		actions[sig].action = program;
		__atomic_store_n(&actions[sig].handler, program.sa_sigaction, __ATOMIC_RELEASE);
	}
	if (!result && old_action)
		*old_action = was;
	return result;
}

static int change_action(int sig, const struct sigaction *new_action, struct sigaction *old_action)
{
	bool was, is_taken;
	int result;

	/* It calls sigaction(2) itself. */
	enter_call();
	was = thread_enter_library();
	is_taken = guarded_sigaction(sig, new_action, old_action);
	thread_leave_library(was);
	release();
	if (is_taken)
		return 0;
	if (window_has_signal(sig)) {
		errno = EINVAL;
		return -1;
	}
	if (!is_on || sig <= 0 || sig >= N_SIGNALS || sig == SIGSEGV || sig == SIGBUS)
		return NEXT(sigaction)(sig, new_action, old_action);
	lock();
	result = set_action(sig, new_action, old_action);
	unlock();
	return result;
}

/* The program's pointers may be bad, and its handler may jump: they are read before everything
 * else, and written after it. */
int defer_sigaction(int sig, const struct sigaction *new_action, struct sigaction *old_action)
{
	struct sigaction copy, old;
	int result;

	if (new_action)
		copy = *new_action;
	result = change_action(sig, new_action ? &copy : NULL, old_action ? &old : NULL);
	if (!result && old_action)
		*old_action = old;
	return result;
}

/* A handler installed another way: by a system call, or before us. */
static bool adopt(int sig)
{
	struct sigaction there;
	bool is_foreign;

	if (NEXT(sigaction)(sig, NULL, &there))
		return false;
	is_foreign = is_function(&there) && there.sa_sigaction != trampoline;
	if (is_foreign)
		set_action(sig, &there, NULL);
	return is_foreign;
}

static unsigned int adopt_all(void)
{
	unsigned int n = 0;

	lock();
	for (int sig = 1; sig < N_SIGNALS; sig++)
		if (sig != SIGSEGV && sig != SIGBUS && !window_has_signal(sig))
			n += adopt(sig);
	unlock();
	return n;
}

static void look_again(void)
{
	unsigned int n = adopt_all();

	if (n)
		log_emit(LOG_INFO, "%u signal handlers were installed unseen: taken over", n);
}

/* A thread that does not exist in the child may hold it. */
static void after_fork_child(void)
{
	__atomic_clear(&actions_lock, __ATOMIC_RELEASE);
}

static const struct thread_deferral deferral = {
	.hold = hold,
	.release = release,
	.waits = waits,
	.look_again = look_again,
	.after_fork = after_fork_child,
};

void defer_begin(void)
{
	if (thread_around_fork(NULL, NULL, after_fork_child))
		return;
	adopt_all();
	is_on = true;
	thread_defer_signals(&deferral);
}

void defer_mask_changes(void)
{
	guarded_mask.is_known = false;
}

bool defer_is_holding(void)
{
	return guarded_holds;
}
