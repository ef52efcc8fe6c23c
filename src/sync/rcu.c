/* SPDX-License-Identifier: MIT */
#include "sync/rcu.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <urcu-bp.h>

#include "sync/thread.h"

__thread uint32_t rcu_thread_era __attribute__((tls_model("initial-exec")));

/*
 * liburcu 0.13 does not tell ThreadSanitizer what a grace period orders: everything in a read
 * section happens before what follows the wait for it.
 */
#ifdef BUILT_WITH_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
static char grace_period;
#define readers_done() __tsan_acquire(&grace_period)
#define reader_done() __tsan_release(&grace_period)
#else
#define readers_done() ((void)0)
#define reader_done() ((void)0)
#endif

/* liburcu's own, by which a thread is registered; no header says so to all licences. */
struct urcu_bp_reader;
extern __thread struct urcu_bp_reader *urcu_bp_reader;

/*
 * A thread that was registered in the process of which this is a copy is so no longer:
 * its entry was dropped with those of the threads that are not here, unless it did that
 * itself, and may be another thread's by now.
 */
void rcu_register_self(void)
{
	/* liburcu may map memory here: those calls are not the program's. */
	bool was = thread_enter_library();

	if (rcu_thread_era)
		urcu_bp_reader = NULL;
	urcu_bp_register_thread();
	rcu_thread_era = atomic32_load_relaxed(&thread_era);
	thread_leave_library(was);
}

void rcu_native_read_lock(void)
{
	urcu_bp_read_lock();
}

void rcu_native_read_unlock(void)
{
	reader_done();
	urcu_bp_read_unlock();
}

void rcu_synchronize(void)
{
	urcu_bp_synchronize_rcu();
	readers_done();
}

void rcu_before_fork(void)
{
	urcu_bp_before_fork();
}

void rcu_after_fork_parent(void)
{
	urcu_bp_after_fork_parent();
}

void rcu_after_fork_child(void)
{
	urcu_bp_after_fork_child();
}

/*
 * The locks are not acquired, since their holders may be gone, but released, whoever holds them:
 * a plain mutex of the C library does not check its owner, nor whether it is locked.
 * (ThreadSanitizer does.)  A grace period in progress may have moved readers to a list of its
 * own thread: so every thread is registered again (thread_era).
 */
void rcu_after_raw_fork(void)
{
	uint64_t mask;

#ifdef BUILT_WITH_TSAN
	urcu_bp_before_fork();
#endif
	/* The mask that it restores is that of the last fork(3), if there was one. */
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof(mask));
	urcu_bp_after_fork_child();
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
}
