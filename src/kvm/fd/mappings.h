/* SPDX-License-Identifier: MIT */
/*
 * kvm/fd/mappings.h - where in the process which files are mapped.
 *
 * A call on a file (fallocate, ftruncate) removes pages from the guest without naming an address.
 * So each mapping of a file that we see made is recorded by device, inode and offset, and dropped
 * when it is unmapped.  An entry says where pages of the file may be: one too many only costs
 * translations that are made again.  What we do not see (a mapping made by a raw call, a file
 * changed by another process) is not recorded: the guest's next access to such a page then finds
 * out from the host.
 */
#ifndef KVM_MAPPINGS_H
#define KVM_MAPPINGS_H

#include <sys/stat.h>

#include "kvm/revoke.h"

/* @where now maps @fd from @offset on. */
void mappings_add_file(struct hva_range where, int fd, uint64_t offset);
/* Or a System V segment. */
void mappings_add_segment(hva_t start, uint64_t bytes);

/*
 * After a change.  Another thread may have mapped something there since: entries added after
 * @since, the mappings_now() from before the change, are kept.
 */
uint64_t mappings_now(void);
void mappings_remove(hva_t start, hva_t end, uint64_t since);
/* What was at @from is at @to as well.  If that is longer, the last mapping is extended. */
void mappings_copy(struct hva_range from, struct hva_range to, uint64_t since);
/* A mapping that reaches @end is extended to @new_end.  Needs no new entry. */
void mappings_grow(hva_t end, hva_t new_end, uint64_t since);

/* Where bytes [@first, @last] of the file may be mapped: the number of ranges. */
unsigned int mappings_find(const struct stat *file, uint64_t first, uint64_t last,
			   struct hva_range ranges[REVOKE_MAX_RANGES]);
/* The segment at @start.  False if not known: then everything from there on. */
bool mappings_segment(hva_t start, struct hva_range *range);

/* In a forked child, where a thread that no longer exists may hold the lock. */
void mappings_after_fork(void);

#endif
