/* SPDX-License-Identifier: MIT */
/*
 * sync/rcu.h - read-copy-update: liburcu's "bulletproof" flavour.
 *
 * That flavour, because the threads belong to the client: they start and end without notice, and
 * may fork.  A thread is registered on its first read section.  Sections nest, and wait only for
 * locks that are never held while waiting for readers.
 */
#ifndef SYNC_RCU_H
#define SYNC_RCU_H

#include <stdbool.h>

#include "base/compiler.h"
#include "sync/atomic.h"
#include "sync/thread.h"

#ifndef UMBRA_CHECKED
/* thread_era when this thread was registered; 0: never. */
extern __thread uint32_t rcu_thread_era __attribute__((tls_model("initial-exec")));

void rcu_register_self(void);
void rcu_native_read_lock(void);
void rcu_native_read_unlock(void);
#endif
/* Waits until every read section that began before the call has ended.  Not
 * inside a read section. */
void rcu_synchronize(void);

/* To be called around fork(2): prepare, then one of the two. */
void rcu_before_fork(void);
void rcu_after_fork_parent(void);
void rcu_after_fork_child(void);
/* In a child for which rcu_before_fork() was not called: threads that do not exist here may hold
 * the locks. */
void rcu_after_raw_fork(void);

#ifdef UMBRA_CHECKED
static inline void rcu_read_begin(void)
{
	checked_rcu_begin();
}

static inline void rcu_read_end(void)
{
	checked_rcu_end();
}
#else
static inline void rcu_read_begin(void)
{
	if (unlikely(rcu_thread_era != atomic32_load_relaxed(&thread_era)))
		rcu_register_self();
	rcu_native_read_lock();
}

static inline void rcu_read_end(void)
{
	rcu_native_read_unlock();
}

#endif

#endif
