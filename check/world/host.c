/* SPDX-License-Identifier: MIT */
#include "check/world/host.h"

#include <string.h>

#include "base/guarded.h"
#include "check/engine/arena.h"
#include "check/engine/memory.h"
#include "check/engine/sched.h"
#include "check/engine/timeline.h"
#include "check/engine/window.h"
#include "check/world/ages.h"
#include "check/world/copies.h"
#include "check/world/oracle.h"
#include "mmu/notifier.h"
#include "sync/checked.h"
#include "sync/wait.h"

struct frame {
	bool freed;		/* the host has it back */
	bool read_only;		/* the host has forbidden to write to it */
	bool copied;		/* a copy of it is to take its place */
	bool unfilled;		/* its contents are yet to come */
	uint16_t page;
	uint8_t changed_by;	/* thread + 1 that did the last of these */
	uint64_t fingerprint;	/* the sum of its words' */
};

/* The host's own tables: one word a page, 0 for none. */
#define HOST_PTE_WRITABLE (1ull << 32)

static struct {
	struct atomic64 *pte;
	struct atomic64 *is_split;	/* of each 2 MiB: no large page any more */
	struct atomic32 *n_provided;	/* ever: what sleeps for a page sleeps on it */
	uint64_t awaited;		/* a bit for each of the first pages */
	uint32_t provided_at[64];	/* the moment of each; 0: never */
	uint32_t moment;		/* goes up with each */
	unsigned int n_pages;
	unsigned int n_frames;		/* up to the highest in use */
	unsigned int n_made[MAX_THREADS];
	int level;
} host;

static struct frame frames[N_FRAMES];

#define MAX_DIRTIED 4096
static uint64_t *dirtied[MAX_DIRTIED];	/* words of frames to wipe before the next run */
static unsigned int n_dirtied;

static struct frame *frame_of(const void *at)
{
	return &frames[((uintptr_t)at - FRAMES_BASE) >> PAGE_SHIFT];
}

static void *frame_at(unsigned int number)
{
	return (void *)(uintptr_t)(FRAMES_BASE + ((uint64_t)number << PAGE_SHIFT));
}

bool host_is_frame(const void *at)
{
	return (uintptr_t)at - FRAMES_BASE < (uint64_t)host.n_frames << PAGE_SHIFT;
}

unsigned int host_frame_of(const void *at)
{
	return (unsigned int)(((uintptr_t)at - FRAMES_BASE) >> PAGE_SHIFT);
}

unsigned int host_page_of(const void *at)
{
	return frame_of(at)->page;
}

/* Each thread has numbers of its own: who comes first does not matter to the others. */
static unsigned int next_number(void)
{
	int t = sched_self();

	if (t < 0)
		return host.n_frames;
	return host.n_pages + host.n_made[t]++ * MAX_THREADS + (unsigned int)t;
}

static unsigned int new_frame(unsigned int page)
{
	unsigned int number = next_number();

	if (number >= N_FRAMES)
		sched_fail(VERDICT_NO_PROGRESS, "out of simulated frames");
	host.n_frames = MAX(host.n_frames, number + 1);
	frames[number] = (struct frame){ .page = (uint16_t)page };
	return number;
}

/* Of a word in its page; 0 if it is 0, so that words that nobody has written need no care. */
static uint64_t word_fingerprint(const uint64_t *word)
{
	return *word ? hash_mix(*word, (uintptr_t)word & PAGE_OFFSET_MASK) : 0;
}

static void write_word(void *at, unsigned int bytes, uint64_t value)
{
	uint64_t *word = (uint64_t *)((uintptr_t)at & ~7ull);

	if (n_dirtied == MAX_DIRTIED)
		sched_fail(VERDICT_WRONG, "more than %d words of frames are written", MAX_DIRTIED);
	dirtied[n_dirtied++] = word;
	frame_of(at)->fingerprint -= word_fingerprint(word);
	memory_raw_store(at, bytes, value);
	frame_of(at)->fingerprint += word_fingerprint(word);
}

static uint64_t pte_of(unsigned int frame, bool writable)
{
	return (frame + 1) | (writable ? HOST_PTE_WRITABLE : 0);
}

/* --- what the MMU asks ------------------------------------------------------- */

static unsigned int page_number(hva_t hva)
{
	return (unsigned int)((hva.raw - HOST_BASE) >> PAGE_SHIFT);
}

static int level(void *ctx UNUSED, hva_t hva, int max_level)
{
	unsigned int n = page_number(hva);

	if (host.level == LEVEL_4K || atomic64_load_relaxed(&host.is_split[n / 512]))
		return LEVEL_4K;
	return MIN(host.level, max_level);
}

static int resolve(void *ctx UNUSED, hva_t hva, bool write, int max_level, struct host_page *page)
{
	unsigned int n = page_number(hva);
	uint64_t pte;

	if (n >= host.n_pages)
		return -EFAULT;
	pte = atomic64_load_relaxed(&host.pte[n]);
	if (!pte || (write && !(pte & HOST_PTE_WRITABLE))) {
		timeline_note("host: no page at hva page %u", n);
		return -EFAULT;
	}
	page->pfn = (uintptr_t)frame_at((uint32_t)pte - 1) >> PAGE_SHIFT;
	page->writable = pte & HOST_PTE_WRITABLE;
	page->level = level(NULL, hva, max_level);
	timeline_note("host: hva page %u is frame %u", n, (uint32_t)pte - 1);
	return 0;
}

static const struct host_memory_ops ops = { .resolve = resolve, .level = level };

struct host_memory host_make(unsigned int n_pages, int level)
{
	while (n_dirtied)
		*dirtied[--n_dirtied] = 0;
	host.n_pages = n_pages;
	memset(frames, 0, host.n_frames * sizeof(frames[0]));
	host.n_frames = 0;
	memset(host.n_made, 0, sizeof(host.n_made));
	host.awaited = 0;
	host.n_provided = arena_alloc(sizeof(*host.n_provided));
	host.moment = 0;
	memset(host.provided_at, 0, sizeof(host.provided_at));
	host.level = level;
	host.pte = arena_alloc(n_pages * sizeof(*host.pte));
	host.is_split = arena_alloc((n_pages / 512 + 1) * sizeof(*host.is_split));
	for (unsigned int i = 0; i < n_pages; i++)
		host.pte[i].v = pte_of(new_frame(i), true);
	timeline_register(host.pte, n_pages * sizeof(*host.pte), 8, WORD_HEX, "host pte");
	return (struct host_memory){ .ops = &ops };
}

/* --- what the process does ----------------------------------------------------- */

enum change { UNMAP, REPLACE, PROTECT, MOVE, REFILL };
static const char *const change_names[] = {
	"munmap", "mmap over", "mprotect(PROT_READ)", "mremap of a copy", "mmap over, and refill"
};

static void take_back(void *frame)
{
	struct frame *f = frame_of(frame);

	sched_point(memory_is_shared(frame));
	memory_note_write(frame);
	f->freed = true;
	f->changed_by = (uint8_t)(sched_self() + 1);
	ages_dropped(f->page);
	timeline_note("host: frame %u is free, for anybody to use", host_frame_of(frame));
}

static void forbid_writing(void *frame)
{
	sched_point(memory_is_shared(frame));
	memory_note_write(frame);
	frame_of(frame)->read_only = true;
	frame_of(frame)->changed_by = (uint8_t)(sched_self() + 1);
	ages_dropped(frame_of(frame)->page);
}

/* One step: nobody is to write to it meanwhile. */
static void fill(void *to, const void *from)
{
	sched_point(memory_is_shared(from) || memory_is_shared(to));
	memory_note_read(from);
	memory_note_write(to);
	frame_of(from)->copied = true;
	frame_of(from)->changed_by = (uint8_t)(sched_self() + 1);
	frame_of(to)->unfilled = false;
	for (unsigned int i = 0; i < PAGE_SIZE; i += 8) {
		uint64_t value = memory_raw_load((const char *)from + i, 8);

		if (value)
			write_word((char *)to + i, 8, value);
	}
}

static void move_page(unsigned int page, void *frame, bool copy_first)
{
	unsigned int number = new_frame(page);

	frames[number].unfilled = true;
	if (copy_first)
		fill(frame_at(number), frame);
	atomic64_xchg(&host.pte[page], pte_of(number, true));
	if (!copy_first)
		fill(frame_at(number), frame);
	take_back(frame);
}

static void change_page(unsigned int page, enum change how)
{
	uint64_t old = atomic64_load_relaxed(&host.pte[page]);
	void *frame = frame_at((uint32_t)old - 1);

	if (!old)
		return;
	if (host.level > LEVEL_4K)
		atomic64_xchg(&host.is_split[page / 512], 1);
	switch (how) {
	case UNMAP:
		atomic64_xchg(&host.pte[page], 0);
		take_back(frame);
		break;
	case REPLACE:
		atomic64_xchg(&host.pte[page], pte_of(new_frame(page), true));
		take_back(frame);
		break;
	case PROTECT:
		atomic64_xchg(&host.pte[page], old & ~HOST_PTE_WRITABLE);
		forbid_writing(frame);
		break;
	case MOVE:
	case REFILL:
		move_page(page, frame, how == MOVE);
		break;
	}
}

static void change_range(struct mmu *m, unsigned int first, unsigned int n, enum change how)
{
	/* Not on the stack: with a rule off, it may stay on record. */
	struct invalidation *inv = arena_alloc(sizeof(*inv));

	timeline_note("%s of hva pages %u..%u: invalidate_range_start", change_names[how], first,
		      first + n - 1);
	mmu_invalidate_begin(m, host_hva(first), host_hva(first + n), inv);
	for (unsigned int i = 0; i < n; i++)
		change_page(first + i, how);
	timeline_note("%s: invalidate_range_end", change_names[how]);
	mmu_invalidate_end(inv);
	timeline_note("%s returns", change_names[how]);
}

void host_unmap(struct mmu *m, unsigned int first, unsigned int n)
{
	change_range(m, first, n, UNMAP);
}

void host_replace(struct mmu *m, unsigned int first, unsigned int n)
{
	change_range(m, first, n, REPLACE);
}

void host_protect(struct mmu *m, unsigned int first, unsigned int n)
{
	change_range(m, first, n, PROTECT);
}

void host_move(struct mmu *m, unsigned int first, unsigned int n)
{
	change_range(m, first, n, MOVE);
}

void host_refill(struct mmu *m, unsigned int first, unsigned int n)
{
	change_range(m, first, n, REFILL);
}

/* --- what the guest does --------------------------------------------------------- */

/* The guest's memory is what slots show it. */
static void judge_slots(const void *at, bool write)
{
	unsigned int page = host_page_of(at);

	if (!oracle_is_blind && !oracle_shows(page, write))
		sched_fail(VERDICT_MMIO_RAM,
			   "%s %s hva page %u after the call that took it from the guest's slots, "
			   "or made them read-only, has returned",
			   sched_thread_name(sched_self()), write ? "writes to" : "reads", page);
}

/* What is read by an address of the process while that changes is thrown away, or read again; no
 * such address may be written to then. */
static void judge_frame(const void *at, bool write, bool by_host)
{
	const char *who = sched_thread_name(sched_self()), *does = write ? "writes to" : "reads";
	const struct frame *f = frame_of(at);
	const char *whoever = sched_thread_name(f->changed_by - 1);
	unsigned int number = host_frame_of(at);

	if (f->freed)
		sched_fail(VERDICT_FREED_PAGE,
			   "%s %s frame %u (hva page %u) after %s had taken it back: "
			   "it may be anybody's by now", who, does, number, f->page, whoever);
	if (!by_host && (uint32_t)host.pte[f->page].v != number + 1)
		sched_fail(VERDICT_FREED_PAGE,
			   "%s %s frame %u, which is behind hva page %u no more", who, does, number,
			   f->page);
	if (f->unfilled && !by_host)
		sched_fail(VERDICT_STALE_RIGHT,
			   "%s %s frame %u (hva page %u), whose contents are yet to come", who,
			   does, number, f->page);
	if (write && f->copied)
		sched_fail(VERDICT_STALE_RIGHT,
			   "%s writes to frame %u (hva page %u) after %s had copied it, to put the "
			   "copy in its place: the write is lost", who, number, f->page, whoever);
	if (write && f->read_only)
		sched_fail(VERDICT_STALE_RIGHT,
			   "%s writes to frame %u (hva page %u) after the host had forbidden it",
			   who, number, f->page);
}

/* The step began when its address was translated: @by_host, or by our tables. */
static void check_access(const void *at, bool write, bool by_host)
{
	void *frame = (void *)((uintptr_t)at & PAGE_MASK);

	if (!host_is_frame(at)) {
		sched_fail(VERDICT_MEMORY, "%s %s memory that is no guest's, at %p",
			   sched_thread_name(sched_self()), write ? "writes to" : "reads", at);
		return;
	}
	if (!oracle_is_blind)
		judge_frame(at, write, by_host);
	if (!by_host)
		judge_slots(at, write);
	oracle_note_step();
	if (write)
		memory_note_write(frame);
	else
		memory_note_read(frame);
}

void host_await(unsigned int page)
{
	host.pte[page].v = 0;
	host.awaited |= 1ull << page;
}

void host_provide(unsigned int page)
{
	atomic64_xchg(&host.pte[page], pte_of(new_frame(page), true));
	host.provided_at[page] = ++host.moment;
	timeline_note("host: page %u is provided", page);
	atomic32_fetch_add(host.n_provided, 1);
	wait_wake_all(host.n_provided);
}

/* As an access to memory that userfaultfd watches. */
static void await(unsigned int page)
{
	uint32_t n = atomic32_load_acquire(host.n_provided);

	lock_assert_none_from(RANK_MMU);
	while (!atomic64_load_relaxed(&host.pte[page])) {
		timeline_note("waits for hva page %u to be provided", page);
		wait_on(host.n_provided, n);
		n = atomic32_load_acquire(host.n_provided);
	}
}

/* An address of the process is where the host's own tables say, at this moment: access
 * and translation are one step, as the host's processor makes them.  False also: the
 * access is in a window that was interrupted. */
static bool translate_by_host(const void **at, bool write)
{
	uintptr_t offset = (uintptr_t)*at - HOST_BASE;
	unsigned int n = (unsigned int)(offset >> PAGE_SHIFT);
	struct atomic64 *at_pte = &host.pte[n];
	uint64_t pte;

	if (offset >= (uint64_t)host.n_pages << PAGE_SHIFT) {
		sched_point(memory_is_shared((void *)((uintptr_t)*at & PAGE_MASK)) ||
			    oracle_slots_change());
		return !window_is_sent_back();
	}
	if (n < 64 && (host.awaited >> n & 1))
		await(n);
	sched_point(memory_is_shared(at_pte) ||
		    (at_pte->v && memory_is_shared(frame_at((uint32_t)at_pte->v - 1))));
	memory_note_read(at_pte);
	pte = at_pte->v;
	if (!pte || (write && !(pte & HOST_PTE_WRITABLE)))
		return false;
	*at = (char *)frame_at((uint32_t)pte - 1) + (offset & PAGE_OFFSET_MASK);
	return true;
}

static bool is_of_process(const void *at)
{
	return (uintptr_t)at - HOST_BASE < (uint64_t)host.n_pages << PAGE_SHIFT;
}

bool guest_memory_load(const void *at, unsigned int bytes, uint64_t *value)
{
	bool by_host = is_of_process(at);

	if (!translate_by_host(&at, false))
		return false;
	check_access(at, false, by_host);
	*value = memory_raw_load(at, bytes);
	return true;
}

bool guest_memory_store(void *at, unsigned int bytes, uint64_t value)
{
	const void *where = at;

	if (!translate_by_host(&where, true))
		return false;
	check_access(where, true, is_of_process(at));
	write_word((void *)(uintptr_t)where, bytes, value);
	copies_written(host_page_of(where));
	return true;
}

bool guest_memory_cmpxchg(void *at, unsigned int bytes, uint64_t *old, uint64_t value)
{
	const void *where = at;
	uint64_t now;

	checked_barrier();
	if (!translate_by_host(&where, true))
		return false;
	check_access(where, true, is_of_process(at));
	judge_slots(where, true);
	now = memory_raw_load(where, bytes);
	if (now == *old) {
		write_word((void *)(uintptr_t)where, bytes, value);
		copies_written(host_page_of(where));
	}
	*old = now;
	return true;
}

bool guest_memory_touch(void *at, bool write)
{
	const void *where = at;

	return translate_by_host(&where, write);
}

/* Guest memory, or a client's buffer that nobody else uses. */
bool guest_memory_copy(void *to, const void *from, size_t bytes)
{
	if (is_of_process(from)) {
		if (!translate_by_host(&from, false))
			return false;
		check_access(from, false, true);
	}
	if (is_of_process(to)) {
		for (size_t i = 0; i < bytes; i += 8)
			if (!guest_memory_store((char *)to + i, 8,
						((const uint64_t *)from)[i / 8]))
				return false;
		return true;
	}
	memcpy(to, from, bytes);
	return true;
}

/* --- what oracles see -------------------------------------------------------------- */

bool host_has(unsigned int page)
{
	return page < host.n_pages && host.pte[page].v;
}

static void *where(unsigned int page, unsigned int offset)
{
	return (char *)frame_at((uint32_t)host.pte[page].v - 1) + offset;
}

uint64_t host_peek(unsigned int page)
{
	return host_peek_at(page, 0);
}

uint64_t host_peek_at(unsigned int page, unsigned int offset)
{
	return host_has(page) ? memory_raw_load(where(page, offset), 8) : 0;
}

void host_poke(unsigned int page, unsigned int offset, uint64_t value)
{
	write_word(where(page, offset), 8, value);
}

uint64_t host_fingerprint(unsigned int page)
{
	return host_has(page) ? frame_of(where(page, 0))->fingerprint : 0;
}

uint64_t host_copy(unsigned int page)
{
	sched_point(host_page_is_shared(page));
	host_note_read(page);
	return host_fingerprint(page);
}

bool host_page_is_shared(unsigned int page)
{
	return host_has(page) && memory_is_shared(where(page, 0));
}

void host_note_read(unsigned int page)
{
	if (host_has(page))
		memory_note_read(where(page, 0));
}

void host_note_write(unsigned int page)
{
	if (host_has(page))
		memory_note_write(where(page, 0));
}

uint32_t host_moment(void)
{
	return host.moment;
}

/* A page that is taken away, or made read-only, stays so; one may be provided. */
bool host_was_absent(unsigned int page, bool write, uint32_t moment)
{
	struct atomic64 *pte = &host.pte[page];

	if (page >= host.n_pages)
		return true;
	sched_point(memory_is_shared(pte));
	memory_note_read(pte);
	return !pte->v || (write && !(pte->v & HOST_PTE_WRITABLE)) ||
	       (page < 64 && host.provided_at[page] > moment);
}

bool host_has_large_pages(void)
{
	return host.level > LEVEL_4K;
}
