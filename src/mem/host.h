/* SPDX-License-Identifier: MIT */
/*
 * mem/host.h - where guest memory comes from.
 *
 * The MMU accesses host memory only through this table, whatever the implementation.  In the
 * other direction the implementation, or code on its behalf, announces changes of host memory
 * through mmu/notifier.h.
 */
#ifndef MEM_HOST_H
#define MEM_HOST_H

#include "base/types.h"

struct host_page {
	pfn_t pfn;
	bool writable;	/* may be mapped for writing */
	int level;	/* the whole large page around it may be mapped */
};

struct host_memory_ops {
	/*
	 * Brings in the page at @hva for reading or writing.  May block for as long as another
	 * thread takes to provide the page: call it outside guest mode, with no lock held and in
	 * no RCU section.  No level above @max_level is asked for or returned.
	 *
	 * Return: 0, or -EFAULT if there is no such page or it must not be
	 * accessed in this way.
	 */
	int (*resolve)(void *ctx, hva_t hva, bool write, int max_level, struct host_page *page);
	/*
	 * The level that a resolve would probably return for @hva.  Faults nothing in and does
	 * not block.
	 */
	int (*level)(void *ctx, hva_t hva, int max_level);
};

struct host_memory {
	const struct host_memory_ops *ops;
	void *ctx;
};

static inline int host_resolve(const struct host_memory *host, hva_t hva, bool write,
			       int max_level, struct host_page *page)
{
	return host->ops->resolve(host->ctx, hva, write, max_level, page);
}

static inline int host_level(const struct host_memory *host, hva_t hva, int max_level)
{
	return host->ops->level(host->ctx, hva, max_level);
}

/* A pointer to the first byte of @pfn in this process. */
static inline void *host_pointer(pfn_t pfn)
{
	return (void *)(uintptr_t)(pfn << PAGE_SHIFT);
}

#endif
