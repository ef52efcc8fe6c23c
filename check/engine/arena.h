/* SPDX-License-Identifier: MIT */
/*
 * check/engine/arena.h - memory of a run: mem/alloc.h's door, and the scenario's own objects.
 *
 * Nothing is used twice in a run: what is freed is poisoned and may not be touched.
 */
#ifndef CHECK_ENGINE_ARENA_H
#define CHECK_ENGINE_ARENA_H

#include <stddef.h>

void arena_begin_run(void);
/* Zeroed, aligned to the cache line; never NULL. */
void *arena_alloc(size_t bytes);
/* Objects that were allocated through mem/alloc.h and not freed. */
unsigned int arena_in_use(void);

#endif
