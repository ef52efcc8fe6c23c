/* SPDX-License-Identifier: MIT */
/*
 * stress/stress.h - umbra stress: what its parts share.
 *
 * Guests are native code: each vCPU's thread makes accesses by <umbra/mmu.h> and knows what they
 * must return.  Host threads change everything that can be changed under them.  All of them hold
 * the world's lock for reading while they work, so that a checkpoint, which holds it for writing,
 * sees memory at rest.
 *
 * Guest physical memory: slot 0 with the guests' tables, then pages that may lose their contents
 * ("volatile"), then pages that never do ("steady"); slot 1, which is added, deleted and moved
 * between two places; and a range that never has a slot.
 *
 * Every word of a data page identifies itself: tag(page, word, count).
 */
#ifndef STRESS_STRESS_H
#define STRESS_STRESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <umbra/mmu.h>

#define PAGE 4096u
#define PTE_P 1ull
#define PTE_W 2ull
#define PTE_U 4ull
#define PTE_A 0x20ull
#define PTE_D 0x40ull
#define PTE_PS 0x80ull
#define PTE_FRAME 0xffffffffff000ull

/* Slot 0, in pages: tables; pages that only entries which change lead to; data. */
#define EXCLUSIVE 512u
#define VOLATILE 1024u
#define STEADY 1536u
#define N_PAGES 2048u
#define BLOCK 16u		/* that host threads take at a time */
/* Slot 1. */
#define N_MOVING 64u
#define MOVING_PAGE 4096u	/* its pages' numbers in tags */
#define PLACE_GPA(i) (0x10000000ull + (i) * 0x1000000ull)
#define MMIO_GPA 0xf0000000ull
#define N_MMIO 16u

/* Guest virtual addresses: 2 MiB each, by number. */
#define WINDOW(i) ((uint64_t)(i) << 21)
#define W_CHURN 1u		/* two tables take turns */
#define W_SHARED 2u		/* one table for all vCPUs */
#define W_MOVING 3u
#define W_MMIO 4u
#define W_LAZY 5u
#define W_SMALL 8u		/* slot 0, by 4 KiB pages */
#define W_LARGE 12u		/* slot 0, by 2 MiB pages */
#define N_CHURN 64u
#define N_HOT_ENTRIES 4u

#define MAX_VCPUS 32u
#define N_HOSTS 5u
#define N_EVENTS 32u
#define OWN_WORDS 8u		/* of each page, that belong to one vCPU */
#define FIRST_OWN 8u
#define LAZY_WORDS 320u		/* from here on words are not tagged */
#define POISON 0xdeaddeaddeaddeadull

/* The frame of slot 0 with locks and counters, by word. */
enum { WORD_LOCK = 0, WORD_COUNT = 1, WORD_COUNT_AGAIN = 2, WORD_SHARED_LOCK = 3 };

enum stress_op {
	/* guests' */
	OP_READ,
	OP_WRITE,
	OP_TABLES,
	OP_LAZY,
	OP_SHARED,
	OP_LOCK,
	OP_MMIO,
	OP_SLOT,
	N_GUEST_OPS,
	/* the host's */
	OP_UNMAP = N_GUEST_OPS,
	OP_PUNCH,
	OP_MOVE,
	OP_HARVEST,
	OP_LOGGING,
	OP_SLOTS,
	OP_AGE,
	OP_LIMIT,
	N_OPS,
};
extern const char *const stress_op_names[N_OPS];

enum stress_oracle {
	ORACLE_FREED,
	ORACLE_DIRTY,
	ORACLE_STALE,
	ORACLE_MMIO,
	ORACLE_MEMORY,
	ORACLE_LIVENESS,
};

enum stress_log { LOG_BITMAP, LOG_MANUAL, LOG_RING };
extern const char *const stress_log_names[];

/* (a) accessed by atomic builtins, as others read it */
struct event {
	uint64_t time;		/* (a) ns since the start */
	const char *what;	/* (a) */
	uint64_t a, b;		/* (a) */
};

/* Per-thread state, private except what is marked (a). */
struct worker {
	struct stress *s;
	pthread_t thread;
	char name[16];
	uint64_t random;
	struct event events[N_EVENTS];
	uint64_t n_events;	/* (a) */
	uint64_t busy_since;	/* (a) 0: between two operations */
	uint64_t done[N_OPS];	/* (a) */
};

/* The values that a guest's entry may be used with: several since the last flush. */
#define MAX_MAYBE 6u
struct maybe {
	uint64_t pte[MAX_MAYBE];
	unsigned int n;
};

struct guest {
	struct worker w;
	struct umbra_vcpu *vcpu;
	unsigned int id;
	uint64_t root[2], directory, churn_table[2], lazy_table; /* gpas */
	unsigned int which;	/* of the churn tables */
	uint64_t churn[2][N_CHURN];
	struct maybe lazy[N_CHURN];
	uint64_t n_lazy;	/* writes by it: what the last one stored */
	uint32_t count[N_PAGES + N_MOVING][OWN_WORDS]; /* what its own words say */
	uint64_t n_accesses;	/* (a) */
	uint64_t n_locked;	/* (a) */
	uint64_t ipi_wanted, ipi_done, ipi_gva; /* (a) */
};

enum { KIND_EXCLUSIVE, KIND_VOLATILE, KIND_STEADY, N_KINDS };
static const uint64_t stress_kinds[N_KINDS + 1] = { EXCLUSIVE, VOLATILE, STEADY, N_PAGES };
#define FIRST_OF_KIND(k) (stress_kinds[k])
#define END_OF_KIND(k) (stress_kinds[(k) + 1])

struct shared_entry {
	uint64_t seq;		/* (a) odd: being changed */
	uint64_t pte;		/* (a) */
};

struct stress {
	/* options */
	enum umbra_mmu_mode mode;
	double seconds;
	unsigned int n_vcpus;
	uint64_t seed;
	bool enabled[N_OPS];
	/* chosen by the seed */
	enum stress_log log;
	enum umbra_flush_policy policy;

	uint64_t start_ns;
	bool stop;		/* (a) */
	bool hit;		/* (a) */
	pthread_rwlock_t world;
	struct umbra_mmu *mmu;
	uint8_t *arena, *memory, *moving, *scratch[2];
	uint64_t shared_table, lock_gpa;

	/* Host threads and checkpoints. */
	pthread_mutex_t pages_lock[2];	/* contents of even and odd blocks; no other way in */
	pthread_mutex_t log_lock;	/* the log and the copy */
	bool logging;			/* [log_lock] */
	uint8_t *copy;			/* [log_lock] */
	uint64_t host_dirty[N_PAGES / 64]; /* (a) */
	uint64_t n_harvested, n_checkpoints; /* (a) */
	uint64_t slot_state;		/* (a) count << 2 | place + 1, or 0; odd count: in change */
	struct shared_entry shared[N_CHURN];
	/* Blocks that guests and host both prefer for a while: one of each kind and half, so that
	 * they collide. */
	uint64_t hot[N_KINDS][2];	/* (a) */
	uint32_t active;		/* (a) operations, by bit: some of those enabled */

	struct guest guests[MAX_VCPUS];
	struct worker hosts[N_HOSTS];
	struct worker main;
};

static inline bool stress_is_active(const struct stress *s, enum stress_op op)
{
	return __atomic_load_n(&s->active, __ATOMIC_RELAXED) >> op & 1;
}

/* Helpers that all parts use. */
static inline uint64_t stress_random(struct worker *w)
{
	w->random ^= w->random >> 12;
	w->random ^= w->random << 25;
	w->random ^= w->random >> 27;
	return w->random * 0x2545f4914f6cdd1dull >> 16;
}

/* A page that others are likely to use too. */
static inline uint64_t stress_random_page(struct worker *w, unsigned int kind)
{
	uint64_t r = stress_random(w);

	if (r & 1)
		return __atomic_load_n(&w->s->hot[kind][r >> 1 & 1], __ATOMIC_RELAXED) * BLOCK +
		       (r >> 2) % BLOCK;
	return FIRST_OF_KIND(kind) + (r >> 2) % (END_OF_KIND(kind) - FIRST_OF_KIND(kind));
}

static inline uint64_t stress_tag(uint64_t page, uint64_t word, uint32_t count)
{
	return 0xa5ull << 56 | page << 40 | word << 30 | (count & 0x3fffffff);
}

#define load_shared(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define store_shared(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
/* Of a counter with one writer. */
#define count_shared(p) __atomic_store_n(p, *(p) + 1, __ATOMIC_RELAXED)

static inline bool stress_stopped(const struct stress *s)
{
	return __atomic_load_n(&s->stop, __ATOMIC_RELAXED);
}

/* stress/report.c */
uint64_t stress_now_ns(void);
void stress_event(struct worker *w, const char *what, uint64_t a, uint64_t b);
/* An oracle has found a violation: reports it and ends the process. */
void stress_hit(struct worker *w, enum stress_oracle oracle, const char *format, ...)
	__attribute__((format(printf, 3, 4), noreturn, cold));
void stress_watch_for_crashes(struct stress *s);
void stress_begin_op(struct worker *w);
void stress_end_op(struct worker *w, enum stress_op op);
/* The second is for the end: its line stays. */
void stress_progress(struct stress *s);
void stress_last_progress(struct stress *s);
void stress_summary(struct stress *s);

/* stress/world.c: false after a message */
bool stress_world_create(struct stress *s);
void stress_world_destroy(struct stress *s);

/* stress/guest.c */
void *stress_guest_main(void *guest);
enum umbra_result stress_load(struct guest *g, uint64_t gva, uint64_t *value);
enum umbra_result stress_store(struct guest *g, uint64_t gva, uint64_t value);
/* In memory that is always there. */
uint64_t stress_load_sure(struct guest *g, uint64_t gva);
void stress_store_sure(struct guest *g, uint64_t gva, uint64_t value);
/* By one of the windows on slot 0. */
uint64_t stress_physical(struct guest *g, uint64_t gpa);
/* Lets others run and services their requests.  False: it is time to stop. */
bool stress_breathe(struct guest *g);
bool stress_lock(struct guest *g, unsigned int word);
void stress_unlock(struct guest *g, unsigned int word);

/* stress/tables.c */
void stress_op_tables(struct guest *g);
void stress_op_lazy(struct guest *g);
void stress_op_shared(struct guest *g);
/* From time to time, or because another thread waits. */
enum when { NOW, NOW_AND_THEN };
void stress_serve_ipi(struct guest *g, enum when when);

/* stress/host.c */
bool stress_start_hosts(struct stress *s);
void stress_join_hosts(struct stress *s);
/* With all threads at rest: checks what must be true then. */
void stress_checkpoint(struct stress *s);
/* Chooses other preferred blocks, and other operations. */
void stress_choose(struct stress *s);

#endif
