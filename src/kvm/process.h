/* SPDX-License-Identifier: MIT */
/*
 * kvm/process.h - what the process has: its VMs, its descriptors, its forks.
 */
#ifndef KVM_PROCESS_H
#define KVM_PROCESS_H

#include "kvm/vm.h"

/* Once, before anything else.  0 or -errno. */
int process_init(void);
/* A number for this process; a forked child has another.  0, or for a moment ~0: a child
 * that was not made by fork(3), before process_settle(). */
unsigned int process_number(void);
/* Before anything that takes a lock or begins to read: what fork(3)'s handlers do, in a child
 * that had none run, and more.  Any thread, with signals held; before process_init()
 * nothing. */
void process_settle(void);
/* In every child of fork(3), whether or not process_init() has been called: locks of
 * calls that need no device. */
void process_unlock_child(void);
/* In the child of vfork(2), which shares our memory but nothing else; and in one that was
 * not made by fork(3), before process_settle(). */
bool process_is_borrowed(void);

void process_add_vm(struct vm *vm);
/* Keeps its statistics. */
void process_remove_vm(struct vm *vm);
/* Calls @use with the list of VMs (struct vm, .node) under the process lock. */
void process_with_vms(void (*use)(void *ctx, struct cds_list_head *vms), void *ctx);

/* What of the process's memory is about to change: every VM's mmu.changes. */
struct host_changes *process_changes(void);

struct hva_range {
	hva_t start, end;
};
#define PROCESS_MAX_RANGES 8u

/*
 * Runs @change while every VM of the process, also one made meanwhile, has the ranges
 * withdrawn: the rules of mmu/notifier.h, for all.  Before process_init(), and in a child
 * that has not made it its own, it only runs @change.
 * No lock is held while it runs, and nobody but faults on these ranges waits for it; but
 * handlers of signals do not run on this thread, as one that never returned would leave
 * the record open for ever.  @n is at most PROCESS_MAX_RANGES.
 */
void process_invalidate(const struct hva_range *ranges, unsigned int n, void (*change)(void *ctx),
			void *ctx);
/* The same in two parts, on one thread.  Every begin needs its end, which keeps errno. */
struct process_change {
	unsigned int n;
	struct hva_range ranges[PROCESS_MAX_RANGES];
	struct host_change record[PROCESS_MAX_RANGES];
	thread_sigmask_t saved;
};

void process_change_begin(struct process_change *c, const struct hva_range *ranges,
			  unsigned int n);
void process_change_end(struct process_change *c);
/* Could there be a VM that has a use for that, before the change is done? */
bool process_may_have_vms(void);

#endif
