/* SPDX-License-Identifier: MIT */
/*
 * mem/reservation.h - the address space that Umbra's own memory lies in.
 *
 * One mapping, made once for the process and never given back.  Whatever Umbra
 * keeps (page tables, TLBs, decoded code, VMs and vCPUs, its mappings of shared
 * files) lies in it, so that no address that the client maps or unmaps is ever
 * ours, and a slot over unmapped memory never becomes a slot over our memory.
 *
 * The mapping is inaccessible but for its opened beginning, which grows in large
 * steps: a process that locks all its memory locks what is open.  Within that,
 * memory is committed by touching it, without a system call.
 */
#ifndef MEM_RESERVATION_H
#define MEM_RESERVATION_H

#include "base/types.h"

/* Makes the reservation if it is not there yet; so does the first allocation.
 * 0, or -ENOMEM: there is no address space to be had. */
int reservation_init(void) MUST_CHECK;

/* Zeroed memory, on a cache line, from 4 KiB on page-aligned; or NULL.  Any thread.
 * Constant time but for the zeroing of memory that was used before. */
void *reservation_get(size_t bytes) MUST_CHECK;
/* @bytes as it was asked for; @p may be NULL.  No system call. */
void reservation_put(void *p, size_t bytes);

/* Memory that is free goes back to the system.  Not while a guest is to be run: it
 * costs a call a block. */
void reservation_trim(void);

/*
 * Somebody will need so much in addition (or, negative, no longer does): it is
 * opened now, since running a guest should not make the call.  A hint: never fails.
 */
void reservation_expect(int64_t bytes);

/* The file's first @bytes, shared, readable and writable; or NULL and errno. */
void *reservation_map(int fd, size_t bytes) MUST_CHECK;
void reservation_unmap(void *p, size_t bytes);

/* In a child for which no handler of fork(3) has run: whatever other threads were doing,
 * what this one has stays, and it can get more.  The one call by one thread. */
void reservation_after_raw_fork(void);

/* Is any of it ours? */
bool reservation_meets(hva_t start, uint64_t bytes);

#endif
