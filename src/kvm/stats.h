/* SPDX-License-Identifier: MIT */
/*
 * kvm/stats.h - the counters, in binary for KVM_GET_STATS_FD and as JSON.
 */
#ifndef KVM_STATS_H
#define KVM_STATS_H

#include "kvm/vm.h"

/* Their size in the shared file: whole pages. */
size_t stats_vm_bytes(void);
size_t stats_vcpu_bytes(void);

/* Writes the descriptions at the start of the file; returns the counters. */
struct atomic64 *stats_describe_vm(uint8_t *file, const char *id);
struct atomic64 *stats_describe_vcpu(uint8_t *file, const char *id);

/* Adds those of a VM that is being destroyed: under the process lock. */
void stats_keep(struct vm *vm);
/* True if this process has had any VM. */
bool stats_any(void);

/* As JSON, existing VMs included. */
int stats_write_json(int fd);

#endif
