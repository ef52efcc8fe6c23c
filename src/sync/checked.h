/* SPDX-License-Identifier: MIT */
/*
 * sync/checked.h - the second back end of sync/: what a scheduler provides.
 *
 * With UMBRA_CHECKED defined, the inline calls of this folder end in the functions below
 * instead of in the processor, pthread and liburcu.  `umbra check` has a scheduler behind
 * them, which decides at each call which thread goes on.  mem/ and mmu/ are compiled for
 * it from the same sources.
 *
 * What is a function here in any case is not declared again: the checker links without
 * this folder and defines these itself.
 *
 *	lock.h		mutex_init, mutex_destroy, rwlock_init, rwlock_destroy
 *	rcu.h		rcu_synchronize
 *	wait.h		wait_on, wait_on_for, wait_wake_all
 *	thread.h	thread_yield, thread_sleep_on, thread_wake, thread_bell_destroy
 *	window.h	window_bind, window_unbind, window_interrupt, window_barrier
 *
 * Only the folder's own headers include this one.
 */
#ifndef SYNC_CHECKED_H
#define SYNC_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

struct mutex;
struct rwlock;

/* Words of 1, 4 or 8 bytes.  @order is one of __ATOMIC_*. */
uint64_t checked_load(const void *at, unsigned int bytes, int order);
void checked_store(void *at, unsigned int bytes, uint64_t value, int order);

/* Read-modify-write, a full barrier: returns the previous contents. */
enum checked_op { CHECKED_XCHG, CHECKED_ADD, CHECKED_OR, CHECKED_AND };
uint64_t checked_rmw(void *at, unsigned int bytes, enum checked_op op, uint64_t operand);
bool checked_cmpxchg(void *at, unsigned int bytes, uint64_t *old, uint64_t value);
/* A counter that no decision depends on: not a scheduling point, no barrier. */
void checked_count(uint64_t *at, uint64_t n);

void checked_barrier(void);		/* full */
void checked_store_barrier(void);	/* stores with stores */
/* Other threads must run before the caller goes on. */
void checked_relax(void);

void checked_mutex_lock(struct mutex *m);
void checked_mutex_unlock(struct mutex *m);
void checked_rwlock_rdlock(struct rwlock *l);
void checked_rwlock_rdunlock(struct rwlock *l);
void checked_rwlock_wrlock(struct rwlock *l);
void checked_rwlock_wrunlock(struct rwlock *l);
/* A bug if the thread holds a lock of this rank or above. */
void checked_assert_none_from(int rank);
/* A bug if the thread does not hold @lock. */
void checked_assert_held(const void *lock, int rank, bool for_write);

void checked_rcu_begin(void);
void checked_rcu_end(void);

/* Around the comparison and the access of a window: true if it must restart. */
void checked_window_begin(void);
bool checked_window_again(void);

/* By number of the rule: on, unless asked otherwise. */
extern bool checked_rule_is_on[];

#endif
