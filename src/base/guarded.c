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
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/bug.h"

struct fixup_entry {
	int32_t insn;	/* relative to this field */
	int32_t resume;	/* relative to this field */
};

/* The linker's names for the ends of the section.  Not renamed by an asm label: gcc
 * forgets that such a name is hidden, and every library would export it. */
extern const struct fixup_entry __start_umbra_fixup[] __attribute__((visibility("hidden")));
extern const struct fixup_entry __stop_umbra_fixup[] __attribute__((visibility("hidden")));

struct taken_signal {
	int sig;
	bool taken;
	struct sigaction program;	/* what the program believes is installed */
};

static struct taken_signal taken[] = { { .sig = SIGSEGV }, { .sig = SIGBUS } };
static char taken_lock;

/* Below the layer of locks; held for a few instructions. */
static void lock(void)
{
	while (__atomic_test_and_set(&taken_lock, __ATOMIC_ACQUIRE))
		;
}

static void unlock(void)
{
	__atomic_clear(&taken_lock, __ATOMIC_RELEASE);
}

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

#define MAX_TABLES 64

/* Tables of others.  Only added to, under the lock; the handler reads the number first. */
struct fixup_table {
	const struct fixup_entry *start, *end;
};

static struct fixup_table tables[MAX_TABLES];
static unsigned int n_tables;

static bool is_known(const void *start, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (tables[i].start == start)
			return true;
	return start == __start_umbra_fixup;
}

int guarded_add_table(const void *start, const void *end)
{
	int err = 0;

	if (start == end)
		return 0;
	lock();
	if (!is_known(start, n_tables)) {
		if (n_tables < MAX_TABLES) {
			tables[n_tables] = (struct fixup_table){ start, end };
			__atomic_store_n(&n_tables, n_tables + 1, __ATOMIC_RELEASE);
		} else {
			err = -ENOMEM;
		}
	}
	unlock();
	return err;
}

/* Linear on purpose: a fault is rare and a table small. */
static uintptr_t find_in(const struct fixup_entry *e, const struct fixup_entry *end, uintptr_t pc)
{
	for (; e < end; e++)
		if (relative(&e->insn) == pc)
			return relative(&e->resume);
	return 0;
}

static uintptr_t find_fixup(uintptr_t pc)
{
	unsigned int n = __atomic_load_n(&n_tables, __ATOMIC_ACQUIRE);
	uintptr_t resume = find_in(__start_umbra_fixup, __stop_umbra_fixup, pc);

	for (unsigned int i = 0; i < n && !resume; i++)
		resume = find_in(tables[i].start, tables[i].end, pc);
	return resume;
}

/*
 * The kernel's default action, past any interposed sigaction(2).  A fault meets
 * it when its instruction runs again; a signal that was sent is sent again.
 */
static void die_of(int sig, const siginfo_t *info)
{
	static const uint64_t default_action[4];

	syscall(SYS_rt_sigaction, sig, default_action, NULL, sizeof(uint64_t));
	if (info->si_code <= 0)
		syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), sig);
}

static void pass_on(struct taken_signal *t, siginfo_t *info, void *context)
{
	struct sigaction action = t->program;
	sigset_t mask, saved;

	/* Whatever SA_SIGINFO says.  Only what was sent can be ignored. */
	if (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN) {
		if (action.sa_handler == SIG_DFL || info->si_code > 0)
			die_of(t->sig, info);
		return;
	}
	if (action.sa_flags & SA_RESETHAND)
		t->program.sa_handler = SIG_DFL;

	mask = action.sa_mask;
	if (!(action.sa_flags & SA_NODEFER))
		sigaddset(&mask, t->sig);
	sigprocmask(SIG_BLOCK, &mask, &saved);
	if (action.sa_flags & SA_SIGINFO)
		action.sa_sigaction(t->sig, info, context);
	else
		action.sa_handler(t->sig);
	sigprocmask(SIG_SETMASK, &saved, NULL);
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
	lock();
	for (size_t i = 0; i < ARRAY_SIZE(taken) && !err; i++) {
		if (taken[i].taken)
			continue;
		if (sigaction(taken[i].sig, &action, &taken[i].program))
			err = -errno;
		else
			taken[i].taken = true;
	}
	unlock();
	return err;
}

bool guarded_sigaction(int sig, const struct sigaction *new_action, struct sigaction *old_action)
{
	struct taken_signal *t = find_taken(sig);
	struct sigaction old;
	bool ours = false;

	if (!t)
		return false;

	lock();
	if (t->taken) {
		ours = true;
		old = t->program;
		if (new_action)
			t->program = *new_action;
		if (old_action)
			*old_action = old;
	}
	unlock();
	return ours;
}
