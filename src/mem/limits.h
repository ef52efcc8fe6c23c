/* SPDX-License-Identifier: MIT */
/*
 * mem/limits.h - limits of mem/.  The checker has its own, small enough for a few steps to
 * reach them: check/shim/mem/limits.h.
 */
#ifndef MEM_LIMITS_H
#define MEM_LIMITS_H

#define SLOTS_MAX_IDS 32764u

/* Looks at an open change before the thread sleeps: about the duration of a small change. */
#define CHANGE_SPINS 128

#endif
