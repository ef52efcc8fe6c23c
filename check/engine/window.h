/* SPDX-License-Identifier: MIT */
/* check/engine/window.h - for the scheduler: what signals do to its threads. */
#ifndef CHECK_ENGINE_WINDOW_H
#define CHECK_ENGINE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

void window_begin_run(void);
/* Part of the state that thread @t is in. */
uint64_t window_state(int t);
/* The thread that runs has been given a turn: a handler comes first. */
void window_deliver(void);
/* Its window is to begin again: the access does not take place. */
bool window_is_sent_back(void);

#endif
