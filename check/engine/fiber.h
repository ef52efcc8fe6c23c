/* SPDX-License-Identifier: MIT */
/* check/engine/fiber.h - threads of control that only we switch between. */
#ifndef CHECK_ENGINE_FIBER_H
#define CHECK_ENGINE_FIBER_H

#include <stddef.h>

struct fiber {
	void *sp;
};

/* Prepares @f to call @fn(@arg) on the stack given; @fn never returns. */
void fiber_prepare(struct fiber *f, void *stack, size_t bytes, void (*fn)(void *arg), void *arg);
/* Goes on where @to was left, or at its beginning. */
void fiber_switch(struct fiber *from, const struct fiber *to);

#endif
