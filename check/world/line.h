/* SPDX-License-Identifier: MIT */
/*
 * check/world/line.h - a thread that is interrupted in its windows, by the steps of sync/line.h
 * themselves.  (In all other scenarios check/engine/window.c takes their place.)
 *
 * The kernel is simulated: a signal that was sent is pending, and may come before any step of the
 * owner's; after a barrier it comes before the next.  The owner uses pages while it is bound, then
 * goes back to its program, where no signal may come.  A flusher takes a page away, interrupts
 * the owner, and frees the page.
 */
#ifndef CHECK_WORLD_LINE_H
#define CHECK_WORLD_LINE_H

#define LINE_PAGES 2u

/* For the setup: the owner is bound, and both pages are mapped. */
void line_make(void);

/* The owner: a translation, then a window with the access. */
void line_use_page(unsigned int page);
/* It goes back to its program, once. */
void line_owner_leaves(void);

/* Another thread. */
void line_free_page(unsigned int page);

#endif
