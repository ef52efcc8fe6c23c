/* SPDX-License-Identifier: MIT */
#include "machine/wakeup.h"

void wakeup_init(struct wakeup *w, struct atomic32 *word, uint32_t bit)
{
	w->word = word;
	w->bit = bit;
	atomic32_store_relaxed(&w->asleep, 0);
	atomic32_store_relaxed(&w->bell.fd, 0);
}

void wakeup_destroy(struct wakeup *w)
{
	thread_bell_destroy(&w->bell);
}

void wakeup_kick(struct wakeup *w)
{
	atomic32_fetch_or(w->word, w->bit);
	if (atomic32_load_relaxed(&w->asleep))
		thread_wake(w->word, &w->bell);
}

static void take(struct wakeup *w)
{
	if (atomic32_load_relaxed(w->word) & w->bit)
		atomic32_fetch_and(w->word, ~w->bit);
}

static void sleep_until_kicked(struct wakeup *w, thread_sigmask_t blocked)
{
	uint32_t seen;

	atomic32_xchg(&w->asleep, 1);
	seen = atomic32_load_relaxed(w->word);
	if (!(seen & w->bit))
		thread_sleep_on(w->word, seen, &w->bell, blocked);
	atomic32_store_relaxed(&w->asleep, 0);
}

void wakeup_wait(struct wakeup *w, bool (*look)(void *arg), void *arg, thread_sigmask_t blocked)
{
	for (;;) {
		take(w);
		if (look(arg))
			return;
		sleep_until_kicked(w, blocked);
	}
}
