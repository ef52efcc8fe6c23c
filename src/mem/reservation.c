/* SPDX-License-Identifier: MIT */
/*
 * mem/reservation.c - powers of two from one mapping.
 *
 * A block is as large as the next power of two.  The rest of it is never touched and so costs
 * only address space, which is plentiful; in return nothing is ever searched, split or joined.
 * New blocks are cut from the mapping in order; free ones are kept by size, touched ones apart
 * from zero ones.
 *
 * Freed memory stays where it is until reservation_trim(): what is freed while a guest runs is
 * soon reused, and giving it back takes a system call.
 */
#include "mem/reservation.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/log.h"
#include "base/system_call.h"
#include "sync/atomic.h"
#include "sync/lock.h"
#include "sync/thread.h"

#ifdef BUILT_WITH_ASAN
#include <sanitizer/asan_interface.h>
/* A redzone must follow each object. */
#define REDZONE 16
#else
#define ASAN_POISON_MEMORY_REGION(p, bytes) ((void)(p), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(p, bytes) ((void)(p), (void)(bytes))
#define REDZONE 0
#endif

#define MAX_BYTES (64ull << 30)
#define MIN_BYTES (64ull << 20)
#define OPEN_STEP (16ull << 20)
#define MIN_SHIFT 6
#define N_CLASSES 31		/* 64 bytes to 64 GiB */

struct free_block {
	struct free_block *next;
};

struct free_blocks {
	struct free_block *zero;	/* zero but for the link */
	struct free_block *used;
};

static struct {
	uintptr_t start, end;	/* (c) once made; 0: there is none */
	struct mutex lock;	/* (c) rank RANK_RESERVATION */
	uintptr_t next;		/* [lock] start of the uncut part */
	uintptr_t open;		/* [lock] the end of what may be touched */
	int64_t expected;	/* [lock] sum of reservation_expect() */
	struct free_blocks classes[N_CLASSES]; /* [lock] */
} reservation;

static struct thread_once once;

/* By system_call(): the program's calls are interposed, and may not touch this mapping. */
static uintptr_t map_nothing(uint64_t bytes)
{
	long at = system_call(SYS_mmap, 0, (long)bytes, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == -1 ? 0 : (uintptr_t)at;
}

static bool advise(uintptr_t at, uint64_t bytes, int advice)
{
	return !system_call(SYS_madvise, (long)at, (long)bytes, advice, 0, 0, 0);
}

/* A client that limits its address space needs most of it for itself. */
static uint64_t most_bytes(void)
{
	uint64_t most = MAX_BYTES;
	struct rlimit limit;

	if (!getrlimit(RLIMIT_AS, &limit) && limit.rlim_cur != RLIM_INFINITY)
		while (most > MIN_BYTES && most > limit.rlim_cur / 4)
			most /= 2;
	return most;
}

static void lock_all(void) NO_THREAD_SAFETY
{
	mutex_lock(&reservation.lock);
}

static void unlock_all(void) NO_THREAD_SAFETY
{
	mutex_unlock(&reservation.lock);
}

static void init_once(void)
{
	uint64_t bytes;

	mutex_init(&reservation.lock, RANK_RESERVATION);
	for (bytes = most_bytes(); bytes >= MIN_BYTES && !reservation.start; bytes /= 2) {
		reservation.start = map_nothing(bytes);
		reservation.end = reservation.start + bytes;
	}
	if (!reservation.start) {
		log_emit(LOG_ERR, "no %llu MiB of address space for Umbra itself (ulimit -v?)",
			 MIN_BYTES >> 20);
		return;
	}
	/* A page of it is committed only when it is touched. */
	advise(reservation.start, reservation.end - reservation.start, MADV_NOHUGEPAGE);
	reservation.next = reservation.open = reservation.start;
	/* The child must be able to allocate, whatever other threads were doing at the fork. */
	if (thread_around_fork(lock_all, unlock_all, unlock_all))
		log_emit(LOG_ERR, "no memory to prepare for fork()");
}

int reservation_init(void)
{
	thread_run_once(&once, init_once);
	return reservation.start ? 0 : -ENOMEM;
}

static unsigned int class_of(size_t bytes)
{
	bytes += REDZONE;
	if (bytes <= 1u << MIN_SHIFT)
		return 0;
	return 64 - MIN_SHIFT - (unsigned int)__builtin_clzll(bytes - 1);
}

static size_t class_bytes(unsigned int class)
{
	return (size_t)1 << (MIN_SHIFT + class);
}

/* Opens up to @end, or a step more. */
static bool open_to(uintptr_t end) REQUIRES(reservation.lock)
{
	uintptr_t open = ALIGN_UP(MAX(end, reservation.open + OPEN_STEP), OPEN_STEP);

	if (end <= reservation.open)
		return true;
	if (end > reservation.end || end < reservation.start)
		return false;
	open = MIN(open, reservation.end);
	if (system_call(SYS_mprotect, (long)reservation.open, (long)(open - reservation.open),
			PROT_READ | PROT_WRITE, 0, 0, 0))
		return false;
	ASAN_POISON_MEMORY_REGION((void *)reservation.open, open - reservation.open);
	reservation.open = open;
	return true;
}

static void *cut_block(size_t bytes) REQUIRES(reservation.lock)
{
	uintptr_t at = ALIGN_UP(reservation.next, MIN(bytes, PAGE_SIZE));

	if (bytes > reservation.end - reservation.start || !open_to(at + bytes))
		return NULL;
	reservation.next = at + bytes;
	return (void *)at;
}

static struct free_block *pop_block(struct free_block **list)
{
	struct free_block *f = *list;

	if (f) {
		ASAN_UNPOISON_MEMORY_REGION(f, sizeof(*f));
		*list = f->next;
	}
	return f;
}

static void push_block(struct free_block **list, void *p, unsigned int class)
{
	struct free_block *f = p;

	ASAN_UNPOISON_MEMORY_REGION(f, sizeof(*f));
	f->next = *list;
	*list = f;
	ASAN_POISON_MEMORY_REGION(f, class_bytes(class));
}

/* How much of it must be zeroed. */
static void *find_block(unsigned int class, size_t bytes, size_t *used)
{
	struct free_blocks *c = &reservation.classes[class];
	void *p;

	mutex_lock(&reservation.lock);
	*used = bytes;
	p = pop_block(&c->used);
	if (!p) {
		*used = MIN(bytes, sizeof(struct free_block));
		p = pop_block(&c->zero);
	}
	if (!p) {
		*used = 0;
		p = cut_block(class_bytes(class));
	}
	mutex_unlock(&reservation.lock);
	return p;
}

void *reservation_get(size_t bytes)
{
	size_t used;
	void *p;

	if (bytes > MAX_BYTES / 2 || reservation_init())
		return NULL;
	p = find_block(class_of(bytes), bytes, &used);
	if (p) {
		ASAN_UNPOISON_MEMORY_REGION(p, bytes);
		memset(p, 0, used);
	}
	return p;
}

void reservation_put(void *p, size_t bytes)
{
	unsigned int class = class_of(bytes);

	if (!p)
		return;
	mutex_lock(&reservation.lock);
	push_block(&reservation.classes[class].used, p, class);
	mutex_unlock(&reservation.lock);
}

static void trim_class(unsigned int class)
{
	struct free_blocks *c = &reservation.classes[class];
	struct free_block *f, *list;

	/* Off the free list, out of reach, during the system call. */
	mutex_lock(&reservation.lock);
	list = c->used;
	c->used = NULL;
	mutex_unlock(&reservation.lock);
	while ((f = pop_block(&list))) {
		bool is_zero = advise((uintptr_t)f, class_bytes(class), MADV_DONTNEED);

		mutex_lock(&reservation.lock);
		push_block(is_zero ? &c->zero : &c->used, f, class);
		mutex_unlock(&reservation.lock);
	}
}

void reservation_trim(void)
{
	/* The link takes a page of each. */
	for (unsigned int i = 0; i < N_CLASSES; i++)
		if (class_bytes(i) >= 4 * PAGE_SIZE)
			trim_class(i);
}

void reservation_expect(int64_t bytes)
{
	uintptr_t end;

	if (reservation_init())
		return;
	mutex_lock(&reservation.lock);
	reservation.expected += bytes;
	end = reservation.next + (uint64_t)reservation.expected;
	if (bytes > 0 && !open_to(MIN(end, reservation.end)))
		log_emit(LOG_WARNING, "no memory to be had in advance");
	mutex_unlock(&reservation.lock);
}

void *reservation_map(int fd, size_t bytes)
{
	void *p;

	bytes = ALIGN_UP(bytes, (size_t)PAGE_SIZE);
	p = reservation_get(bytes);
	if (!p) {
		errno = ENOMEM;
		return NULL;
	}
	if (system_call(SYS_mmap, (long)p, (long)bytes, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_FIXED, fd, 0) == (long)p)
		return p;
	reservation_put(p, bytes);
	return NULL;
}

void reservation_unmap(void *p, size_t bytes)
{
	bytes = ALIGN_UP(bytes, (size_t)PAGE_SIZE);
	/* Otherwise it stays an unused mapping of the file. */
	if (system_call(SYS_mmap, (long)p, (long)bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != (long)p)
		return;
	advise((uintptr_t)p, bytes, MADV_NOHUGEPAGE);
	reservation_put(p, bytes);
}

/* The kernel reads the set of signals before it finds that it need not use it. */
static bool may_be_touched(uintptr_t at)
{
	return !system_call(SYS_rt_sigprocmask, -1, (long)at, 0, _NSIG / 8, 0, 0) ||
	       errno != EFAULT;
}

/*
 * The kernel copies memory page by page while other threads of the parent run: the free lists may
 * not match the blocks, and a page copied late may point to a block that was cut after our
 * counters were copied.  So the lists are forgotten, and nothing is cut from what is already open.
 * The kernel, not our counters, says how far that reaches: no thread can open more during the
 * copy.
 */
void reservation_after_raw_fork(void) NO_THREAD_SAFETY
{
	mutex_init(&reservation.lock, RANK_RESERVATION);
	memset(reservation.classes, 0, sizeof(reservation.classes));
	reservation.expected = 0;
	while (reservation.open < reservation.end && may_be_touched(reservation.open))
		reservation.open += OPEN_STEP;
	reservation.open = MIN(reservation.open, reservation.end);
	reservation.next = reservation.open;
}

bool reservation_meets(uintptr_t start, uint64_t bytes)
{
	uintptr_t end = start + bytes < start ? UINT64_MAX : start + bytes;

	return start < reservation.end && end > reservation.start;
}
