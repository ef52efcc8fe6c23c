/* SPDX-License-Identifier: MIT */
/*
 * kvm/mappings.h - where in the process which files are mapped.
 *
 * A call on a file (fallocate, ftruncate) takes pages from under the guest, but names no
 * address.  So each mapping of a file that comes by is written down, by device, inode
 * and offset, and forgotten when it goes.  An entry says where pages of the file may be:
 * one too many costs translations that are made again.  What does not come by (a mapping
 * made by a raw call, a file changed by another process) is not known: the guest's next
 * access to such a page is then made by the host, as always.
 */
#ifndef KVM_MAPPINGS_H
#define KVM_MAPPINGS_H

#include <sys/stat.h>

#include "kvm/revoke.h"

/* [@start, @start + @bytes) now shows @fd from @offset on. */
void mappings_add_file(hva_t start, uint64_t bytes, int fd, uint64_t offset);
/* Or a System V segment. */
void mappings_add_segment(hva_t start, uint64_t bytes);

/*
 * After a change.  Another thread may have been given the place since: what has been
 * added after @since, the mappings_now() from before the change, is not touched.
 */
uint64_t mappings_now(void);
void mappings_remove(hva_t start, hva_t end, uint64_t since);
/* What was at @from is at @to as well.  If that is longer, what was at the end goes on. */
void mappings_copy(struct hva_range from, struct hva_range to, uint64_t since);
/* What reaches @end goes on to @new_end.  It needs no place in the list. */
void mappings_grow(hva_t end, hva_t new_end, uint64_t since);

/* Where bytes [@first, @last] of the file may be mapped: the number of ranges. */
unsigned int mappings_find(const struct stat *file, uint64_t first, uint64_t last,
			   struct hva_range ranges[REVOKE_MAX_RANGES]);
/* The segment at @start.  If it is not known: false, and all from there on. */
bool mappings_segment(hva_t start, struct hva_range *range);

/* In a forked child: a thread that it does not have may hold the lock. */
void mappings_after_fork(void);

#endif
