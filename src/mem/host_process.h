/* SPDX-License-Identifier: MIT */
/*
 * mem/host_process.h - guest memory that is the client's own mapping.
 *
 * pfn is the host virtual page: behind ours is the host's MMU, which keeps it correct whatever
 * the client does to its mappings.
 */
#ifndef MEM_HOST_PROCESS_H
#define MEM_HOST_PROCESS_H

#include "mem/host.h"

struct host_process {
	int pagemap_fd;	/* (c) /proc/self/pagemap, or -1 */
	bool scans;	/* (c) PAGEMAP_SCAN is there; a test may forbid it before the first use */
};

/* Never fails: without a usable pagemap every page is 4 KiB. */
struct host_memory host_process_init(struct host_process *h);
void host_process_destroy(struct host_process *h);

#endif
