/* SPDX-License-Identifier: MIT */
#include "kvm/process.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/guarded.h"
#include "kvm/fd/mappings.h"
#include "mem/reservation.h"
#include "sync/lock.h"
#include "sync/thread.h"

static struct {
	struct rwlock lock;		/* (c) rank RANK_PROCESS */
	struct cds_list_head vms;	/* [lock] */
	struct atomic32 is_ready;	/* (a) there may be VMs; used by changes */
	struct host_changes changes;	/* of the memory that all VMs share; has its lock */
	uint32_t last_number;		/* (c) of this process, or of the one it was forked from */
	pid_t pid;			/* (c) */
	int init_err;			/* (c) */
} process;

static struct thread_once once;

/*
 * (a) The PID, in a page that the kernel zeroes in every child with its own memory: fork handlers
 * run only for the C library's fork().  In an ordinary page if the kernel does not support that.
 */
static struct atomic32 plain_number, *number = &plain_number;

static void make_number(void)
{
	void *page = reservation_get(PAGE_SIZE);

	if (page && !syscall(SYS_madvise, page, PAGE_SIZE, MADV_WIPEONFORK))
		number = page;
	else
		reservation_put(page, PAGE_SIZE);
	atomic32_store_relaxed(number, ++process.last_number);
}

void process_unlock_child(void)
{
	guarded_after_fork();
	mappings_after_fork();
}

/*
 * The child has a copy of everything but only one thread, and the VMs stay its parent's.  Locks
 * that other threads held at the fork are reinitialized.
 */
static void after_fork_child(void)
{
	process_unlock_child();
	rwlock_init(&process.lock, RANK_PROCESS);
	CDS_INIT_LIST_HEAD(&process.vms);
	host_changes_init(&process.changes);
	process.pid = getpid();
	/* The last: another thread may wait for it in process_settle(). */
	atomic32_store_release(number, ++process.last_number);
}

static void init_once(void)
{
	rwlock_init(&process.lock, RANK_PROCESS);
	CDS_INIT_LIST_HEAD(&process.vms);
	host_changes_init(&process.changes);
	process.pid = getpid();
	process.init_err = guarded_install();
	if (!process.init_err)
		process.init_err = reservation_init();
	make_number();
	if (!process.init_err)
		process.init_err = thread_at_fork(after_fork_child);
	if (!process.init_err)
		atomic32_store_release(&process.is_ready, 1);
}

int process_init(void)
{
	thread_run_once(&once, init_once);
	return process.init_err;
}

unsigned int process_number(void)
{
	return atomic32_load_acquire(number);
}

/* While one thread of a child settles it as a process of its own, the others wait. */
#define SETTLING (~0u)

void process_settle(void)
{
	uint32_t none = 0, now = process_number();
	bool was;

	if (likely(now && now != SETTLING) || !atomic32_load_acquire(&process.is_ready))
		return;
	if (!atomic32_cmpxchg(number, &none, SETTLING)) {
		while (process_number() == SETTLING)
			thread_yield();
		return;
	}
	was = thread_enter_library();
	reservation_after_raw_fork();
	thread_after_raw_fork();
	after_fork_child();
	thread_leave_library(was);
}

/* The first process of another PID namespace may have our PID. */
bool process_is_borrowed(void)
{
	uint32_t now = process_number();

	return process.pid && (getpid() != process.pid || !now || now == SETTLING);
}

void process_add_vm(struct vm *vm)
{
	rwlock_wrlock(&process.lock);
	vm->process = process_number();
	cds_list_add_tail(&vm->node, &process.vms);
	rwlock_wrunlock(&process.lock);
}

void process_remove_vm(struct vm *vm, void (*keep)(struct vm *vm))
{
	rwlock_wrlock(&process.lock);
	cds_list_del(&vm->node);
	keep(vm);
	rwlock_wrunlock(&process.lock);
}

void process_with_vms(void (*use)(void *ctx, struct cds_list_head *vms), void *ctx)
{
	if (!process.pid)
		return;
	rwlock_rdlock(&process.lock);
	use(ctx, &process.vms);
	rwlock_rdunlock(&process.lock);
}

struct host_changes *process_changes(void)
{
	return &process.changes;
}

/* Do not test whether there is a VM: one may be created, get a slot and run while the change is
 * in progress. */
bool process_may_have_vms(void)
{
	return atomic32_load_acquire(&process.is_ready) && !process_is_borrowed();
}
