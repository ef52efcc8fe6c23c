/* SPDX-License-Identifier: MIT */
/*
 * check/world/tlb_log.h - oracle O2, before the write: what a TLB may write is in the log.
 *
 * A writable TLB entry of a page that is logged, with no request to flush it, means
 * that the page is in the log: else the next write through it is in none.  The one
 * oracle that looks at structures of ours: the TLBs, the requests, and the log.
 */
#ifndef CHECK_WORLD_TLB_LOG_H
#define CHECK_WORLD_TLB_LOG_H

/*
 * When all threads have ended: none is between two steps, as a vCPU that has made a
 * page writable and not marked it yet, or a client that has taken the marks and not
 * flushed yet.
 */
void tlb_log_check(void);

#endif
