/* SPDX-License-Identifier: MIT */
/*
 * demo/demo.c - umbra demo: the phases of the demonstration.
 *
 * While the guest's two vCPUs write and check pages, the host copies its memory using the dirty
 * log, moves a slot around, and revokes memory and gives it back; each phase ends with a proof
 * that nothing was lost.
 */
#include "demo/demo.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <umbra/umbra.h>

#include "tool/output.h"
#include "tool/tool.h"

#define CONVERGED_PAGES 64
#define ROUNDS_BEFORE_SLOWING 8
#define MAX_ROUNDS 40
#define N_MOVES 12
#define HOLE_BYTES (4ull << 20)
#define HOLE_OFFSET (20ull << 20)

static void doze(long milliseconds)
{
	struct timespec t = { .tv_nsec = milliseconds * 1000000 };

	nanosleep(&t, NULL);
}

static void progress_bar(char *bar, int columns, uint64_t n, uint64_t of)
{
	int full = (int)((uint64_t)columns * (n < of ? n : of) / of);

	memset(bar, '#', (size_t)full);
	memset(bar + full, '.', (size_t)(columns - full));
	bar[columns] = '\0';
}

/* Waits until the guest has written @pages more pages. */
static bool wait_written(struct demo *d, const char *phase, uint64_t pages)
{
	uint64_t start = demo_written(d);
	char bar[49];

	while (demo_written(d) - start < pages) {
		if (demo_failed(d))
			return false;
		progress_bar(bar, 48, demo_written(d) - start, pages);
		view_progress(phase, "       [%s] %" PRIu64 " pages written", bar,
			      demo_written(d) - start);
		doze(10);
	}
	return true;
}

static bool fill_memory(struct demo *d)
{
	double start = view_seconds();

	if (!demo_start(d, COMMAND_RUN) || !wait_written(d, "fill", DATA_PAGES))
		return false;
	view_done("fill", true, "%" PRIu64 " pages written through the guest's own tables, %.2f s",
		  demo_written(d), view_seconds() - start);
	return true;
}

static bool set_logging(struct demo *d, uint32_t flags)
{
	for (int i = 0; i < N_DEMO_SLOTS; i++) {
		d->slots[i].flags = flags;
		if (!demo_set_slot(d, (enum demo_slot)i))
			return false;
	}
	return true;
}

/* Takes one slot's log and copies its pages.  Returns their number. */
static uint64_t copy_dirty(struct demo *d, enum demo_slot slot)
{
	struct demo_region *r = &d->slots[slot];
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = r->log };
	long err = umbra_get_dirty_log(d->vm_fd, &log);
	uint64_t n = 0;

	if (err) {
		demo_fail(d, "KVM_GET_DIRTY_LOG: %s", strerror((int)-err));
		return 0;
	}
	for (uint64_t page = 0; page < r->bytes >> 12; page++) {
		if (!(r->log[page / 64] >> (page % 64) & 1))
			continue;
		memcpy(r->copy + (page << 12), r->memory + (page << 12), 4096);
		n++;
	}
	return n;
}

static uint64_t copy_round(struct demo *d, unsigned int round)
{
	double start = view_seconds();
	uint64_t n = 0;

	for (int i = 0; i < N_DEMO_SLOTS; i++)
		n += copy_dirty(d, (enum demo_slot)i);
	view_round(round, &d->slots[SLOT_DATA], n, n, view_seconds() - start);
	return n;
}

static bool copies_are_equal(struct demo *d)
{
	for (int i = 0; i < N_DEMO_SLOTS; i++) {
		const struct demo_region *r = &d->slots[i];

		for (uint64_t at = 0; at < r->bytes; at += 4096) {
			if (memcmp(r->memory + at, r->copy + at, 4096) == 0)
				continue;
			demo_fail(d, "the copy differs from the original at %#" PRIx64,
				  r->gpa + at);
			return false;
		}
	}
	return true;
}

static bool live_copy(struct demo *d)
{
	uint64_t n = 0, copied = 0;
	unsigned int round = 0;
	bool equal;

	if (!set_logging(d, KVM_MEM_LOG_DIRTY_PAGES))
		return false;
	for (int i = 0; i < N_DEMO_SLOTS; i++) {
		memcpy(d->slots[i].copy, d->slots[i].memory, d->slots[i].bytes);
		copied += d->slots[i].bytes >> 12;
	}
	do {
		/* A guest that dirties faster than we copy gets a smaller working set. */
		if (++round > ROUNDS_BEFORE_SLOWING && d->mailbox->pages_in_use > CONVERGED_PAGES)
			d->mailbox->pages_in_use /= 2;
		n = copy_round(d, round);
		copied += n;
	} while (n > CONVERGED_PAGES && round < MAX_ROUNDS && !demo_failed(d));

	/* The guest is paused for the last round.  The mailbox is written by us too, which no log
	 * records. */
	if (!demo_pause(d, COMMAND_PAUSE))
		return false;
	copied += copy_round(d, ++round);
	memcpy(d->slots[SLOT_SYSTEM].copy + MAILBOX_GPA, d->mailbox, 4096);
	equal = copies_are_equal(d);
	view_done("live copy", equal, "%u rounds, %" PRIu64 " pages copied; copy %s original",
		  round, copied, equal ? "equals" : "differs from");
	d->mailbox->pages_in_use = DATA_PAGES;
	return equal && set_logging(d, 0);
}

/* Moves the window to @gpa: by a move, or by deleting and recreating it. */
static bool place_window(struct demo *d, uint64_t gpa, bool by_move)
{
	if (!by_move && !demo_delete_slot(d, SLOT_WINDOW))
		return false;
	if (!by_move)
		doze(2);
	d->slots[SLOT_WINDOW].gpa = gpa;
	return demo_set_slot(d, SLOT_WINDOW);
}

static uint64_t window_reads(const struct demo *d)
{
	uint64_t n = 0;

	for (int i = 0; i < GUEST_VCPUS; i++)
		n += d->mailbox->report[i].window_reads;
	return n;
}

static uint64_t window_misses(const struct demo *d)
{
	uint64_t n = 0;

	for (int i = 0; i < GUEST_VCPUS; i++)
		n += d->mailbox->report[i].window_misses;
	return n;
}

/* Each vCPU separately: one that is not scheduled may still be about to read at the old place. */
static bool wait_window_reads(struct demo *d, uint64_t more)
{
	uint64_t start[GUEST_VCPUS];

	for (int i = 0; i < GUEST_VCPUS; i++)
		start[i] = d->mailbox->report[i].window_reads;
	for (int i = 0; i < GUEST_VCPUS; i++)
		while (d->mailbox->report[i].window_reads - start[i] < more && !demo_failed(d))
			doze(1);
	return !demo_failed(d);
}

static bool move_slot(struct demo *d)
{
	uint64_t misses;

	if (!demo_resume(d, COMMAND_READ_WINDOW))
		return false;
	for (unsigned int i = 0; i < N_MOVES; i++) {
		uint64_t gpa = WINDOW_FIRST_GPA + (i % 3 + 1) * WINDOW_BYTES;

		view_progress("move slot", "       to %#" PRIx64 ", %" PRIu64 " reads", gpa,
			      window_reads(d));
		/* Between the two the guest reads where no slot is. */
		if (!place_window(d, gpa, i % 2))
			return false;
		doze(3);
		d->mailbox->window_gpa = gpa;
		if (!wait_window_reads(d, 10000))
			return false;
	}
	misses = window_misses(d);
	if (!wait_window_reads(d, 10000) || !demo_pause(d, COMMAND_PAUSE))
		return false;
	misses = window_misses(d) - misses;
	view_done("move slot", !misses,
		  "moved, or deleted and recreated, %u times under %" PRIu64 " reads, %" PRIu64
		  " of them into nothing",
		  N_MOVES, window_reads(d), window_misses(d));
	if (misses)
		demo_fail(d, "the window was in its place and %" PRIu64 " reads missed it", misses);
	return !misses;
}

/* The contents are gone: the guest gets EFAULT until @prot allows access again. */
static bool replace_hole(struct demo *d, int prot)
{
	void *at = d->slots[SLOT_DATA].memory + HOLE_OFFSET;

	if (umbra_mmap_memory(at, HOLE_BYTES, prot,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
			      0) == at)
		return true;
	demo_fail(d, "mmap failed");
	return false;
}

static bool wait_for_fault(struct demo *d)
{
	bool ok;

	pthread_mutex_lock(&d->lock);
	while (!d->n_faulted && !d->problem[0])
		pthread_cond_wait(&d->changed, &d->lock);
	ok = !d->problem[0];
	pthread_mutex_unlock(&d->lock);
	return ok;
}

static bool take_memory(struct demo *d)
{
	uint64_t empty = 0;

	d->mailbox->hole_first = HOLE_OFFSET >> 12;
	d->mailbox->hole_end = (HOLE_OFFSET + HOLE_BYTES) >> 12;
	if (!demo_resume(d, COMMAND_RUN) || !wait_written(d, "take memory", 2000))
		return false;
	if (!replace_hole(d, PROT_NONE) || !wait_for_fault(d) ||
	    !replace_hole(d, PROT_READ | PROT_WRITE))
		return false;
	demo_memory_is_back(d);
	/* Twice, so that every emptied page has been visited before none may be empty. */
	if (!wait_written(d, "take memory", DATA_PAGES) || !demo_pause(d, COMMAND_VERIFY))
		return false;
	d->mailbox->hole_end = 0;
	if (!demo_resume(d, COMMAND_VERIFY) || !demo_pause(d, COMMAND_VERIFY))
		return false;
	for (int i = 0; i < GUEST_VCPUS; i++)
		empty += d->mailbox->report[i].pages_found_empty;
	view_done("take memory", true,
		  "4 MiB replaced under the guest: %" PRIu64 " pages empty, all others whole",
		  empty);
	return true;
}

static bool final_check(struct demo *d)
{
	uint64_t checked = 0;

	if (!demo_resume(d, COMMAND_VERIFY) || !demo_pause(d, COMMAND_VERIFY))
		return false;
	for (int i = 0; i < GUEST_VCPUS; i++)
		checked += d->mailbox->report[i].pages_checked;
	if (!demo_finish(d))
		return false;
	view_done("final check", true, "%" PRIu64 " checks of a page, every write accounted for",
		  checked);
	return true;
}

static int run_demo(const struct run_options *options)
{
	double start = view_seconds();
	struct demo d;
	bool held;

	run_options_apply(options);
	view_title(options->mmu);
	held = demo_create(&d) && fill_memory(&d) && live_copy(&d) && move_slot(&d) &&
	       take_memory(&d) && final_check(&d);
	if (held)
		view_table(&d, view_seconds() - start);
	else
		view_done("stopped", false, "%s", d.problem);
	demo_destroy(&d);
	return run_options_end(options) && held ? 0 : 1;
}

int demo_command(int argc, char **argv)
{
	struct run_options options;
	int status;

	if (!run_options_begin(&options))
		return EXIT_USAGE;
	status = options_parse(&command_demo, argc, argv, run_options_take, &options);
	return status >= 0 ? status : run_demo(&options);
}
