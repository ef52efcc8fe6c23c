/* SPDX-License-Identifier: MIT */
/*
 * preload/there.h - tests the program's pointers.
 *
 * The kernel answers EFAULT to a bad pointer; a wrapper that reads a name before the kernel does
 * must not crash on it.  The program may have blocked SIGSEGV, and before the first VM the
 * handler is not ours: so the kernel is asked, by one system call for each page.  Once a filter
 * restricts system calls, pointers are assumed good.
 */
#ifndef PRELOAD_THERE_H
#define PRELOAD_THERE_H

#include <stdbool.h>
#include <stddef.h>

/* errno is kept.  NULL is bad. */
bool there_is(const void *at, size_t bytes);
/* With its end. */
bool there_is_string(const char *string);

#endif
