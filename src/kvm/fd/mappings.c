/* SPDX-License-Identifier: MIT */
#include "kvm/fd/mappings.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "sync/lock.h"
#include "sync/thread.h"

#define MAX_MAPPINGS 256u
#define NO_FILE (~0ull)		/* as a device: a System V segment */
#define HVA_MAX hva_of(1ull << 47)

struct mapping {
	hva_t start, end;
	uint64_t device, inode;
	uint64_t offset;		/* of start, in the file */
	uint64_t number;		/* in the order in which they were added */
};

/* Complete after a fork, except for a change in progress on another thread. */
static struct {
	struct mutex lock;		/* rank RANK_MAPPINGS */
	struct atomic32 n;		/* (a) written under lock */
	struct mapping at[MAX_MAPPINGS]; /* [lock] */
	bool overflowed;		/* [lock] others are not in it */
	struct atomic64 last;		/* (a) number; written under lock */
} known = { .lock = { .rank = RANK_MAPPINGS } };

void mappings_after_fork(void)
{
	mutex_init(&known.lock, RANK_MAPPINGS);
}

static uint64_t next_number(void) REQUIRES(known.lock)
{
	return atomic64_fetch_add(&known.last, 1) + 1;
}

static void add_mapping(const struct mapping *m) REQUIRES(known.lock)
{
	uint32_t n = atomic32_load_relaxed(&known.n);

	if (n == MAX_MAPPINGS) {
		known.overflowed = true;
		return;
	}
	known.at[n] = *m;
	known.at[n].number = next_number();
	atomic32_store_release(&known.n, n + 1);
}

/* Signals are held whenever the lock is: a handler may map memory, or not return. */
static void add_locked(struct mapping m)
{
	thread_sigmask_t saved;

	saved = thread_hold_signals();
	mutex_lock(&known.lock);
	add_mapping(&m);
	mutex_unlock(&known.lock);
	thread_release_signals(saved);
}

uint64_t mappings_now(void)
{
	return atomic64_load_acquire(&known.last);
}

void mappings_add_file(struct hva_range where, int fd, uint64_t offset)
{
	struct stat file;

	mappings_remove(where.start, where.end, mappings_now());
	if (syscall(SYS_fstat, fd, &file) == 0)
		add_locked((struct mapping){ where.start, where.end, file.st_dev, file.st_ino,
					     offset, 0 });
}

void mappings_add_segment(hva_t start, uint64_t bytes)
{
	hva_t end = hva_add(start, bytes);

	mappings_remove(start, end, mappings_now());
	add_locked((struct mapping){ start, end, NO_FILE, 0, 0, 0 });
}

/* Removes [start, end); an entry that extends beyond both ends is kept whole. */
static bool shrink(struct mapping *m, hva_t start, hva_t end)
{
	if (hva_le(start, m->start) && hva_lt(m->start, end)) {
		end = hva_min(end, m->end);
		m->offset += hva_diff(end, m->start);
		m->start = end;
	} else if (hva_le(m->end, end) && hva_lt(start, m->end)) {
		m->end = start;
	}
	return hva_eq(m->start, m->end);
}

void mappings_remove(hva_t start, hva_t end, uint64_t since)
{
	thread_sigmask_t saved;

	if (!atomic32_load_acquire(&known.n))
		return;
	saved = thread_hold_signals();
	mutex_lock(&known.lock);
	for (uint32_t i = 0, n = atomic32_load_relaxed(&known.n); i < n;) {
		if (known.at[i].number > since || !shrink(&known.at[i], start, end)) {
			i++;
			continue;
		}
		known.at[i] = known.at[--n];
		atomic32_store_relaxed(&known.n, n);
	}
	mutex_unlock(&known.lock);
	thread_release_signals(saved);
}

/* The part of @m in [start, end); if it reached the end, it is extended by @more. */
static bool clip(struct mapping *m, hva_t start, hva_t end, uint64_t more)
{
	bool goes_on = hva_le(end, m->end);

	m->end = hva_min(m->end, end);
	if (hva_lt(m->start, start)) {
		m->offset += hva_diff(start, m->start);
		m->start = start;
	}
	if (hva_le(m->end, m->start))
		return false;
	m->end = hva_add(m->end, goes_on ? more : 0);
	return true;
}

void mappings_copy(struct hva_range from, struct hva_range to, uint64_t since)
{
	uint64_t bytes = hva_diff(from.end, from.start), new_bytes = hva_diff(to.end, to.start);
	hva_t end = hva_add(from.start, MIN(bytes, new_bytes));
	uint64_t more = new_bytes > bytes ? new_bytes - bytes : 0;
	thread_sigmask_t saved;

	saved = thread_hold_signals();
	mutex_lock(&known.lock);
	for (uint32_t i = 0, n = atomic32_load_relaxed(&known.n); i < n; i++) {
		struct mapping m = known.at[i];

		if (m.number > since || !clip(&m, from.start, end, more))
			continue;
		m.start = hva_add(to.start, hva_diff(m.start, from.start));
		m.end = hva_add(to.start, hva_diff(m.end, from.start));
		add_mapping(&m);
	}
	mutex_unlock(&known.lock);
	thread_release_signals(saved);
}

void mappings_grow(hva_t end, hva_t new_end, uint64_t since)
{
	thread_sigmask_t saved;

	saved = thread_hold_signals();
	mutex_lock(&known.lock);
	for (uint32_t i = 0, n = atomic32_load_relaxed(&known.n); i < n; i++) {
		struct mapping *m = &known.at[i];

		if (m->number > since || hva_le(end, m->start) || hva_lt(m->end, end))
			continue;
		m->end = hva_max(m->end, new_end);
		/* Pages unmapped beyond the old end, before it grew, do not count. */
		m->number = next_number();
	}
	mutex_unlock(&known.lock);
	thread_release_signals(saved);
}

/* If the list is full, the last entry is widened. */
static void note_range(struct hva_range *ranges, unsigned int *n, hva_t start, hva_t end)
{
	struct hva_range *last = &ranges[REVOKE_MAX_RANGES - 1];

	if (*n < REVOKE_MAX_RANGES) {
		ranges[(*n)++] = (struct hva_range){ start, end };
		return;
	}
	last->start = hva_min(last->start, start);
	last->end = hva_max(last->end, end);
}

unsigned int mappings_find(const struct stat *file, uint64_t first, uint64_t last,
			   struct hva_range ranges[REVOKE_MAX_RANGES])
{
	unsigned int n = 0;
	thread_sigmask_t saved;

	saved = thread_hold_signals();
	mutex_lock(&known.lock);
	if (known.overflowed)
		note_range(ranges, &n, hva_of(0), HVA_MAX);
	for (uint32_t i = 0; !known.overflowed && i < atomic32_load_relaxed(&known.n); i++) {
		const struct mapping *m = &known.at[i];
		uint64_t bytes = hva_diff(m->end, m->start), begin, end;

		if (m->device != file->st_dev || m->inode != file->st_ino ||
		    last < m->offset || first >= m->offset + bytes)
			continue;
		begin = first > m->offset ? first - m->offset : 0;
		end = MIN(last - m->offset, bytes - 1) + 1;
		note_range(ranges, &n, hva_align(hva_add(m->start, begin), PAGE_SIZE),
			   hva_align(hva_add(m->start, end + PAGE_SIZE - 1), PAGE_SIZE));
	}
	mutex_unlock(&known.lock);
	thread_release_signals(saved);
	return n;
}

bool mappings_segment(hva_t start, struct hva_range *range)
{
	bool found = false;
	thread_sigmask_t saved;

	*range = (struct hva_range){ hva_align(start, PAGE_SIZE), HVA_MAX };
	saved = thread_hold_signals();
	mutex_lock(&known.lock);
	for (uint32_t i = 0; i < atomic32_load_relaxed(&known.n); i++) {
		if (known.at[i].device != NO_FILE || !hva_eq(known.at[i].start, start))
			continue;
		range->end = known.at[i].end;
		found = true;
	}
	mutex_unlock(&known.lock);
	thread_release_signals(saved);
	return found;
}
