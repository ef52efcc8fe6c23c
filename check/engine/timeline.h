/* SPDX-License-Identifier: MIT */
/*
 * check/engine/timeline.h - what happened in a run, in KVM's words.
 *
 * Kept only for the run that is shown: otherwise each call is one test.
 */
#ifndef CHECK_ENGINE_TIMELINE_H
#define CHECK_ENGINE_TIMELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* How the value of a word reads. */
enum word_kind { WORD_NUMBER, WORD_HEX, WORD_POINTER, WORD_SPTE, WORD_REQUESTS, WORD_GUEST_SEQ };

/* What an event is to the reader. */
enum event_kind {
	EVENT_NOTE,	/* the scenario's own words, the trace points */
	EVENT_WORD,	/* a shared word changed */
	EVENT_READ,	/* or was read */
	EVENT_LOCK,
	EVENT_FAILURE,
};

struct event {
	uint64_t tick;
	int thread;		/* -1: the world */
	enum event_kind kind;
	char text[120];
};

extern bool timeline_on;

/* Names the words of an array; @stride 0: one word or object. */
void timeline_register(const void *start, size_t bytes, size_t stride, enum word_kind kind,
		       const char *name, ...) PRINTF_LIKE(5, 6);
/* "mmu.owed", "entry 2 of a level-1 table", or a number; good until the call after next. */
const char *timeline_name(const void *at);

void timeline_begin_run(void);
const struct event *timeline_events(unsigned int *n);
/* "" unless a state of the machine was noted at the failure. */
const char *timeline_state(void);
void timeline_add_state(const char *format, ...) PRINTF_LIKE(1, 2);

void timeline_add(enum event_kind kind, const char *format, ...) PRINTF_LIKE(2, 3);
#define timeline_note(...)                                      \
	do {                                                    \
		if (timeline_on)                                \
			timeline_add(EVENT_NOTE, __VA_ARGS__);  \
	} while (0)

/* Of words and locks that are shared; of others nobody wants to read. */
void timeline_load(const void *at, unsigned int bytes, uint64_t value);
void timeline_store(const void *at, unsigned int bytes, uint64_t value);
void timeline_delayed(const void *at, unsigned int bytes, uint64_t value);
void timeline_commit(int t, const void *at, unsigned int bytes, uint64_t value);
void timeline_rmw(const void *at, unsigned int bytes, uint64_t old, uint64_t value);
void timeline_cmpxchg(const void *at, unsigned int bytes, uint64_t expected, uint64_t found,
		      uint64_t value);
void timeline_lock(const void *lock, const char *what);
/* A page table was allocated; something was freed. */
void timeline_table(const void *table, size_t bytes);
void timeline_freed(const void *at);

/* The value of an entry of our tables, in words. */
const char *timeline_spte(uint64_t raw);

#endif
