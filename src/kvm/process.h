/* SPDX-License-Identifier: MIT */
/*
 * kvm/process.h - what the process has: its VMs, its descriptors, its forks.
 */
#ifndef KVM_PROCESS_H
#define KVM_PROCESS_H

#include "kvm/vm.h"

/* Once, before anything else.  0 or -errno. */
int process_init(void);
/* A number for this process; a forked child has another. */
unsigned int process_number(void);
/* In the child of vfork(2), which shares our memory but nothing else. */
bool process_is_borrowed(void);

void process_add_vm(struct vm *vm);
/* Keeps its statistics. */
void process_remove_vm(struct vm *vm);
/* Calls @use with the list of VMs (struct vm, .node) under the process lock. */
void process_with_vms(void (*use)(void *ctx, struct cds_list_head *vms), void *ctx);

/*
 * Runs @change while every VM of the process has the range invalidated: the
 * rules of mmu/notifier.h, for all.  Without a VM it only runs @change.
 */
void process_invalidate(hva_t start, hva_t end, void (*change)(void *ctx), void *ctx);

#endif
