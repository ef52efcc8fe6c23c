/* SPDX-License-Identifier: MIT */
/*
 * kvm/process.h - process-wide state: VMs, descriptors, forks.
 */
#ifndef KVM_PROCESS_H
#define KVM_PROCESS_H

#include "kvm/vm.h"

/* Once, before anything else.  0 or -errno. */
int process_init(void);
/* A number for this process; a forked child has a different one. 0, or for a moment ~0, in a
 * child not made by fork(3), before process_settle(). */
unsigned int process_number(void);
/* Call before taking a lock or starting an RCU section: does what fork(3)'s handlers do, and
 * more, in a child that ran none.  Any thread, with signals held; does nothing before
 * process_init(). */
void process_settle(void);
/* In every child of fork(3), whether or not process_init() has been called: locks of
 * calls that need no device. */
void process_unlock_child(void);
/* In the child of vfork(2), which shares our memory but nothing else; and in one that was
 * not made by fork(3), before process_settle(). */
bool process_is_borrowed(void);

void process_add_vm(struct vm *vm);
/* @keep runs under the process lock: a sum over all VMs includes this one, or what was kept of
 * it. */
void process_remove_vm(struct vm *vm, void (*keep)(struct vm *vm));
/* Calls @use with the list of VMs (struct vm, .node) under the process lock. */
void process_with_vms(void (*use)(void *ctx, struct cds_list_head *vms), void *ctx);

/* The record of host memory that is about to change: every VM's mmu.changes. */
struct host_changes *process_changes(void);

/* False if no VM can exist before a change of memory that begins now is done. */
bool process_may_have_vms(void);

#endif
