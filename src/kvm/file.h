/* SPDX-License-Identifier: MIT */
/*
 * kvm/file.h - which of the process's descriptors are ours, and what they are.
 *
 * A struct file is what the kernel calls an open file description: descriptors
 * made by dup share it.
 *
 * The table goes by numbers, and a number can change hands unseen: by a system
 * call that is not the C library's, by fclose(3), by io_uring.  What a descriptor
 * is stands in the file behind it, a memory file of our own: a VM's and a vCPU's
 * are known by their inodes, those that stand for /dev/kvm by their mode.  So an
 * entry of the table is a hint, to be verified by fstat(2).  Only KVM_RUN takes it
 * for granted (see call.c), and everything does once the client has restricted its
 * system calls: fstat(2) may not be among those that are left.
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
	FILE_PATH = 1 << 3,	/* /dev/kvm opened with O_PATH */
};

struct file {
	struct atomic32 refs;	/* (a) descriptors, and calls under way */
	enum file_kind kind;	/* (c) */
	struct vm *vm;		/* (c) a reference, unless FILE_SYSTEM */
	struct vcpu *vcpu;	/* (c) of FILE_VCPU */
	uint64_t dev, ino;	/* (c) of FILE_VM and FILE_VCPU: the memory file's */
};

/* What a descriptor turned out to be. */
struct file_seen {
	enum file_kind kind;
	int access;		/* O_RDONLY, O_WRONLY or O_RDWR */
};

/*
 * A descriptor that stands for /dev/kvm, as open(2) would make it with @flags: -errno
 * as from there.  @kind is what file_prepare() wants to know.
 */
int file_make_device(int flags, enum file_kind *kind) MUST_CHECK;
/*
 * In two steps, so that what is made known by the second can still be undone
 * after the first.  file_prepare(): 0, -ENOMEM, -EMFILE for a number beyond what we
 * keep, or what fstat(2) says.  file_attach(): @fd is one of ours from here on.
 */
int file_prepare(struct file **file, int fd, enum file_kind kind, struct vm *vm,
		 struct vcpu *vcpu) MUST_CHECK;
void file_attach(int fd, struct file *file);
/* NULL if @fd is not ours; else file_put() it.  What has changed hands is forgotten. */
struct file *file_get(int fd);
/* From here on numbers are believed. */
void file_trust_numbers(void);
/* By the number alone. */
struct file *file_get_unverified(int fd);
/* One of our files under a number that nobody told us of: it is made known. */
struct file *file_recognize(int fd);
void file_put(struct file *file);
/* Does the table say so?  Whoever only passes on what is not ours asks this first. */
bool file_is_known(int fd);
/* Is it one of ours?  Changes nothing, so that a signal handler may ask. */
bool file_look(int fd, struct file_seen *seen);
/* Is it @file that is behind @fd? */
bool file_is_behind(const struct file *file, int fd);
/* @fd is no longer ours. */
void file_remove(int fd);
void file_remove_range(unsigned int first, unsigned int last);
/* @new_fd is what @old_fd is; neither need be ours. */
void file_dup(int old_fd, int new_fd);

#endif
