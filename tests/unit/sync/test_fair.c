/* SPDX-License-Identifier: MIT */
/* tests/unit/sync/test_fair.c - the reader-writer lock: exclusion, and whose turn it is. */
#include "vm_fixture.h"

#include <sched.h>

#include "sync/lock.h"

#define N_READERS 3u
#define N_WRITERS 2u
#define ROUNDS STEPS(40000)

struct world {
	struct rwlock lock;
	uint64_t a, b;			/* [lock] equal */
	struct atomic32 order;		/* (a) of coming in */
};

static int setup(void **state)
{
	static struct world w;

	w = (struct world){ 0 };
	rwlock_init(&w.lock, RANK_MMU);
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	hook_clear(HOOK_WAIT);
	rwlock_destroy(&w->lock);
	return 0;
}

static void *read_often(void *arg)
{
	struct world *w = arg;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		rwlock_rdlock(&w->lock);
		note_unless(w->a == w->b);
		rwlock_rdunlock(&w->lock);
	}
	return NULL;
}

static void *write_often(void *arg)
{
	struct world *w = arg;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		rwlock_wrlock(&w->lock);
		w->a++;
		/* From time to time a thread waits long enough to sleep. */
		if (i % 256 == 0)
			sched_yield();
		w->b++;
		rwlock_wrunlock(&w->lock);
	}
	return NULL;
}

static void readers_never_see_half_of_a_write(void **state)
{
	struct world *w = *state;
	pthread_t t[N_READERS + N_WRITERS];

	for (unsigned int i = 0; i < N_READERS + N_WRITERS; i++)
		thread_start(&t[i], i < N_READERS ? read_often : write_often, w);
	for (unsigned int i = 0; i < N_READERS + N_WRITERS; i++)
		thread_end(t[i]);
	assert_no_thread_failed();
	assert_int_equal(w->a, N_WRITERS * ROUNDS);
	assert_int_equal(w->b, N_WRITERS * ROUNDS);
}

/* One that wants the lock, and the place at which it got it. */
struct comer {
	struct world *w;
	bool writes;
	pthread_t thread;
	sem_t sleeps;
	uint32_t place;
};

static void note_sleep(void *ctx)
{
	sem_post(ctx);
}

static void *come(void *arg)
{
	struct comer *c = arg;

	if (c->writes) {
		rwlock_wrlock(&c->w->lock);
		c->place = atomic32_fetch_add(&c->w->order, 1);
		rwlock_wrunlock(&c->w->lock);
	} else {
		rwlock_rdlock(&c->w->lock);
		c->place = atomic32_fetch_add(&c->w->order, 1);
		rwlock_rdunlock(&c->w->lock);
	}
	return NULL;
}

/* Returns when it is asleep, waiting. */
static void send_to_wait(struct comer *c, struct world *w, bool writes)
{
	*c = (struct comer){ .w = w, .writes = writes };
	sem_init(&c->sleeps, 0, 0);
	hook_once(HOOK_WAIT, note_sleep, &c->sleeps);
	thread_start(&c->thread, come, c);
	sem_wait(&c->sleeps);
}

static void join(struct comer *c)
{
	thread_end(c->thread);
	sem_destroy(&c->sleeps);
}

/* Else a stream of readers would keep a writer out for ever. */
static void a_writer_that_waits_is_not_overtaken_by_readers(void **state)
{
	struct world *w = *state;
	struct comer writer, reader;

	rwlock_rdlock(&w->lock);
	send_to_wait(&writer, w, true);
	send_to_wait(&reader, w, false);
	assert_int_equal(atomic32_load_relaxed(&w->order), 0);
	rwlock_rdunlock(&w->lock);
	join(&writer);
	join(&reader);
	assert_int_equal(writer.place, 0);
	assert_int_equal(reader.place, 1);
}

/* Else a stream of writers would keep a reader out for ever: this writer is the next
 * and the next but one, with nothing in between. */
static void a_reader_that_waits_is_not_overtaken_by_writers(void **state)
{
	struct world *w = *state;
	struct comer reader;

	rwlock_wrlock(&w->lock);
	send_to_wait(&reader, w, false);
	rwlock_wrunlock(&w->lock);
	rwlock_wrlock(&w->lock);
	assert_int_equal(atomic32_fetch_add(&w->order, 1), 1);
	rwlock_wrunlock(&w->lock);
	join(&reader);
	assert_int_equal(reader.place, 0);
}

static void readers_are_in_together(void **state)
{
	struct world *w = *state;
	struct comer reader = { .w = w };

	rwlock_rdlock(&w->lock);
	thread_start(&reader.thread, come, &reader);
	thread_end(reader.thread);
	assert_int_equal(reader.place, 0);
	rwlock_rdunlock(&w->lock);
}

/* The counts of readers come round after 2^30. */
static void counts_come_round(void **state)
{
	struct world *w = *state;
	struct comer writer;

	atomic32_store_relaxed(&w->lock.native.in, 0u - 8);
	atomic32_store_relaxed(&w->lock.native.out, 0u - 8);
	rwlock_rdlock(&w->lock);
	rwlock_rdunlock(&w->lock);
	rwlock_rdlock(&w->lock);
	send_to_wait(&writer, w, true);
	rwlock_rdunlock(&w->lock);
	join(&writer);
	for (int i = 0; i < 4; i++) {
		rwlock_wrlock(&w->lock);
		rwlock_wrunlock(&w->lock);
		rwlock_rdlock(&w->lock);
		rwlock_rdunlock(&w->lock);
	}
}

#define fair_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		fair_test(readers_never_see_half_of_a_write),
		fair_test(a_writer_that_waits_is_not_overtaken_by_readers),
		fair_test(a_reader_that_waits_is_not_overtaken_by_writers),
		fair_test(readers_are_in_together),
		fair_test(counts_come_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
