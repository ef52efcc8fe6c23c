/* SPDX-License-Identifier: MIT */
/*
 * kvm/fd/file_memory.h - brackets a call that opens a file with O_TRUNC, which removes all of its
 * pages.
 */
#ifndef KVM_FILE_MEMORY_H
#define KVM_FILE_MEMORY_H

#include "kvm/revoke.h"

struct truncation {
	bool is_open;
	struct revocation change;
};

/* @flags: those of open(2).  If the file is mapped, no handler of a signal runs on this
 * thread until the end, which keeps errno. */
void truncation_begin(struct truncation *t, int dir, const char *path, int flags);
void truncation_end(struct truncation *t);

#endif
