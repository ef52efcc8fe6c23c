/* SPDX-License-Identifier: MIT */
/*
 * kvm/fd/shared.h - the memory file behind a VM's or vCPU's descriptor.
 *
 * It begins with the object's statistics in the binary format of KVM_GET_STATS_FD, counters
 * included: a second, read-only opening of the same file is the statistics descriptor, always up
 * to date.  What the client maps of a vCPU follows them.
 */
#ifndef KVM_SHARED_H
#define KVM_SHARED_H

#include "base/types.h"

/* Constant after creation: (c). */
struct shared {
	int fd;			/* (c) until it is given to the client, then -1 */
	uint8_t *map;		/* (c) */
	size_t bytes;		/* (c) */
};

/* An empty memory file that may be sealed: fd or -errno. */
int shared_file(const char *name, unsigned int flags) MUST_CHECK;
/* A file of @bytes, sealed against shrinking.  0 or -errno. */
int shared_create(struct shared *s, const char *name, size_t bytes) MUST_CHECK;
/* Unmaps it; closes the descriptor if the client has not got it. */
void shared_destroy(struct shared *s);

/*
 * A second, read-only descriptor of the file behind @fd, with a position of its own;
 * where there is no /proc, of a copy of its first @bytes.  fd or -errno.
 */
int shared_open_again(const struct shared *s, size_t bytes, int fd);

#endif
