/* SPDX-License-Identifier: MIT */
#include "check/engine/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/compiler.h"
#include "check/engine/buffer.h"
#include "check/engine/sched.h"
#include "check/engine/timeline.h"
#include "sync/checked.h"

struct word {
	uint64_t last_write;	/* its name, in this run */
	uint32_t run;		/* that the above and the next but one are of */
	uint32_t freed_in;	/* run */
	/* Of an object's first word: what had been seen of each thread when it used the object. */
	uint16_t used[MAX_THREADS];
	uint8_t readers, writers; /* threads, of all runs so far */
	bool shared : 1;	/* two threads use it, and one of them writes */
	bool is_freed_sometime : 1; /* of an object's first word, in any run so far */
	bool ignored : 1;
};

#define ARENA_WORDS (ARENA_BYTES / 8)

static struct word *words;	/* ARENA_WORDS, then one for each frame */

/* By line of the arena: the line where its object begins.  To free an object is to
 * write its first word, and to use it to read that. */
#define LINE_BYTES 64
static uint32_t object_line[ARENA_BYTES / LINE_BYTES];
/*
 * Goes up with each thing that others can see of a thread.  An object that was used since then
 * need not be looked at again, or a loop over a page table that may be freed would have a point
 * at every entry: who frees it between the two uses could have done so before the first.
 */
static uint16_t seen[MAX_THREADS];
/* What of each thread's has become visible, and after what. */
static uint64_t visible[MAX_THREADS];
static uint32_t run_number;
static bool found_shared;

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

/* It would survive the run, and nobody would be known to share it. */
static _Noreturn void fail_outside(const void *at)
{
	sched_fail(VERDICT_WRONG, "%s uses %p as shared memory: it is none of the run's",
		   sched_thread_name(sched_self()), at);
	abort();
}

static struct word *word_of(const void *at)
{
	uintptr_t a = (uintptr_t)at;
	struct word *w = NULL;

	if (likely(a - ARENA_BASE < ARENA_BYTES))
		w = &words[(a - ARENA_BASE) / 8];
	else if (a - FRAMES_BASE < FRAMES_BYTES)
		w = &words[ARENA_WORDS + ((a - FRAMES_BASE) >> 12)];
	if (unlikely(!w))
		fail_outside(at);
	if (w->run != run_number) {
		w->run = run_number;
		w->last_write = 0;
		memset(w->used, 0, sizeof(w->used));
	}
	return w;
}

bool memory_found_shared(void)
{
	return found_shared;
}

/* NULL if it is the word itself, or the object is never freed. */
static struct word *object_of(const void *at, const struct word *w)
{
	uintptr_t offset = (uintptr_t)at - ARENA_BASE;
	struct word *object;

	if (offset >= ARENA_BYTES)
		return NULL;
	object = &words[(uintptr_t)object_line[offset / LINE_BYTES] * (LINE_BYTES / 8)];
	if (likely(!object->is_freed_sometime) || object == w)
		return NULL;
	return word_of((void *)(ARENA_BASE + (uintptr_t)(object - words) * 8));
}

bool memory_is_shared(const void *at)
{
	const struct word *w = word_of(at), *object;
	int t = sched_self();

	if (w->shared)
		return true;
	object = object_of(at, w);
	return object && object->shared && t >= 0 && object->used[t] != seen[t];
}

void memory_allocated(void *at, size_t bytes)
{
	uint32_t first = (uint32_t)(((uintptr_t)at - ARENA_BASE) / LINE_BYTES);

	for (uint32_t i = 0; i < bytes / LINE_BYTES; i++)
		object_line[first + i] = first;
}

static void add_user(struct word *w, uint8_t *users, int t)
{
	uint8_t all;

	if (likely(*users & 1u << t))
		return;
	*users |= (uint8_t)(1u << t);
	all = w->readers | w->writers;
	if (w->shared || !w->writers || !(all & (all - 1)))
		return;
	w->shared = true;
	found_shared = true;
}

/*
 * What nobody shares need not be noted: the thread itself determines what it reads.  Else a read
 * is named by the thread's past and the write whose value it gets.
 */
static void read_word(struct word *w, const void *at, int t)
{
	add_user(w, &w->readers, t);
	if (w->shared)
		sched_now.hash[t] =
			hash_mix(hash_mix(sched_now.hash[t], (uintptr_t)at), w->last_write);
}

static void use_object(const void *at, struct word *w, int t)
{
	struct word *object = object_of(at, w);

	if (likely(!object) || object->used[t] == seen[t])
		return;
	object->used[t] = seen[t];
	read_word(object, at, t);
}

void memory_note_read(const void *at)
{
	struct word *w;
	int t = sched_self();

	if (t < 0)
		return;
	w = word_of(at);
	use_object(at, w, t);
	read_word(w, at, t);
}

static void replace_word(const void *at, bool others_see)
{
	struct word *w;
	int t = sched_self();

	if (t < 0)
		return;
	w = word_of(at);
	use_object(at, w, t);
	add_user(w, &w->writers, t);
	if (!w->shared)
		return;
	sched_now.hash[t] = hash_mix(hash_mix(sched_now.hash[t], (uintptr_t)at), w->last_write);
	w->last_write = hash_mix(sched_now.hash[t], 1);
	seen[t] += others_see;
}

void memory_note_write(const void *at)
{
	replace_word(at, true);
}

void memory_note_lock(void *at)
{
	replace_word(at, false);
}

void memory_is_seen(void)
{
	seen[sched_self()]++;
}

void memory_note_step(uint64_t what)
{
	int t = sched_self();

	if (t >= 0)
		sched_now.hash[t] = hash_mix(sched_now.hash[t], what);
}

/* --- what must not be touched ----------------------------------------------- */

void memory_mark_freed(void *at, size_t bytes)
{
	struct word *first = word_of(at);

	if (!first->is_freed_sometime) {
		first->is_freed_sometime = true;
		found_shared = true;
	}
	sched_point(first->shared);
	buffer_drop(sched_self(), at, bytes);
	memory_note_write(at);
	for (size_t i = 0; i < bytes; i += 8)
		word_of((char *)at + i)->freed_in = run_number;
}

bool memory_is_freed(const void *at)
{
	return word_of(at)->freed_in == run_number;
}

void memory_check_alive(const void *at)
{
	if (unlikely(memory_is_freed(at)))
		sched_fail(VERDICT_MEMORY, "%s uses %s after it was freed",
			   sched_thread_name(sched_self()), timeline_name(at));
}

/* The set-up of a program puts them at the same place in each run. */
void memory_ignore(const void *start, size_t bytes)
{
	const char *at = start, *last = at + (bytes - 1) / 8 * 8;

	if (word_of(at)->ignored && word_of(last)->ignored)
		return;
	for (; at <= last; at += 8)
		word_of(at)->ignored = true;
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

/* --- stores and when they become visible ---------------------------------------- */

void memory_begin_run(void)
{
	run_number++;
	found_shared = false;
	buffer_begin_run();
	for (int t = 0; t < MAX_THREADS; t++) {
		seen[t] = 1;
		visible[t] = 0;
	}
}

bool memory_is_late(void)
{
	return !buffer_is_empty(sched_self());
}

uint64_t memory_state(int t)
{
	return buffer_any() ? hash_mix(visible[t], buffer_hash(t)) : visible[t];
}

/*
 * The store's name is its thread's, who does not know what it overwrites; so the order of the
 * stores to a word is kept apart.  A sum: that of stores to different words does not matter.
 */
static void publish(int t, const struct buffered *e)
{
	struct word *w = word_of(e->at);
	uint64_t value = e->value;

	if (unlikely(w->freed_in == run_number))
		sched_fail(VERDICT_MEMORY, "%s has stored to %s, which was freed before others saw "
			   "the store", sched_thread_name(t), timeline_name(e->at));
	if (e->kind >= STORE_UNLOCK)
		value = (uint32_t)(value + memory_raw_load(e->at, e->bytes));
	add_user(w, e->kind == STORE_UNLOCK_READ ? &w->readers : &w->writers, t);
	if (w->shared) {
		visible[t] += hash_mix(e->hash, w->last_write);
		if (e->kind != STORE_UNLOCK_READ)
			w->last_write = e->hash;
	}
	change(e->at, e->bytes, value);
}

void memory_commit(int t, unsigned int entry)
{
	struct buffered e = buffer_take(t, entry);

	if (is_told(e.at))
		timeline_commit(t, e.at, e.bytes, e.value);
	publish(t, &e);
}

void memory_drain(int t)
{
	/* The setup's and the last look's stores are made at once. */
	while (t >= 0 && !buffer_is_empty(t))
		memory_commit(t, 0);
}

void memory_drain_all(void)
{
	for (int t = 0; t < MAX_THREADS; t++)
		memory_drain(t);
}

/* Of what nobody shares nobody sees when it is stored. */
static bool others_see(const struct buffered *e, const struct word *w)
{
	const struct word *object = object_of(e->at, w);

	return w->shared || (object && object->shared);
}

/* A tick whatever is known of the word: a replay knows less of it than the search did. */
static bool stays_late(int t, const struct buffered *e, bool seen_by_others)
{
	bool must;

	if (sched_memory() == MEMORY_SC)
		return false;
	must = seen_by_others && buffer_holds_back(t, e);
	return sched_choose(2, 1, seen_by_others && !must) == 1 || must;
}

/* To become visible later than at once costs one, unless an earlier store is in the way. */
static void store(struct buffered e)
{
	int t = sched_self();
	struct word *w = word_of(e.at);
	bool seen_by_others = others_see(&e, w);

	use_object(e.at, w, t);
	if (seen_by_others) {
		memory_note_step((uintptr_t)e.at);
		memory_is_seen();
	}
	e.hash = sched_now.hash[t];
	if (!stays_late(t, &e, seen_by_others)) {
		if (e.kind < STORE_UNLOCK && is_told(e.at))
			timeline_store(e.at, e.bytes, e.value);
		publish(t, &e);
		return;
	}
	add_user(w, e.kind == STORE_UNLOCK_READ ? &w->readers : &w->writers, t);
	if (!buffer_has_room(t))
		memory_commit(t, 0);
	buffer_put(t, e);
	if (is_told(e.at))
		timeline_delayed(e.at, e.bytes, e.value);
}

void memory_unlock(void *at, uint32_t held, bool for_read)
{
	sched_point(memory_is_shared(at));
	memory_check_alive(at);
	store((struct buffered){
		.at = at, .bytes = 4, .value = (uint32_t)-held,
		.kind = for_read ? STORE_UNLOCK_READ : STORE_UNLOCK,
	});
	sched_progress();
}

uint32_t memory_lock_word(int t, const void *at)
{
	uint64_t name;

	return (uint32_t)buffer_view(t, at, 4, memory_raw_load(at, 4), &name);
}

/* --- sync/checked.h ---------------------------------------------------------- */

static bool is_outside(const void *at)
{
	return !sched_is_running() || word_of(at)->ignored;
}

/* What it is to the thread that runs. */
static uint64_t own_view(const void *at, unsigned int bytes)
{
	int t = sched_self(), partly;
	struct word *w = word_of(at);
	uint64_t name, value;

	/* Not to be had from the buffer: it waits until that is visible. */
	while ((partly = buffer_overlap(t, at, bytes)) >= 0)
		for (; partly >= 0; partly--)
			memory_commit(t, 0);
	name = w->last_write;
	value = buffer_view(t, at, bytes, memory_raw_load(at, bytes), &name);
	use_object(at, w, t);
	add_user(w, &w->readers, t);
	if (w->shared)
		memory_note_step(hash_mix((uintptr_t)at, name));
	return value;
}

uint64_t checked_load(const void *at, unsigned int bytes, int order)
{
	uint64_t value;

	(void)order;
	if (is_outside(at))
		return memory_raw_load(at, bytes);
	sched_point(memory_is_shared(at));
	memory_check_alive(at);
	value = own_view(at, bytes);
	if (is_told(at))
		timeline_load(at, bytes, value);
	return value;
}

void checked_store(void *at, unsigned int bytes, uint64_t value, int order)
{
	if (is_outside(at)) {
		memory_raw_store(at, bytes, value);
		return;
	}
	sched_point(memory_is_shared(at));
	memory_check_alive(at);
	store((struct buffered){
		.at = at, .bytes = (uint8_t)bytes, .value = value,
		.kind = order == __ATOMIC_RELAXED ? STORE_RELAXED : STORE_RELEASE,
	});
}

/* Until the moment of the access earlier stores may be late. */
static uint64_t begin_rmw(void *at, unsigned int bytes)
{
	sched_point(memory_is_late() || memory_is_shared(at));
	memory_drain(sched_self());
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

	if (is_outside(at)) {
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
	bool inside = !is_outside(at);
	uint64_t now = inside ? begin_rmw(at, bytes) : memory_raw_load(at, bytes);

	if (inside && is_told(at))
		timeline_cmpxchg(at, bytes, *old, now, value);
	if (now != *old) {
		if (inside)
			memory_note_read(at);
		*old = now;
		return false;
	}
	if (!inside) {
		memory_raw_store(at, bytes, value);
		return true;
	}
	memory_note_write(at);
	change(at, bytes, value);
	return true;
}

/* Its one writer knows what it has written. */
void checked_count(uint64_t *at, uint64_t n)
{
	if (is_outside(at)) {
		*at += n;
		return;
	}
	sched_point(memory_is_shared(at));
	memory_check_alive(at);
	store((struct buffered){
		.at = at, .bytes = sizeof(*at), .value = own_view(at, sizeof(*at)) + n,
		.kind = STORE_RELAXED,
	});
}

void checked_barrier(void)
{
	if (!sched_is_running())
		return;
	sched_point(memory_is_late());
	memory_drain(sched_self());
	memory_note_step(STEP_BARRIER);
}

void checked_store_barrier(void)
{
	if (sched_is_running())
		buffer_barrier(sched_self());
}

void checked_relax(void)
{
	sched_yield_turn();
}
