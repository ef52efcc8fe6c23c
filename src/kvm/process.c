/* SPDX-License-Identifier: MIT */
#include "kvm/process.h"

#include <unistd.h>

#include "base/guarded.h"
#include "kvm/stats.h"
#include "mem/reservation.h"
#include "mmu/notifier.h"
#include "sync/lock.h"
#include "sync/thread.h"

static struct {
	struct rwlock lock;		/* rank RANK_PROCESS */
	struct cds_list_head vms;	/* [lock] */
	struct atomic32 n_vms;		/* (a) a quick look for the notifiers */
	struct atomic32 number;		/* (a) */
	pid_t pid;
	int init_err;
} process;

static struct thread_once once;

/*
 * The child has a copy of everything but only one thread, and the VMs stay its
 * parent's.  Locks that other threads held at the fork are made anew.
 */
static void after_fork_child(void)
{
	rwlock_init(&process.lock, RANK_PROCESS);
	CDS_INIT_LIST_HEAD(&process.vms);
	atomic32_store_relaxed(&process.n_vms, 0);
	atomic32_fetch_add(&process.number, 1);
	process.pid = getpid();
	stats_forget();
}

static void init_once(void)
{
	rwlock_init(&process.lock, RANK_PROCESS);
	CDS_INIT_LIST_HEAD(&process.vms);
	process.pid = getpid();
	process.init_err = guarded_install();
	if (!process.init_err)
		process.init_err = reservation_init();
	if (!process.init_err)
		process.init_err = thread_at_fork(after_fork_child);
}

int process_init(void)
{
	thread_run_once(&once, init_once);
	return process.init_err;
}

unsigned int process_number(void)
{
	return atomic32_load_relaxed(&process.number);
}

bool process_is_borrowed(void)
{
	return process.pid && getpid() != process.pid;
}

void process_add_vm(struct vm *vm)
{
	rwlock_wrlock(&process.lock);
	vm->process = process_number();
	cds_list_add_tail(&vm->node, &process.vms);
	atomic32_fetch_add(&process.n_vms, 1);
	rwlock_wrunlock(&process.lock);
}

void process_remove_vm(struct vm *vm)
{
	rwlock_wrlock(&process.lock);
	cds_list_del(&vm->node);
	atomic32_fetch_add(&process.n_vms, (uint32_t)-1);
	stats_keep(vm);
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

/* One frame a VM: each keeps its own record open around the change. */
static void invalidate_from(struct cds_list_head *at, hva_t start, hva_t end,
			    void (*change)(void *ctx), void *ctx)
{
	struct invalidation inv;

	if (at == &process.vms) {
		change(ctx);
		return;
	}
	mmu_invalidate_begin(&cds_list_entry(at, struct vm, node)->mmu, start, end, &inv);
	invalidate_from(at->next, start, end, change, ctx);
	mmu_invalidate_end(&inv);
}

void process_invalidate(hva_t start, hva_t end, void (*change)(void *ctx), void *ctx)
{
	thread_sigmask_t saved;

	if (!atomic32_load_acquire(&process.n_vms) || process_is_borrowed()) {
		change(ctx);
		return;
	}
	/* A handler that changes slots would wait for this thread for ever. */
	saved = thread_hold_signals();
	rwlock_rdlock(&process.lock);
	invalidate_from(process.vms.next, start, end, change, ctx);
	rwlock_rdunlock(&process.lock);
	thread_release_signals(saved);
}
