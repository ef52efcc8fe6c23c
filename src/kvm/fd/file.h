/* SPDX-License-Identifier: MIT */
/*
 * kvm/fd/file.h - which of the process's descriptors are ours, and of what kind.
 *
 * A struct file is what the kernel calls an open file description: descriptors
 * made by dup share it.
 *
 * The table is indexed by number, and a number can be reused unseen: by a system call past the C
 * library, by fclose(3), by io_uring.  The file behind a descriptor decides, a memory file of our
 * own: those of VMs and vCPUs are identified by inode, those that stand for /dev/kvm by mode.  So
 * an entry of the table is a hint, verified by fstat(2).  Only KVM_RUN trusts it (see call.c),
 * and every call does once the client has restricted its system calls: fstat(2) may no longer be
 * allowed.
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

/* What was found behind a descriptor. */
struct file_seen {
	enum file_kind kind;
	int access;		/* O_RDONLY, O_WRONLY or O_RDWR */
};

/*
 * A descriptor that stands for /dev/kvm, as open(2) would make it with @flags: -errno as open(2).
 * @kind is for file_prepare().
 */
int file_make_device(int flags, enum file_kind *kind) MUST_CHECK;
/*
 * In two steps, so that everything can be undone before the second publishes it. file_prepare():
 * 0, -ENOMEM, -EMFILE for a number beyond the table, or the error of fstat(2). file_attach():
 * @fd is ours from here on.
 */
int file_prepare(struct file **file, int fd, enum file_kind kind, struct vm *vm,
		 struct vcpu *vcpu) MUST_CHECK;
void file_attach(int fd, struct file *file);
/* NULL if @fd is not ours; else file_put() it.  Drops the entry of a number that was reused. */
struct file *file_get(int fd);
/* From here on numbers are trusted. */
void file_trust_numbers(void);
/* By the number alone. */
struct file *file_get_unverified(int fd);
/* One of our files under a number that was not in the table: adds it. */
struct file *file_recognize(int fd);
void file_put(struct file *file);
/* True if the table says that it is ours.  The first test of a wrapper. */
bool file_is_known(int fd);
/* True if it is one of ours.  Changes nothing, so a signal handler may call it. */
bool file_look(int fd, struct file_seen *seen);
/* True if @file is behind @fd. */
bool file_is_behind(const struct file *file, int fd);
/* @fd is no longer ours. */
void file_remove(int fd);
void file_remove_range(unsigned int first, unsigned int last);
/* @new_fd is now a duplicate of @old_fd; neither need be ours. */
void file_dup(int old_fd, int new_fd);

#endif
