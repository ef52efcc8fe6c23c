/* SPDX-License-Identifier: MIT */
/*
 * mem/reservation.h - the address space for Umbra's own memory.
 *
 * One mapping, made once for the process and never released.  Everything that Umbra stores (page
 * tables, TLBs, decoded code, VMs and vCPUs, its mappings of shared files) lies in it, so that no
 * address that the client maps or unmaps is ever ours, and a slot over unmapped memory never
 * becomes a slot over our memory.
 *
 * The mapping is inaccessible but for its opened beginning, which grows in large steps: a process
 * that locks all its memory locks what is open.  Within that, touching memory commits it, without
 * a system call.
 */
#ifndef MEM_RESERVATION_H
#define MEM_RESERVATION_H

#include "base/types.h"

/* Makes the reservation if it does not exist yet; so does the first allocation. 0, or -ENOMEM:
 * not enough address space. */
int reservation_init(void) MUST_CHECK;

/* Zeroed memory, on a cache line, from 4 KiB on page-aligned; or NULL.  Any thread.  Constant
 * time, except to zero memory that was used before. */
void *reservation_get(size_t bytes) MUST_CHECK;
/* @bytes as requested; @p may be NULL.  No system call. */
void reservation_put(void *p, size_t bytes);

/* Returns free memory to the system.  Not while guests run: it takes a system call for each
 * block. */
void reservation_trim(void);

/*
 * Expects this much more to be needed (or, if negative, less): opens it now, so that running a
 * guest need not.  A hint: never fails.
 */
void reservation_expect(int64_t bytes);

/* The file's first @bytes, shared, readable and writable; or NULL and errno. */
void *reservation_map(int fd, size_t bytes) MUST_CHECK;
void reservation_unmap(void *p, size_t bytes);

/* In a child for which no handler of fork(3) has run: whatever other threads were doing, this
 * thread keeps its memory and can allocate.  Called once, by one thread. */
void reservation_after_raw_fork(void);

/* True if any of it is ours. */
bool reservation_meets(uintptr_t start, uint64_t bytes);

#endif
