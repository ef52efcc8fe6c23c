/* SPDX-License-Identifier: MIT */
/*
 * preload/there.h - is what the program points to there?
 *
 * The kernel answers EFAULT to a bad pointer; a wrapper that looks at a name before the
 * kernel does must not die of it.  The program may have blocked SIGSEGV, and its handler
 * is none of ours yet where no VM was made: so the kernel is asked, which takes a system
 * call a page.  Once a filter restricts those, all is taken to be there.
 */
#ifndef PRELOAD_THERE_H
#define PRELOAD_THERE_H

#include <stdbool.h>
#include <stddef.h>

/* errno is kept.  NULL is not there. */
bool there_is(const void *at, size_t bytes);
/* With its end. */
bool there_is_string(const char *string);

#endif
