/* SPDX-License-Identifier: MIT */
/*
 * kvm/file.h - which of the process's descriptors are ours, and what they are.
 *
 * A struct file is what the kernel calls an open file description: descriptors
 * made by dup share it.
 */
#ifndef KVM_FILE_H
#define KVM_FILE_H

#include "base/types.h"
#include "sync/atomic.h"

struct vm;
struct vcpu;

enum file_kind {
	FILE_SYSTEM = 1 << 0,
	FILE_VM = 1 << 1,
	FILE_VCPU = 1 << 2,
};

struct file {
	struct atomic32 refs;	/* (a) descriptors, and calls under way */
	enum file_kind kind;	/* (c) */
	struct vm *vm;		/* (c) a reference, unless FILE_SYSTEM */
	struct vcpu *vcpu;	/* (c) of FILE_VCPU */
};

/*
 * In two steps, so that what is made known by the second can still be undone
 * after the first.  file_prepare(): 0, -ENOMEM, or -EMFILE for a number beyond
 * what we keep.  file_attach(): @fd is one of ours from here on.
 */
int file_prepare(struct file **file, int fd, enum file_kind kind, struct vm *vm,
		 struct vcpu *vcpu) MUST_CHECK;
void file_attach(int fd, struct file *file);
/* NULL if @fd is not ours; else file_put() it. */
struct file *file_get(int fd);
void file_put(struct file *file);
bool file_is_ours(int fd);
/* @fd is no longer ours.  False if it was not. */
bool file_remove(int fd);
void file_remove_range(unsigned int first, unsigned int last);
/* @new_fd is what @old_fd is; neither need be ours. */
void file_dup(int old_fd, int new_fd);

#endif
