/* SPDX-License-Identifier: MIT */
/*
 * test_litmus CHECKING.md - what the engine's memory models allow; and every program on which an
 * earlier engine said "complete" and had left something out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "litmus.h"

#include "check/engine/arena.h"
#include "check/engine/memory.h"
#include "check/engine/run.h"
#include "sync/atomic.h"
#include "sync/lock.h"

/* --- the classic litmus tests --------------------------------------------------------- */

static const char *docs;

static const struct row {
	const char *name, *program, *outcome, *reads;
	bool allowed[3];	/* by enum memory_model */
} table[] = {
	{ "SB", "st x=1; ld y || st y=1; ld x", "00", "0, 0", { false, true, true } },
	{ "SB, release and acquire", "strel x=1; lda y || strel y=1; lda x", "00", "0, 0",
	  { false, true, true } },
	{ "SB, one barrier", "st x=1; mb; ld y || st y=1; ld x", "00", "0, 0",
	  { false, true, true } },
	{ "SB, barriers", "st x=1; mb; ld y || st y=1; mb; ld x", "00", "0, 0", { 0 } },
	{ "SB, locked stores", "xchg x=1; ld y || xchg y=1; ld x", "?0?0", "0, 0", { 0 } },
	{ "SB, a locked operation between", "st x=1; add z=1; ld y || st y=1; mb; ld x", "?00",
	  "0, 0", { 0 } },
	{ "SB, a locked operation after", "st x=1; ld y; add z=1 || st y=1; mb; ld x", "0?0",
	  "0, 0", { false, true, true } },
	{ "SB, an unlock between", "lock a; st x=1; unlock a; ld y || st y=1; mb; ld x", "00",
	  "0, 0", { false, true, true } },
	{ "SB, a lock between", "st x=1; lock a; unlock a; ld y || st y=1; mb; ld x", "00",
	  "0, 0", { 0 } },
	{ "MP", "st x=1; st y=1 || ld y; ld x", "10", "1, 0", { false, false, true } },
	{ "MP, release", "st x=1; strel y=1 || lda y; ld x", "10", "1, 0", { 0 } },
	{ "MP, store barrier", "st x=1; wmb; st y=1 || ld y; ld x", "10", "1, 0", { 0 } },
	{ "MP, barrier", "st x=1; mb; st y=1 || ld y; ld x", "10", "1, 0", { 0 } },
	{ "MP, locked flag", "st x=1; xchg y=1 || ld y; ld x", "?10", "1, 0", { 0 } },
	{ "MP, locks", "lock a; st x=1; st y=1; unlock a || lock a; ld y; ld x; unlock a", "10",
	  "1, 0", { 0 } },
	{ "LB", "ld x; st y=1 || ld y; st x=1", "11", "1, 1", { 0 } },
	{ "IRIW", "st x=1 || st y=1 || ld x; ld y || ld y; ld x", "1010", "1, 0, 1, 0", { 0 } },
	{ "2+2W", "st x=1; st y=2 || st y=1; st x=2", "/11", "x=1, y=1",
	  { false, false, true } },
	{ "2+2W, releases", "st x=1; strel y=2 || st y=1; strel x=2", "/11", "x=1, y=1", { 0 } },
	{ "2+2W, store barriers", "st x=1; wmb; st y=2 || st y=1; wmb; st x=2", "/11",
	  "x=1, y=1", { 0 } },
	{ "R", "st x=1; st y=1 || st y=2; ld x", "0/12", "0, y=2", { false, true, true } },
	{ "R, barrier before the load", "st x=1; st y=1 || st y=2; mb; ld x", "0/12", "0, y=2",
	  { false, false, true } },
	{ "R, both ordered", "st x=1; strel y=1 || st y=2; mb; ld x", "0/12", "0, y=2", { 0 } },
	{ "S", "st x=2; st y=1 || ld y; st x=1", "1/2", "1, x=2", { false, false, true } },
	{ "S, release", "st x=2; strel y=1 || lda y; st x=1", "1/2", "1, x=2", { 0 } },
	{ "S, store barrier", "st x=2; wmb; st y=1 || ld y; st x=1", "1/2", "1, x=2", { 0 } },
	{ "WRC", "st x=1 || ld x; st y=1 || ld y; ld x", "110", "1, 1, 0", { 0 } },
	{ "WRC, release", "st x=1 || ld x; strel y=1 || lda y; ld x", "110", "1, 1, 0", { 0 } },
};

#define TABLE_BOUND 4

static void check_row(const struct row *row, enum memory_model m)
{
	static struct seen seen;
	struct litmus p;

	litmus_parse(row->program, &p);
	litmus_explore(&p, m, TABLE_BOUND, true, 0, &seen);
	if (!seen.complete || litmus_saw(&p, &seen, row->outcome) != row->allowed[m])
		fail_msg("%s in model %d: %s", row->name, m,
			 row->allowed[m] ? "not seen" : "seen");
	reference_explore(&p, m, TABLE_BOUND, &seen);
	assert_int_equal(litmus_saw(&p, &seen, row->outcome), row->allowed[m]);
}

static void models_allow_what_the_table_says(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		for (enum memory_model m = MEMORY_SC; m <= MEMORY_WEAK; m++)
			check_row(&table[i], m);
}

/* The row as the document has it: threads are separated by "∥" there. */
static void print_row(const struct row *row, char *line, size_t bytes)
{
	const char *bars = strstr(row->program, "||"), *at = row->program;
	size_t n = (size_t)snprintf(line, bytes, "| %s | `", row->name);

	for (; bars; at = bars + 2, bars = strstr(at, "||"))
		n += (size_t)snprintf(line + n, bytes - n, "%.*s∥", (int)(bars - at), at);
	n += (size_t)snprintf(line + n, bytes - n, "%s` | %s |", at, row->reads);
	for (int m = 0; m < 3; m++)
		n += (size_t)snprintf(line + n, bytes - n, " %s |", row->allowed[m] ? "yes" : "no");
	snprintf(line + n, bytes - n, "\n");
}

static void the_document_has_the_same_table(void **state UNUSED)
{
	static char text[1 << 18];
	FILE *f = fopen(docs, "re");
	char line[300];

	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = 0;
	fclose(f);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		print_row(&table[i], line, sizeof(line));
		if (!strstr(text, line))
			fail_msg("%s lacks this row:\n%s", docs, line);
	}
}

/* --- programs of which something was left out -------------------------------------------- */

static bool sees(const char *text, enum memory_model m, unsigned int bound, const char *outcome)
{
	static struct seen seen;
	struct litmus p;

	litmus_parse(text, &p);
	litmus_explore(&p, m, bound, true, 0, &seen);
	return litmus_saw(&p, &seen, outcome);
}

/* As much as the reference sees, at each bound. */
static void sees_all(const char *text)
{
	static struct seen seen, all;
	struct litmus p;

	litmus_parse(text, &p);
	for (enum memory_model m = MEMORY_SC; m <= MEMORY_WEAK; m++) {
		for (unsigned int bound = 0; bound <= 4; bound++) {
			litmus_explore(&p, m, bound, true, 0, &seen);
			reference_explore(&p, m, bound, &all);
			assert_int_equal(seen.n, all.n);
		}
	}
}

static void a_store_may_be_late_until_a_locked_operation_takes_place(void **state UNUSED)
{
	assert_true(sees("st x=1; ld y; xchg z=1 || st y=1; mb; ld x", MEMORY_TSO, 2, "000"));
	assert_true(sees("st x=1; ld y; cas z=1 || st y=1; mb; ld x", MEMORY_TSO, 2, "000"));
}

static void a_store_may_be_late_until_a_fence_takes_place(void **state UNUSED)
{
	assert_true(sees("st x=1; ld y; mb; st z=1 || st y=1; mb; ld x; ld z", MEMORY_TSO, 2,
			 "000"));
}

static void a_store_may_be_late_after_an_unlock(void **state UNUSED)
{
	for (enum memory_model m = MEMORY_TSO; m <= MEMORY_WEAK; m++)
		assert_true(sees("lock a; st x=1; unlock a; ld y || st y=1; mb; ld x", m, 2, "00"));
}

/* Whoever finds the lock taken lets the other go on, which is free. */
static void an_unlock_is_a_point(void **state UNUSED)
{
	const char *text = "lock a; st x=1; unlock a; ld z; ld y || "
			   "ld x; st z=1; lock a; unlock a; st y=1";

	assert_true(sees(text, MEMORY_SC, 1, "101"));
	sees_all(text);
}

static void a_store_may_be_late_until_a_wait_or_a_wake_takes_place(void **state UNUSED)
{
	assert_true(sees("st x=1; ld y; wake z || st y=1; mb; ld x", MEMORY_TSO, 2, "00"));
	assert_true(sees("st z=1; st x=1; ld y; wait z || st y=1; mb; ld x", MEMORY_TSO, 2,
			 "00"));
}

static void a_store_may_be_late_until_rcu_synchronize_begins(void **state UNUSED)
{
	assert_true(sees("st x=1; ld y; sync || st y=1; mb; ld x", MEMORY_TSO, 2, "00"));
}

static void a_load_from_the_own_buffer_is_a_step(void **state UNUSED)
{
	const char *text = "st x=1; ld x; ld y || st y=1; ld y; ld x";

	assert_true(sees(text, MEMORY_TSO, 3, "1010"));
	sees_all(text);
}

static void a_yield_is_a_step(void **state UNUSED)
{
	sees_all("relax; relax; st x=1 || ld x; ld x; add x=1");
}

static void who_yields_may_go_on_first(void **state UNUSED)
{
	const char *text = "ld x; relax; st y=1 || ld y; st x=1";

	assert_true(sees(text, MEMORY_SC, 1, "01"));
	sees_all(text);
	sees_all("relax; st y=1 || ld y || relax; ld y");
}

static void a_yield_makes_nothing_visible(void **state UNUSED)
{
	assert_true(sees("st x=1; relax; ld y || st y=1; mb; ld x", MEMORY_TSO, 3, "00"));
}

static void a_spin_loop_ends_when_the_late_store_comes(void **state UNUSED)
{
	sees_all("st x=1; spin y || spin x; st y=1");
	sees_all("spin x; ld y || st y=1; strel x=1 || ld x; relax; ld y");
}

static void an_answer_is_part_of_the_state(void **state UNUSED)
{
	sees_all("ld x; ask || st x=2");
	sees_all("ask; ask; ld x || ld x; ask; st x=1");
}

static void a_counter_is_shared(void **state UNUSED)
{
	sees_all("count x; ld y || st y=1; ld x");
}

static void the_end_of_a_read_section_is_a_point(void **state UNUSED)
{
	const char *text = "rcu; st x=1; unrcu; ld z; ld y || ld x; st z=1; sync; st y=1";

	assert_true(sees(text, MEMORY_SC, 1, "101"));
	sees_all(text);
}

static void the_last_of_two_late_stores_may_be_any(void **state UNUSED)
{
	const char *text = "st z=1; st x=1; ld y || st y=1; st x=2; ld z";

	assert_true(sees(text, MEMORY_TSO, 3, "00/1"));
	assert_true(sees(text, MEMORY_TSO, 3, "00/2"));
	sees_all(text);
}

/* --- what no litmus test can say --------------------------------------------------------- */

static struct object {
	struct atomic64 first, done, other;
} *object;

static void object_setup(void)
{
	object = arena_alloc(sizeof(*object));
}

/* Lets the other free it, and then looks at it again. */
static void object_use(void)
{
	atomic64_load_relaxed(&object->other);
	atomic64_store_release(&object->done, 1);
	atomic64_load_relaxed(&object->other);
}

static void object_free(void)
{
	while (!atomic64_load_acquire(&object->done))
		cpu_relax();
	memory_mark_freed(object, sizeof(*object));
}

static void nothing(void)
{
}

static void a_use_after_free_is_found_by_any_word(void **state UNUSED)
{
	struct program p = {
		.name = "object", .setup = object_setup, .n_threads = 2,
		.thread = { { "uses", object_use }, { "frees", object_free } },
		.finish = nothing, .memory = MEMORY_WEAK,
	};
	struct explore_options o = { .bound = 2 };
	struct exploration e;

	explore(&p, &o, &e);
	assert_true(e.failed);
	assert_int_equal(e.result.verdict, VERDICT_MEMORY);
}

/* Six threads with eight late stores each. */
static struct atomic64 *six_words[8];

static void six_setup(void)
{
	for (int i = 0; i < 8; i++)
		six_words[i] = arena_alloc(sizeof(*six_words[i]));
}

static void six_store(void)
{
	for (int i = 0; i < 8; i++)
		atomic64_store_relaxed(six_words[i], 1);
}

static unsigned int most_choices;

static unsigned int choose_late(void *ctx UNUSED, const struct choices *c)
{
	if (!c->is_question && c->n > most_choices)
		most_choices = c->n;
	return c->is_question;
}

static void no_choice_is_left_out(void **state UNUSED)
{
	struct program p = {
		.name = "six", .setup = six_setup, .n_threads = 6,
		.thread = { { "0", six_store }, { "1", six_store }, { "2", six_store },
			    { "3", six_store }, { "4", six_store }, { "5", six_store } },
		.finish = nothing, .memory = MEMORY_WEAK,
	};
	struct run_result result;

	memory_forget();
	for (int i = 0; i < 3; i++)
		run_program(&p, choose_late, NULL, &result);
	assert_true(most_choices >= 48);
}

static void asks_too_much(void)
{
	sched_ask(100, 0, true);
}

static void a_question_of_too_many_alternatives_is_a_failure(void **state UNUSED)
{
	struct program p = {
		.name = "question", .setup = nothing, .n_threads = 1,
		.thread = { { "asks", asks_too_much } }, .finish = nothing,
	};
	struct explore_options o = { .bound = 0 };
	struct exploration e;

	explore(&p, &o, &e);
	assert_true(e.failed);
}

static struct atomic32 outside;

static void uses_a_static(void)
{
	atomic32_store_relaxed(&outside, 1);
}

static void a_shared_word_that_survives_the_run_is_a_failure(void **state UNUSED)
{
	struct program p = {
		.name = "static", .setup = nothing, .n_threads = 1,
		.thread = { { "uses it", uses_a_static } }, .finish = nothing,
	};
	struct explore_options o = { .bound = 0 };
	struct exploration e;

	explore(&p, &o, &e);
	assert_true(e.failed);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(models_allow_what_the_table_says),
		cmocka_unit_test(the_document_has_the_same_table),
		cmocka_unit_test(a_store_may_be_late_until_a_locked_operation_takes_place),
		cmocka_unit_test(a_store_may_be_late_until_a_fence_takes_place),
		cmocka_unit_test(a_store_may_be_late_after_an_unlock),
		cmocka_unit_test(an_unlock_is_a_point),
		cmocka_unit_test(a_store_may_be_late_until_a_wait_or_a_wake_takes_place),
		cmocka_unit_test(a_store_may_be_late_until_rcu_synchronize_begins),
		cmocka_unit_test(a_load_from_the_own_buffer_is_a_step),
		cmocka_unit_test(a_yield_is_a_step),
		cmocka_unit_test(who_yields_may_go_on_first),
		cmocka_unit_test(a_yield_makes_nothing_visible),
		cmocka_unit_test(a_spin_loop_ends_when_the_late_store_comes),
		cmocka_unit_test(an_answer_is_part_of_the_state),
		cmocka_unit_test(a_counter_is_shared),
		cmocka_unit_test(the_end_of_a_read_section_is_a_point),
		cmocka_unit_test(the_last_of_two_late_stores_may_be_any),
		cmocka_unit_test(a_use_after_free_is_found_by_any_word),
		cmocka_unit_test(no_choice_is_left_out),
		cmocka_unit_test(a_question_of_too_many_alternatives_is_a_failure),
		cmocka_unit_test(a_shared_word_that_survives_the_run_is_a_failure),
	};

	docs = argc > 1 ? argv[1] : "docs/checking.md";
	return cmocka_run_group_tests(tests, NULL, NULL);
}
