/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/vm_fixture.h - what the unit tests share.
 *
 *   test_vm   slots, an MMU, vCPUs and memory behind them
 *   recorder  slots alone, with a table of operations that writes down its calls
 *   hooks     a function that runs when some thread is about to take a lock, to
 *             sleep, to wait for readers or to walk tables: so that a race is played,
 *             not hoped for.  The linker sends those calls through the fixture (--wrap).
 *   run       random numbers from a seed, and checks that name seed and step
 */
#ifndef UNIT_VM_FIXTURE_H
#define UNIT_VM_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>

#include "mem/host_process.h"
#include "mmu/mmu.h"
#include "mmu/translate.h"

/* How often a test of n steps runs its loop: the sanitizers cost time. */
#if defined(BUILT_WITH_TSAN)
#define STEPS(n) ((n) / 16 + 1)
#elif defined(BUILT_WITH_ASAN)
#define STEPS(n) ((n) / 8 + 1)
#elif defined(UMBRA_DEBUG_CHECKS)
#define STEPS(n) ((n) / 2 + 1)
#else
#define STEPS(n) (n)
#endif

struct test_vm;

/* --- random runs ------------------------------------------------------- */

struct run {
	uint64_t seed, state;
	unsigned int step;
};

void run_begin(struct run *r, uint64_t seed);
uint64_t run_next(struct run *r);
/* 0 .. n - 1 */
uint64_t run_below(struct run *r, uint64_t n);
bool run_chance(struct run *r, unsigned int percent);

#define run_assert(r, cond)                                                                   \
	do {                                                                                  \
		if (!(cond))                                                                  \
			fail_msg("seed %#llx step %u: %s", (unsigned long long)(r)->seed,     \
				 (r)->step, #cond);                                           \
	} while (0)

/* --- threads ----------------------------------------------------------- */

/* cmocka's asserts are for the main thread; another notes its failure. */
#define note_unless(cond) note_failure_unless(cond, #cond, __LINE__)
void note_failure_unless(bool ok, const char *what, int line);
void assert_no_thread_failed(void);

void thread_start(pthread_t *t, void *(*fn)(void *), void *arg);
void thread_end(pthread_t t);

/* --- hooks ------------------------------------------------------------- */

enum hook_point {
	HOOK_RDLOCK,
	HOOK_WRLOCK,
	HOOK_WATCHED,		/* the mutex that is watched */
	HOOK_WAIT,
	HOOK_SYNCHRONIZE,
	HOOK_DESCENT,		/* from a root of our tables, of either kind */
	HOOK_WALK,		/* of the guest's tables, by the direct ones */
	N_HOOKS,
};

/* @fn runs once, in the next thread that reaches the point, before the call. */
void hook_once(enum hook_point point, void (*fn)(void *ctx), void *ctx);
void hook_clear(enum hook_point point);
/* How often any thread has come to the point. */
uint64_t hook_count(enum hook_point point);
/* How often @m was taken since it is watched. */
void watch_mutex(const struct mutex *m);
uint64_t watched_locks(void);

/*
 * Work under the MMU lock, in entries visited: the most from one taking of a lock to the
 * next since it is watched.  For one thread.
 */
void work_watch(const struct test_vm *vm);
uint64_t work_most(void);

/* --- slots alone ------------------------------------------------------- */

enum event_kind { EV_ZAP, EV_PROTECT, EV_PROTECT_PAGES, EV_FLUSH, EV_ZAP_MMIO };

struct event {
	enum event_kind kind;
	uint32_t slot;
	uint32_t flags;		/* of the slot */
	uint64_t a, b;		/* first level, or offset and mask */
	uint64_t generation;	/* when it was called */
};

#define MAX_EVENTS 4096

struct recorder {
	struct mmu mmu;			/* of which nothing is used but where it is */
	struct alloc alloc;
	struct slots slots;
	struct atomic64 n_harvested, n_updates;
	unsigned int n_events;
	struct event events[MAX_EVENTS];
	/* called from within every operation, if set */
	void (*on_event)(struct recorder *r, const struct event *e);
	void *ctx;
};

struct recorder *recorder_make(void);
/* Also sees that nothing has leaked. */
void recorder_free(struct recorder *r);

#define TEST_HVA 0x200000000000ull
#define TEST_MAX_GFN ((1ull << 36) - 1)

/* The numbers are those of the ioctl. */
int set_slot(struct slots *s, uint32_t id, uint64_t gpa, uint64_t pages, uint64_t hva,
	     uint32_t flags);
/* The slot that @gpa is in, or -1. */
int slot_at(struct slots *s, uint64_t gpa);

/* --- a machine --------------------------------------------------------- */

/* Host memory that does as a test says. */
struct sim_host {
	int level;		/* the largest page it offers */
	bool eager;		/* reads bring pages in for writing, too */
	bool refuse;		/* it has no page at all */
	uint64_t n_resolved;
	void (*on_resolve)(void *ctx, hva_t hva, bool write);
	void *ctx;
};

struct test_vm {
	struct alloc alloc;
	struct slots slots;
	struct mmu mmu;
	struct host_process process;
	struct sim_host sim;
	struct mmu_vcpu *vcpu;	/* array of n_vcpus */
	unsigned int n_vcpus;
	uint8_t *memory;	/* n_pages, aligned to a large page if that large */
	uint64_t n_pages;
};

/* How machines that are made from now on translate. */
extern enum mmu_mode vm_mode;

/* With the process's own memory, or with sim_host before it. */
struct test_vm *vm_make(unsigned int n_vcpus, uint64_t n_pages);
struct test_vm *vm_make_sim(unsigned int n_vcpus, uint64_t n_pages);
/* Also sees that nothing has leaked. */
void vm_free(struct test_vm *vm);

/* Slot @id of @pages pages of the memory, from page @first on. */
void vm_slot(struct test_vm *vm, uint32_t id, uint64_t gpa, uint64_t first, uint64_t pages,
	     uint32_t flags);
/* Where page @page of the memory is. */
hva_t vm_hva(const struct test_vm *vm, uint64_t page);
uint64_t vm_stat(const struct test_vm *vm, enum vm_stat stat);
uint64_t vcpu_stat(const struct mmu_vcpu *v, enum vcpu_stat stat);

/* The direct tables as a vCPU uses them, past the guest's own and the TLB: walk, and
 * fault until there is an answer.  In guest mode and back. */
enum mmu_verdict translate_gpa(struct mmu_vcpu *v, uint64_t gpa, enum access access,
			       struct mmu_result *result);

/* A ring of @entries for each vCPU, and logging to rings.  Before any slot. */
void vm_use_rings(struct test_vm *vm, uint32_t entries);

#endif
