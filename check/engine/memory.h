/* SPDX-License-Identifier: MIT */
/*
 * check/engine/memory.h - shared words: who uses them, in which order, and when a store
 * becomes visible.
 *
 * All memory of a run lies in two regions at fixed addresses: the arena (allocations,
 * each thread from a part of its own, so that an object has the same address however
 * the threads interleave) and the frames of the simulated host.  Beside each word of
 * the arena, and each frame, there is what is known about it.
 *
 * A point before an access matters only if the word is shared: two threads use it and
 * one of them writes.  Which are is learnt from the runs; who learns of a new one
 * begins again.
 */
#ifndef CHECK_ENGINE_MEMORY_H
#define CHECK_ENGINE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARENA_BASE 0x100000000000ull
#define ARENA_PART_BYTES (4ull << 20)
#define ARENA_PARTS 7		/* the world's, and each thread's */
#define ARENA_BYTES (ARENA_PART_BYTES * ARENA_PARTS)
#define FRAMES_BASE 0x180000000000ull
#define N_FRAMES 4096u
#define FRAMES_BYTES ((uint64_t)N_FRAMES << 12)

/* The regions exist. */
void memory_prepare(void);
/* Forgets which words are shared: a new program. */
void memory_forget(void);
void memory_begin_run(void);
bool memory_found_shared(void);

/* Must others have a turn before the thread that runs uses @at? */
bool memory_is_shared(const void *at);
/* The access takes place: ordered after what it depends on. */
void memory_note_read(const void *at);
void memory_note_write(const void *at);
/* The same where nobody can go on for it who could not before: a lock is taken. */
void memory_note_lock(void *at);
/* What the thread that runs has done lets others do what they could not before. */
void memory_is_seen(void);
/* A step that has no word: the thread is in another state after it. */
void memory_note_step(uint64_t what);

/* An object of the arena: whole lines of 64 bytes. */
void memory_allocated(void *at, size_t bytes);
/* It may not be used again in the same run.  A point. */
void memory_mark_freed(void *at, size_t bytes);
bool memory_is_freed(const void *at);
void memory_check_alive(const void *at);

/* Counters: outside of all this. */
void memory_ignore(const void *start, size_t bytes);

/* Stores that are still in the buffer of the thread that made them (check/engine/buffer.h). */
bool memory_is_late(void);		/* has the thread that runs any? */
uint64_t memory_state(int t);
void memory_commit(int t, unsigned int entry);
void memory_drain(int t);
void memory_drain_all(void);
/* The lock's word loses @held, which it has for the thread that runs.  A point. */
void memory_unlock(void *at, uint32_t held, bool for_read);
/* What thread @t finds in a lock's word. */
uint32_t memory_lock_word(int t, const void *at);

uint64_t memory_raw_load(const void *at, unsigned int bytes);
void memory_raw_store(void *at, unsigned int bytes, uint64_t value);

#endif
