/* SPDX-License-Identifier: MIT */
#include "check/engine/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "check/engine/sched.h"
#include "check/engine/timeline.h"
#include "sync/checked.h"

struct word {
	uint64_t last_write;	/* hash of the access, in this run */
	uint64_t read_sum;	/* of the reads since */
	uint32_t run;		/* that the above are of */
	uint32_t freed_in;	/* run */
	uint8_t readers, writers; /* threads, of all runs so far */
	bool is_freed_sometime;	/* of an object's first word, likewise */
};

#define ARENA_WORDS (ARENA_BYTES / 8)

static struct word *words;	/* ARENA_WORDS, then one for each frame */
static struct word elsewhere;	/* all other memory: nobody shares it */

/* By line of the arena: the line where its object begins.  To free an object is to
 * write its first word, and to use it to read that: else a loop over a page table that
 * may be freed would have a point of the schedule at every entry. */
#define LINE_BYTES 64
static uint32_t object_line[ARENA_BYTES / LINE_BYTES];
static const struct word *last_object[MAX_THREADS];
static uint32_t run_number;
static bool found_shared;

#define MAX_IGNORED 8
static struct {
	uintptr_t start, end;
} ignored[MAX_IGNORED];
static unsigned int n_ignored;

#define WORDS_BYTES ((ARENA_WORDS + N_FRAMES) * sizeof(struct word))

static void *map(uint64_t where, size_t bytes)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (where ? MAP_FIXED_NOREPLACE : 0);
	void *p = mmap((void *)(uintptr_t)where, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);

	if (p == MAP_FAILED) {
		perror("umbra: no memory for the simulated machine");
		exit(2);
	}
	return p;
}

void memory_prepare(void)
{
	if (words)
		return;
	words = map(0, WORDS_BYTES);
	map(ARENA_BASE, ARENA_BYTES);
	map(FRAMES_BASE, FRAMES_BYTES);
}

void memory_forget(void)
{
	memory_prepare();
	madvise(words, WORDS_BYTES, MADV_DONTNEED);
	run_number = 0;
}

static struct word *word_of(const void *at)
{
	uintptr_t a = (uintptr_t)at;
	struct word *w = &elsewhere;

	if (a - ARENA_BASE < ARENA_BYTES)
		w = &words[(a - ARENA_BASE) / 8];
	else if (a - FRAMES_BASE < FRAMES_BYTES)
		w = &words[ARENA_WORDS + ((a - FRAMES_BASE) >> 12)];
	if (w->run != run_number) {
		w->run = run_number;
		w->last_write = 0;
		w->read_sum = 0;
	}
	return w;
}

bool memory_found_shared(void)
{
	return found_shared;
}

static bool is_shared(const struct word *w)
{
	uint8_t users = w->readers | w->writers;

	return w->writers && (users & (users - 1));
}

/* NULL if it is the word itself, or the object is never freed. */
static struct word *object_of(const void *at)
{
	uintptr_t offset = (uintptr_t)at - ARENA_BASE;
	struct word *w;

	if (offset >= ARENA_BYTES)
		return NULL;
	w = word_of((void *)(ARENA_BASE +
			     (uintptr_t)object_line[offset / LINE_BYTES] * LINE_BYTES));
	return w->is_freed_sometime && w != word_of(at) ? w : NULL;
}

bool memory_is_shared(const void *at)
{
	const struct word *object = object_of(at);

	return is_shared(word_of(at)) ||
	       (object && is_shared(object) && last_object[sched_self()] != object);
}

void memory_allocated(void *at, size_t bytes)
{
	uint32_t first = (uint32_t)(((uintptr_t)at - ARENA_BASE) / LINE_BYTES);

	for (uint32_t i = 0; i < bytes / LINE_BYTES; i++)
		object_line[first + i] = first;
}

static void add_user(struct word *w, uint8_t *users, int t)
{
	bool was = is_shared(w);

	*users |= (uint8_t)(1u << t);
	if (w != &elsewhere && !was && is_shared(w))
		found_shared = true;
}

static void read_word(struct word *w, const void *at, int t)
{
	uint64_t h = hash_mix(hash_mix(sched_hash(t), (uintptr_t)at), w->last_write);

	add_user(w, &w->readers, t);
	w->read_sum += h;
	sched_set_hash(t, h);
}

static void use_object(const void *at, int t)
{
	struct word *object = object_of(at);

	if (object && last_object[t] != object)
		read_word(object, at, t);
	last_object[t] = object;
}

void memory_note_read(const void *at)
{
	int t = sched_self();

	if (t < 0)
		return;
	use_object(at, t);
	read_word(word_of(at), at, t);
}

static uint64_t write_hash(struct word *w, uint64_t by, const void *at)
{
	uint64_t h = hash_mix(hash_mix(by, (uintptr_t)at), w->last_write);

	h ^= hash_mix(w->read_sum, 7);
	w->last_write = h;
	w->read_sum = 0;
	return h;
}

void memory_note_write(const void *at)
{
	struct word *w = word_of(at);
	int t = sched_self();

	if (t < 0)
		return;
	use_object(at, t);
	add_user(w, &w->writers, t);
	sched_set_hash(t, write_hash(w, sched_hash(t), at));
}

/* --- what must not be touched ----------------------------------------------- */

void memory_mark_freed(void *at, size_t bytes)
{
	struct word *first = word_of(at);

	if (!first->is_freed_sometime) {
		first->is_freed_sometime = true;
		found_shared = true;
	}
	sched_point(is_shared(first));
	memory_note_write(at);
	for (size_t i = 0; i < bytes; i += 8)
		word_of((char *)at + i)->freed_in = run_number;
}

bool memory_is_freed(const void *at)
{
	const struct word *w = word_of(at);

	return w != &elsewhere && w->freed_in == run_number;
}

void memory_check_alive(const void *at)
{
	if (memory_is_freed(at))
		sched_fail(VERDICT_MEMORY, "%s uses %s after it was freed",
			   sched_thread_name(sched_self()), timeline_name(at));
}

void memory_ignore(const void *start, size_t bytes)
{
	if (n_ignored == MAX_IGNORED)
		return;
	ignored[n_ignored].start = (uintptr_t)start;
	ignored[n_ignored++].end = (uintptr_t)start + bytes;
}

static bool is_ignored(const void *at)
{
	for (unsigned int i = 0; i < n_ignored; i++)
		if ((uintptr_t)at >= ignored[i].start && (uintptr_t)at < ignored[i].end)
			return true;
	return false;
}

/* --- raw memory -------------------------------------------------------------- */

uint64_t memory_raw_load(const void *at, unsigned int bytes)
{
	uint64_t v = 0;

	memcpy(&v, at, bytes);
	return v;
}

void memory_raw_store(void *at, unsigned int bytes, uint64_t value)
{
	memcpy(at, &value, bytes);
}

/* Is there a run to be told, and does this word matter in it? */
static bool is_told(const void *at)
{
	return timeline_on && memory_is_shared(at);
}

static void change(void *at, unsigned int bytes, uint64_t value)
{
	if (memory_raw_load(at, bytes) != value)
		sched_progress();
	memory_raw_store(at, bytes, value);
}

/* --- store buffers ----------------------------------------------------------- */

#define MAX_BUFFERED 8

struct buffered {
	void *at;
	uint64_t value;
	uint64_t hash;		/* of the thread when it stored */
	uint8_t bytes;
	bool release;
	uint8_t group;		/* store barriers before it */
};

static struct buffer {
	struct buffered entry[MAX_BUFFERED];
	unsigned int n;
	uint8_t group;
	uint64_t hash;		/* of what has become visible */
} buffers[MAX_THREADS];
static unsigned int n_buffered;

void memory_begin_run(void)
{
	run_number++;
	found_shared = false;
	n_ignored = 0;
	n_buffered = 0;
	memset(last_object, 0, sizeof(last_object));
	memset(buffers, 0, sizeof(buffers));
}

bool memory_any_buffered(void)
{
	return n_buffered;
}

uint64_t memory_buffer_hash(int t)
{
	const struct buffer *b = &buffers[t];
	uint64_t h = b->hash;

	for (unsigned int i = 0; i < b->n; i++)
		h = hash_mix(h, b->entry[i].hash);
	return h;
}

static bool may_commit(const struct buffer *b, unsigned int i)
{
	const struct buffered *e = &b->entry[i];

	if (i == 0)
		return true;
	if (sched_memory() != MEMORY_WEAK || e->release)
		return false;
	for (unsigned int k = 0; k < i; k++)
		if (b->entry[k].at == e->at || b->entry[k].group != e->group)
			return false;
	return true;
}

unsigned int memory_n_committable(int t)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < buffers[t].n; i++)
		n += may_commit(&buffers[t], i);
	return n;
}

unsigned int memory_committable(int t, unsigned int i)
{
	unsigned int k = 0;

	for (;; k++)
		if (may_commit(&buffers[t], k) && i-- == 0)
			return k;
}

void memory_commit(int t, unsigned int entry)
{
	struct buffer *b = &buffers[t];
	struct buffered e = b->entry[entry];
	struct word *w = word_of(e.at);

	memmove(&b->entry[entry], &b->entry[entry + 1],
		(b->n - entry - 1) * sizeof(b->entry[0]));
	b->n--;
	n_buffered--;
	add_user(w, &w->writers, t);
	b->hash = write_hash(w, hash_mix(b->hash, e.hash), e.at);
	if (is_told(e.at))
		timeline_commit(t, e.at, e.bytes, e.value);
	change(e.at, e.bytes, e.value);
}

void memory_drain(int t)
{
	while (t >= 0 && buffers[t].n)
		memory_commit(t, 0);
}

void memory_drain_all(void)
{
	for (int t = 0; t < MAX_THREADS; t++)
		memory_drain(t);
}

static void put(struct buffer *b, void *at, unsigned int bytes, uint64_t value, bool release)
{
	int t = sched_self();

	if (b->n == MAX_BUFFERED)
		memory_commit(t, 0);
	sched_set_hash(t, hash_mix(sched_hash(t), (uintptr_t)at));
	b->entry[b->n++] = (struct buffered){
		.at = at, .value = value, .hash = sched_hash(t), .bytes = (uint8_t)bytes,
		.release = release, .group = b->group,
	};
	n_buffered++;
	if (is_told(at))
		timeline_delayed(at, bytes, value);
}

static bool in_own_buffer(const void *at, uint64_t *value)
{
	const struct buffer *b = &buffers[sched_self()];

	for (unsigned int i = b->n; i-- > 0;) {
		if (b->entry[i].at == at) {
			*value = b->entry[i].value;
			return true;
		}
	}
	return false;
}

/* Whether the store becomes visible now; the explorer is asked if it may be late. */
static bool stays_buffered(const struct buffer *b, const void *at, bool release)
{
	uint64_t value;

	if (sched_memory() == MEMORY_SC)
		return false;
	if (!b->n)
		return sched_ask(2, 1, memory_is_shared(at)) == 1;
	if (sched_memory() == MEMORY_TSO || release || in_own_buffer(at, &value) ||
	    b->entry[0].group != b->group)
		return true;
	return sched_ask(2, 1, memory_is_shared(at)) == 1;
}

/* --- sync/checked.h ---------------------------------------------------------- */

uint64_t checked_load(const void *at, unsigned int bytes, int order)
{
	uint64_t value;

	(void)order;
	if (!sched_is_running() || is_ignored(at))
		return memory_raw_load(at, bytes);
	sched_point(memory_is_shared(at));
	memory_check_alive(at);
	if (in_own_buffer(at, &value))
		return value;
	memory_note_read(at);
	value = memory_raw_load(at, bytes);
	if (is_told(at))
		timeline_load(at, bytes, value);
	return value;
}

void checked_store(void *at, unsigned int bytes, uint64_t value, int order)
{
	bool release = order != __ATOMIC_RELAXED;
	struct buffer *b;

	if (!sched_is_running() || is_ignored(at)) {
		memory_raw_store(at, bytes, value);
		return;
	}
	sched_point(memory_is_shared(at));
	memory_check_alive(at);
	b = &buffers[sched_self()];
	if (stays_buffered(b, at, release)) {
		put(b, at, bytes, value, release);
		return;
	}
	memory_note_write(at);
	if (is_told(at))
		timeline_store(at, bytes, value);
	change(at, bytes, value);
}

static uint64_t begin_rmw(void *at, unsigned int bytes)
{
	memory_drain(sched_self());
	sched_point(memory_is_shared(at));
	memory_check_alive(at);
	return memory_raw_load(at, bytes);
}

static uint64_t apply(enum checked_op op, uint64_t old, uint64_t operand)
{
	switch (op) {
	case CHECKED_ADD:
		return old + operand;
	case CHECKED_OR:
		return old | operand;
	case CHECKED_AND:
		return old & operand;
	case CHECKED_XCHG:
		break;
	}
	return operand;
}

static uint64_t narrow(uint64_t value, unsigned int bytes)
{
	return bytes == 8 ? value : value & ((1ull << (8 * bytes)) - 1);
}

uint64_t checked_rmw(void *at, unsigned int bytes, enum checked_op op, uint64_t operand)
{
	uint64_t old, value;

	if (!sched_is_running() || is_ignored(at)) {
		old = memory_raw_load(at, bytes);
		memory_raw_store(at, bytes, apply(op, old, operand));
		return old;
	}
	old = begin_rmw(at, bytes);
	value = narrow(apply(op, old, operand), bytes);
	memory_note_write(at);
	if (is_told(at))
		timeline_rmw(at, bytes, old, value);
	change(at, bytes, value);
	return old;
}

bool checked_cmpxchg(void *at, unsigned int bytes, uint64_t *old, uint64_t value)
{
	uint64_t now;

	if (!sched_is_running()) {
		now = memory_raw_load(at, bytes);
	} else {
		now = begin_rmw(at, bytes);
		if (is_told(at))
			timeline_cmpxchg(at, bytes, *old, now, value);
	}
	if (now != *old) {
		memory_note_read(at);
		*old = now;
		return false;
	}
	memory_note_write(at);
	if (sched_is_running())
		change(at, bytes, value);
	else
		memory_raw_store(at, bytes, value);
	return true;
}

void checked_count(uint64_t *at, uint64_t n)
{
	*at += n;
}

void checked_barrier(void)
{
	if (!sched_is_running())
		return;
	memory_drain(sched_self());
	sched_point(false);
}

void checked_store_barrier(void)
{
	if (sched_is_running())
		buffers[sched_self()].group++;
}

void checked_relax(void)
{
	sched_yield_turn();
}
