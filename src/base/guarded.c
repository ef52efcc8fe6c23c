/* SPDX-License-Identifier: MIT */
/*
 * base/guarded.c - the signal handler behind base/guarded.h.
 *
 * A fault whose program counter is in the fixup table resumes at the entry's label.  Every other
 * fault belongs to the program: its handler (installed before ours, or since by
 * guarded_sigaction()) is called as the kernel would have called it; without one the signal kills
 * the program.  Our own action has the program's flags for entry and exit, but blocks nothing:
 * another signal during on_fault() then finds the thread's own mask in its frame, on which
 * preload/signals/defer.c relies.
 */
#include "base/guarded.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/log.h"

/* Instruction and label; or where a window begins, and GUARDED_WINDOW_MARK more than where
 * it ends. */
struct entry {
	int32_t first;	/* each relative to its own field */
	int32_t second;
};

/* The linker's names for the ends of the section.  Not renamed by an asm label: gcc
 * forgets that such a name is hidden, and every library would export it. */
/* So that there is one in a program that has no window at all. */
__asm__(".pushsection umbra_fixup, \"a\"\n.popsection");
extern const struct entry __start_umbra_fixup[] __attribute__((visibility("hidden")));
extern const struct entry __stop_umbra_fixup[] __attribute__((visibility("hidden")));

struct taken_signal {
	int sig;
	bool taken;
	struct sigaction program;	/* what the program believes is installed */
};

#define N_TAKEN 2
static struct taken_signal taken[N_TAKEN] = { { .sig = SIGSEGV }, { .sig = SIGBUS } };
static char taken_lock;
static uint64_t mask_outside;	/* [taken_lock] of the thread that has it */

/* A signal sent while the thread was in a call, with its siginfo. */
struct sent_signal {
	bool waits;
	pid_t thread;			/* which it was sent to */
	int code;
	pid_t pid;
	uid_t uid;
	union sigval value;
};

#define THREAD_LOCAL __thread __attribute__((tls_model("initial-exec")))
static THREAD_LOCAL struct sent_signal sent[N_TAKEN];
THREAD_LOCAL unsigned int guarded_holds;
THREAD_LOCAL bool guarded_holds_by_mask;
THREAD_LOCAL struct guarded_mask guarded_mask;

/* Below the layer of locks; held for a few instructions.  No handler of the program
 * runs meanwhile: it might call sigaction(2) too. */
static void lock(void)
{
	static const uint64_t all = ~0ull;
	uint64_t mask;

	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, &mask, sizeof(all));
	while (__atomic_test_and_set(&taken_lock, __ATOMIC_ACQUIRE))
		;
	mask_outside = mask;
}

static void unlock(void)
{
	uint64_t mask = mask_outside;

	__atomic_clear(&taken_lock, __ATOMIC_RELEASE);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
}

static void forget_sent(void)
{
	for (unsigned int i = 0; i < N_TAKEN; i++)
		sent[i].waits = false;
}

void guarded_after_fork(void)
{
	__atomic_clear(&taken_lock, __ATOMIC_RELEASE);
	forget_sent();
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

/* What the entries come to, in order: where in [start, end), go to resume. */
struct range {
	uintptr_t start, end, resume;
};

struct range_list {
	struct range *range;
	size_t n;
};

struct table {
	const struct entry *from;
	struct range_list fixups, windows;
};

/* Our table and those of others.  Entries are only added, under the lock; handlers read the
 * number first. */
#define MAX_TABLES 65
static struct table tables[MAX_TABLES];
static unsigned int n_tables;

static int by_start(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static bool is_known(const struct entry *from)
{
	for (unsigned int i = 0; i < n_tables; i++)
		if (tables[i].from == from)
			return true;
	return false;
}

static void sort_in(struct table *t, const struct entry *e)
{
	uintptr_t first = relative(&e->first), second = relative(&e->second);

	if (e->second >= GUARDED_WINDOW_MARK / 2)
		t->windows.range[t->windows.n++] =
			(struct range){ first, second - GUARDED_WINDOW_MARK, first };
	else
		t->fixups.range[t->fixups.n++] = (struct range){ first, first + 1, second };
}

static int add_table(const struct entry *start, const struct entry *end)
{
	size_t n = (size_t)(end - start);
	struct range *range;
	struct table *t = &tables[n_tables];

	if (!n || is_known(start))
		return 0;
	if (n_tables == MAX_TABLES)
		return -ENOMEM;
	/* Never freed, so not from an allocator that reports leaks. */
	range = mmap(NULL, 2 * n * sizeof(*range), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (range == MAP_FAILED)
		return -ENOMEM;
	*t = (struct table){ start, { range, 0 }, { range + n, 0 } };
	for (const struct entry *e = start; e < end; e++)
		sort_in(t, e);
	qsort(t->fixups.range, t->fixups.n, sizeof(*range), by_start);
	qsort(t->windows.range, t->windows.n, sizeof(*range), by_start);
	__atomic_store_n(&n_tables, n_tables + 1, __ATOMIC_RELEASE);
	return 0;
}

int guarded_add_table(const void *start, const void *end)
{
	int err;

	lock();
	err = add_table(start, end);
	unlock();
	return err;
}

static uintptr_t find_in(const struct range_list *list, uintptr_t pc)
{
	size_t low = 0, high = list->n, middle;

	/* The last that does not begin after it. */
	while (low < high) {
		middle = (low + high) / 2;
		if (list->range[middle].start <= pc)
			low = middle + 1;
		else
			high = middle;
	}
	return low && pc < list->range[low - 1].end ? list->range[low - 1].resume : 0;
}

static uintptr_t find_fixup(uintptr_t pc)
{
	unsigned int n = __atomic_load_n(&n_tables, __ATOMIC_ACQUIRE);
	uintptr_t resume = 0;

	for (unsigned int i = 0; i < n && !resume; i++)
		resume = find_in(&tables[i].fixups, pc);
	return resume;
}

uintptr_t guarded_window_of(uintptr_t pc)
{
	unsigned int n = __atomic_load_n(&n_tables, __ATOMIC_ACQUIRE);
	uintptr_t begin = 0;

	for (unsigned int i = 0; i < n && !begin; i++)
		begin = find_in(&tables[i].windows, pc);
	return begin;
}

void guarded_leave_window(void *context)
{
	ucontext_t *uc = context;
	uintptr_t begin = guarded_window_of((uintptr_t)uc->uc_mcontext.gregs[REG_RIP]);

	if (begin)
		uc->uc_mcontext.gregs[REG_RIP] = (greg_t)begin;
}

/*
 * The kernel's default action, past any interposed sigaction(2).  A fault recurs when its
 * instruction runs again; a signal that was sent is sent again.
 */
static void die_of(int sig, const siginfo_t *info)
{
	static const uint64_t default_action[4];

	syscall(SYS_rt_sigaction, sig, default_action, NULL, sizeof(uint64_t));
	if (info->si_code <= 0)
		syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), sig);
}

static bool is_function(const struct sigaction *action)
{
	return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

static void pass_on(struct taken_signal *t, siginfo_t *info, void *context)
{
	struct sigaction action = t->program;
	struct guarded_mask outside = guarded_mask;
	uint64_t mask, saved;

	/* Only a signal that was sent can be ignored. */
	if (!is_function(&action)) {
		if (action.sa_handler == SIG_DFL || info->si_code > 0)
			die_of(t->sig, info);
		return;
	}
	if (action.sa_flags & SA_RESETHAND)
		t->program.sa_handler = SIG_DFL;
	guarded_mask.is_known = false;
	memcpy(&mask, &action.sa_mask, sizeof(mask));
	if (!(action.sa_flags & SA_NODEFER))
		mask |= 1ull << (t->sig - 1);
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &mask, &saved, sizeof(mask));
	/* One that takes a single argument does not look at the others. */
	action.sa_sigaction(t->sig, info, context);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &saved, NULL, sizeof(saved));
	guarded_mask = outside;
}

static pid_t this_thread(void)
{
	return (pid_t)syscall(SYS_gettid);
}

/* A second one before the first is handled is lost, as with any signal. */
static void keep_signal(struct taken_signal *t, const siginfo_t *info)
{
	struct sent_signal *s = &sent[t - taken];
	pid_t thread = this_thread();

	if (s->waits && s->thread == thread)
		return;
	s->thread = thread;
	s->code = info->si_code;
	s->pid = info->si_pid;
	s->uid = info->si_uid;
	s->value = info->si_value;
	s->waits = true;
}

/*
 * By the frame: the mask is that of a call until the very instruction that changes it.
 * The two of the C library's own are not looked at, which it lets in again at times.
 */
#define OPEN_IN_CALL (1ull << (SIGSEGV - 1) | 1ull << (SIGBUS - 1) | 1ull << (61 - 1))
#define OF_THE_C_LIBRARY (3ull << (32 - 1))

static bool is_in_call(const ucontext_t *uc)
{
	uint64_t mask;

	if (guarded_holds)
		return true;
	memcpy(&mask, &uc->uc_sigmask, sizeof(mask));
	return guarded_holds_by_mask &&
	       (mask | OF_THE_C_LIBRARY | 1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1)) ==
		       ~OPEN_IN_CALL;
}

static void send_again(int sig, const struct sent_signal *s)
{
	siginfo_t info = { .si_signo = sig, .si_code = s->code };

	info.si_pid = s->pid;
	info.si_uid = s->uid;
	info.si_value = s->value;
	syscall(SYS_rt_tgsigqueueinfo, (pid_t)syscall(SYS_getpid), s->thread, sig, &info);
}

bool guarded_has_kept(void)
{
	for (unsigned int i = 0; i < N_TAKEN; i++)
		if (sent[i].waits)
			return true;
	return false;
}

/*
 * At the end of a call another handler may run first and fork: nothing was sent to the child,
 * however it was made.  The child of a vfork(2) leaves the signal to its parent.
 */
void guarded_send_kept(void)
{
	for (unsigned int i = 0; i < N_TAKEN; i++) {
		if (__builtin_expect(sent[i].waits, 0) && sent[i].thread == this_thread()) {
			struct sent_signal s = sent[i];

			sent[i].waits = false;
			send_again(taken[i].sig, &s);
		}
	}
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	int saved_errno = errno;
	ucontext_t *uc = context;
	bool is_fault = info->si_code > 0;
	uintptr_t pc = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
	uintptr_t resume = find_fixup(pc);

	guarded_leave_window(context);
	/* A signal that was sent can arrive anywhere, even at a valid access. */
	if (resume && is_fault)
		uc->uc_mcontext.gregs[REG_RIP] = (greg_t)resume;
	else if (!is_fault && is_in_call(uc))
		keep_signal(find_taken(sig), info);
	else
		pass_on(find_taken(sig), info, context);
	errno = saved_errno;
}

/* Ours, to be entered as the program's would have been. */
static struct sigaction real_action(const struct sigaction *program)
{
	struct sigaction real = {
		.sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART,
	};

	sigemptyset(&real.sa_mask);
	if (is_function(program))
		real.sa_flags = SA_SIGINFO | SA_NODEFER |
				(program->sa_flags & (SA_ONSTACK | SA_RESTART));
	return real;
}

static int set_real(const struct taken_signal *t)
{
	struct sigaction real = real_action(&t->program);

	return sigaction(t->sig, &real, NULL) ? -errno : 0;
}

/* The program's is what we find. */
static int take_over(struct taken_signal *t)
{
	int err;

	if (sigaction(t->sig, NULL, &t->program))
		return -errno;
	err = set_real(t);
	t->taken = !err;
	return err;
}

int guarded_install(void)
{
	int err;

	lock();
	err = add_table(__start_umbra_fixup, __stop_umbra_fixup);
	for (size_t i = 0; i < N_TAKEN && !err; i++)
		if (!taken[i].taken)
			err = take_over(&taken[i]);
	unlock();
	return err;
}

static bool is_lost(const struct taken_signal *t)
{
	struct sigaction real;

	return t->taken && !sigaction(t->sig, NULL, &real) && real.sa_sigaction != on_fault;
}

void guarded_take_back(void)
{
	bool lost = false;

	lock();
	for (size_t i = 0; i < N_TAKEN; i++) {
		if (is_lost(&taken[i])) {
			take_over(&taken[i]);
			lost = true;
		}
	}
	unlock();
	if (lost)
		log_emit(LOG_WARNING, "the program's handler of SIGSEGV or SIGBUS was installed "
				      "by a system call that Umbra does not see: taken back");
}

bool guarded_sigaction(int sig, const struct sigaction *new_action, struct sigaction *old_action)
{
	struct taken_signal *t = find_taken(sig);
	struct sigaction old, new;
	bool ours = false;

	if (!t)
		return false;

	/* The program's pointers, which may be bad: not under the lock. */
	if (new_action)
		new = *new_action;
	lock();
	if (t->taken) {
		ours = true;
		old = t->program;
		if (new_action) {
			t->program = new;
			/* The arguments are valid, so this cannot fail. */
			bug_on(set_real(t));
		}
	}
	unlock();
	if (ours && old_action)
		*old_action = old;
	return ours;
}
