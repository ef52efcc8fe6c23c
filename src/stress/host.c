/* SPDX-License-Identifier: MIT */
/*
 * stress/host.c - what umbra stress does behind the guests' backs.
 *
 * Memory that is being revoked is filled with poison between the begin and the end of its
 * invalidation: a guest that reads poison, or writes into it, has used a page that it no longer
 * had.
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stress/stress.h"

#define IDLE_US 2000u
#define BLOCK_BYTES (BLOCK * (size_t)PAGE)

static void pause_a_little(struct worker *w)
{
	uint64_t r = stress_random(w);

	if (r & 1)
		usleep((useconds_t)((r >> 1) % 300));
	else
		sched_yield();
}

/* Waits for one of them to be due.  N_OPS: it is time to stop. */
static enum stress_op choose_op(struct worker *w, enum stress_op first, enum stress_op last)
{
	while (!stress_stopped(w->s)) {
		uint64_t n = (uint64_t)(last - first) + 1, r = stress_random(w);

		for (uint64_t i = 0; i < n; i++) {
			enum stress_op op = (enum stress_op)(first + (r + i) % n);

			if (stress_is_active(w->s, op))
				return op;
		}
		usleep(IDLE_US);
	}
	return N_OPS;
}

/* --- memory ------------------------------------------------------------------- */

/* Pages of one block: all of them, or one. */
struct range {
	uint8_t *at;
	size_t bytes;
};

static void fill_with_poison(struct range r)
{
	uint64_t *at = (uint64_t *)(void *)r.at;

	for (size_t i = 0; i < r.bytes / 8; i++)
		at[i] = POISON;
}

static void wait_and_look(struct worker *w, struct range r)
{
	const volatile uint64_t *at = (uint64_t *)(void *)r.at;

	for (uint64_t n = stress_random(w) % 4; n; n--)
		sched_yield();
	if (stress_random(w) % 4 == 0)
		usleep((useconds_t)(stress_random(w) % 300));
	for (size_t i = 0; i < r.bytes / 8; i++)
		if (at[i] != POISON)
			stress_hit(w, ORACLE_FREED,
				   "a guest wrote %#llx to revoked memory at %#zx",
				   (unsigned long long)at[i],
				   (size_t)((const uint8_t *)&at[i] - w->s->memory));
}

/*
 * In one step, here and when a range moves: another thread could allocate any hole, and replacing
 * the range would then replace that allocation.
 */
static bool map_fresh(struct range r)
{
	return mmap(r.at, r.bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
}

static bool move_to(struct range r, void *to)
{
	return mremap(r.at, r.bytes, r.bytes,
		      MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to) != MAP_FAILED;
}

/* Its contents are kept elsewhere meanwhile. */
static bool move_away_and_back(struct worker *w, struct range r, uint8_t *elsewhere)
{
	if (!move_to(r, elsewhere))
		return false;
	fill_with_poison(r);
	wait_and_look(w, r);
	return move_to((struct range){ elsewhere, r.bytes }, r.at);
}

static bool replace_range(struct worker *w, enum stress_op op, struct range r)
{
	fill_with_poison(r);
	wait_and_look(w, r);
	if (op == OP_PUNCH)
		return madvise(r.at, r.bytes, MADV_DONTNEED) == 0;
	return map_fresh(r);
}

static void note_dirty(struct stress *s, uint64_t block)
{
	uint64_t page = block * BLOCK;

	__atomic_fetch_or(&s->host_dirty[page / 64], ((1ull << BLOCK) - 1) << (page % 64),
			  __ATOMIC_ACQ_REL);
}

static void take_pages(struct worker *w, enum stress_op op, uint64_t page, uint64_t n,
		       uint8_t *scratch)
{
	struct stress *s = w->s;
	struct range r = { s->memory + page * PAGE, n * PAGE };
	bool nested = stress_random(w) % 8 == 0, ok;
	struct umbra_invalidation inner, outer;

	stress_event(w, stress_op_names[op], page, n);
	if (nested)
		umbra_mmu_invalidate_begin(s->mmu, r.at - 2 * BLOCK_BYTES, 5 * BLOCK_BYTES,
					   &outer);
	umbra_mmu_invalidate_begin(s->mmu, r.at, r.bytes, &inner);
	if (op == OP_MOVE)
		ok = move_away_and_back(w, r, scratch);
	else
		ok = replace_range(w, op, r);
	if (!ok)
		stress_hit(w, ORACLE_MEMORY, "the host refuses to change its mappings");
	if (op != OP_MOVE)
		note_dirty(s, page / BLOCK);
	umbra_mmu_invalidate_end(&inner);
	if (nested)
		umbra_mmu_invalidate_end(&outer);
	stress_event(w, "given back", page, n);
}

static uint64_t random_block(struct worker *w, enum stress_op op, unsigned int half)
{
	unsigned int kind = op == OP_MOVE ? (unsigned int)(stress_random(w) % (N_KINDS + 1)) :
					    KIND_VOLATILE;
	uint64_t first = 0, end = EXCLUSIVE / BLOCK;

	if (kind == KIND_EXCLUSIVE && !half && (stress_random(w) & 1))
		return EXCLUSIVE / BLOCK;
	if (kind < N_KINDS) {
		if (stress_random(w) & 1)
			return __atomic_load_n(&w->s->hot[kind][half], __ATOMIC_RELAXED);
		first = FIRST_OF_KIND(kind) / BLOCK;
		end = END_OF_KIND(kind) / BLOCK;
	}
	return first + stress_random(w) % ((end - first) / 2) * 2 + half;
}

static void choose_hot(struct stress *s, unsigned int kind, unsigned int half)
{
	uint64_t first = FIRST_OF_KIND(kind) / BLOCK;
	uint64_t n = (END_OF_KIND(kind) - FIRST_OF_KIND(kind)) / BLOCK;

	__atomic_store_n(&s->hot[kind][half],
			 first + stress_random(&s->main) % (n / 2) * 2 + half, __ATOMIC_RELAXED);
}

/* Half of all operations at a time: some bugs show only where others do not hide them. */
static uint32_t choose_active(struct stress *s)
{
	const uint32_t guests = (1u << N_GUEST_OPS) - 1;
	uint32_t enabled = 0, active;

	for (unsigned int op = 0; op < N_OPS; op++)
		enabled |= (uint32_t)s->enabled[op] << op;
	if (stress_random(&s->main) % 4 == 0)
		return enabled;
	do {
		active = enabled & (uint32_t)stress_random(&s->main);
	} while (!(active & guests));
	/* A thread that waits for room in a ring does nothing else. */
	if (s->log == LOG_RING)
		active |= enabled & 1u << OP_HARVEST;
	return active;
}

void stress_choose(struct stress *s)
{
	for (unsigned int kind = 0; kind < N_KINDS; kind++)
		for (unsigned int half = 0; half < 2; half++)
			choose_hot(s, kind, half);
	__atomic_store_n(&s->active, choose_active(s), __ATOMIC_RELAXED);
}

/* Two threads, each with every second block: their invalidations overlap in time. */
static void *memory_main(void *arg)
{
	struct worker *w = arg;
	struct stress *s = w->s;
	unsigned int half = (unsigned int)(w - s->hosts);
	enum stress_op op;

	while ((op = choose_op(w, OP_UNMAP, OP_MOVE)) != N_OPS) {
		uint64_t page = random_block(w, op, half) * BLOCK, n = BLOCK;

		if (stress_random(w) & 1) {
			/* A page mapped by a single entry is best revoked alone. */
			page += stress_random(w) % (page == EXCLUSIVE ? 2 * N_HOT_ENTRIES : BLOCK);
			n = 1;
		}
		stress_begin_op(w);
		pthread_rwlock_rdlock(&s->world);
		pthread_mutex_lock(&s->pages_lock[half]);
		take_pages(w, op, page, n, s->scratch[half]);
		pthread_mutex_unlock(&s->pages_lock[half]);
		pthread_rwlock_unlock(&s->world);
		stress_end_op(w, op);
		pause_a_little(w);
	}
	return NULL;
}

/* --- the log and the copy ------------------------------------------------------ */

static void must_be_0(struct worker *w, const char *what, int err)
{
	if (err)
		stress_hit(w, ORACLE_MEMORY, "%s: error %d", what, err);
}

static void take_rings(struct stress *s, uint64_t *bits)
{
	struct umbra_dirty_page pages[64];
	uint32_t n;

	for (unsigned int i = 0; i < s->n_vcpus; i++) {
		while ((n = umbra_vcpu_take_dirty(s->guests[i].vcpu, pages, 64))) {
			for (uint32_t j = 0; j < n; j++)
				if (pages[j].slot == 0 && pages[j].page < N_PAGES)
					bits[pages[j].page / 64] |= 1ull << (pages[j].page % 64);
		}
	}
	umbra_mmu_reset_dirty_rings(s->mmu);
}

static void take_log(struct worker *w, uint64_t *bits)
{
	struct stress *s = w->s;

	if (s->log == LOG_RING) {
		take_rings(s, bits);
		return;
	}
	must_be_0(w, "get dirty log", umbra_mmu_get_dirty_log(s->mmu, 0, bits));
	if (s->log == LOG_MANUAL)
		must_be_0(w, "clear dirty log",
			  umbra_mmu_clear_dirty_log(s->mmu, 0, 0, N_PAGES, bits));
}

static void copy_page(struct stress *s, uint64_t page)
{
	pthread_mutex_t *lock = &s->pages_lock[page / BLOCK % 2];

	pthread_mutex_lock(lock);
	memcpy(s->copy + page * PAGE, s->memory + page * PAGE, PAGE);
	pthread_mutex_unlock(lock);
}

/* Under log_lock. */
static void harvest(struct worker *w)
{
	uint64_t bits[N_PAGES / 64] = { 0 }, n = 0;
	struct stress *s = w->s;

	take_log(w, bits);
	for (unsigned int i = 0; i < N_PAGES / 64; i++) {
		bits[i] |= __atomic_exchange_n(&s->host_dirty[i], 0, __ATOMIC_ACQ_REL);
		for (uint64_t b = bits[i]; b; b &= b - 1, n++)
			copy_page(s, i * 64 + (uint64_t)__builtin_ctzll(b));
	}
	__atomic_fetch_add(&s->n_harvested, n, __ATOMIC_RELAXED);
	stress_event(w, "harvest", n, 0);
}

static void toggle_logging(struct worker *w)
{
	struct stress *s = w->s;
	struct umbra_slot slot = {
		.id = 0,
		.flags = s->logging ? 0 : UMBRA_SLOT_LOG_DIRTY,
		.bytes = N_PAGES * (uint64_t)PAGE,
		.memory = s->memory,
	};

	stress_event(w, s->logging ? "logging off" : "logging on", 0, 0);
	must_be_0(w, "set logging", umbra_mmu_set_slot(s->mmu, &slot));
	s->logging = !s->logging;
	/* Writes made meanwhile are in no log. */
	for (unsigned int i = 0; s->logging && i < N_PAGES / 64; i++)
		__atomic_store_n(&s->host_dirty[i], ~0ull, __ATOMIC_RELEASE);
}

static void *log_main(void *arg)
{
	struct worker *w = arg;
	struct stress *s = w->s;
	enum stress_op op;

	while (s->enabled[OP_HARVEST] && (op = choose_op(w, OP_HARVEST, OP_LOGGING)) != N_OPS) {
		bool toggle;

		stress_begin_op(w);
		pthread_rwlock_rdlock(&s->world);
		pthread_mutex_lock(&s->log_lock);
		toggle = op == OP_LOGGING && (!s->logging || stress_random(w) % 8 == 0);
		if (toggle)
			toggle_logging(w);
		else if (s->logging)
			harvest(w);
		pthread_mutex_unlock(&s->log_lock);
		pthread_rwlock_unlock(&s->world);
		stress_end_op(w, toggle ? OP_LOGGING : OP_HARVEST);
		pause_a_little(w);
	}
	return NULL;
}

/* --- slots -------------------------------------------------------------------- */

static void change_slot(struct worker *w)
{
	struct stress *s = w->s;
	uint64_t state = s->slot_state, place = state & 3, next;
	struct umbra_slot slot = {
		.id = 1,
		.bytes = N_MOVING * (uint64_t)PAGE,
		.memory = s->moving,
	};

	/* Moves it to one of the two other places. */
	next = (place + 1 + stress_random(w) % 2) % 3;
	if (!next)
		slot.bytes = 0;
	else
		slot.gpa = PLACE_GPA(next - 1);
	stress_event(w, "slot 1 to", next ? slot.gpa : 0, state >> 2);
	store_shared(&s->slot_state, (state & ~3ull) + 4);
	must_be_0(w, "change slot 1", umbra_mmu_set_slot(s->mmu, &slot));
	store_shared(&s->slot_state, ((state & ~3ull) + 8) | next);
	stress_event(w, "slot 1 is at", next ? slot.gpa : 0, 0);
}

static void *slots_main(void *arg)
{
	struct worker *w = arg;
	struct stress *s = w->s;

	while (choose_op(w, OP_SLOTS, OP_SLOTS) != N_OPS) {
		stress_begin_op(w);
		pthread_rwlock_rdlock(&s->world);
		change_slot(w);
		pthread_rwlock_unlock(&s->world);
		stress_end_op(w, OP_SLOTS);
		pause_a_little(w);
	}
	return NULL;
}

/* --- ageing and the limit ------------------------------------------------------- */

static void *age_main(void *arg)
{
	struct worker *w = arg;
	struct stress *s = w->s;
	enum stress_op op;

	while ((op = choose_op(w, OP_AGE, OP_LIMIT)) != N_OPS) {
		uint64_t page = stress_random(w) % (N_PAGES - 64);

		stress_begin_op(w);
		pthread_rwlock_rdlock(&s->world);
		stress_event(w, stress_op_names[op], page, 0);
		if (op == OP_AGE)
			umbra_mmu_age(s->mmu, s->memory + page * PAGE, 64 * (size_t)PAGE,
				      (enum umbra_age)(stress_random(w) % 3));
		else
			must_be_0(w, "set limit", umbra_mmu_set_page_limit(
						  s->mmu, 64 + stress_random(w) % 16));
		pthread_rwlock_unlock(&s->world);
		stress_end_op(w, op);
		pause_a_little(w);
	}
	return NULL;
}

/* --- at rest ------------------------------------------------------------------ */

static void find_difference(struct stress *s, uint64_t page)
{
	const uint64_t *is = (uint64_t *)(void *)(s->memory + page * PAGE);
	const uint64_t *was = (uint64_t *)(void *)(s->copy + page * PAGE);
	unsigned int word = 0;

	while (word < PAGE / 8 - 1 && is[word] == was[word])
		word++;
	stress_hit(&s->main, ORACLE_DIRTY,
		   "page %llu word %u holds %#llx, its copy %#llx, and no log names it",
		   (unsigned long long)page, word, (unsigned long long)is[word],
		   (unsigned long long)was[word]);
}

static void compare_with_copy(struct stress *s)
{
	pthread_mutex_lock(&s->log_lock);
	if (s->logging) {
		harvest(&s->main);
		for (uint64_t page = 0; page < N_PAGES; page++)
			if (memcmp(s->memory + page * PAGE, s->copy + page * PAGE, PAGE))
				find_difference(s, page);
	}
	pthread_mutex_unlock(&s->log_lock);
}

static void compare_counts(struct stress *s)
{
	const uint64_t *words = (uint64_t *)(void *)(s->memory + s->lock_gpa);
	uint64_t sum = 0;

	for (unsigned int i = 0; i < s->n_vcpus; i++)
		sum += __atomic_load_n(&s->guests[i].n_locked, __ATOMIC_RELAXED);
	if (!words[WORD_LOCK] && (words[WORD_COUNT] != sum || words[WORD_COUNT_AGAIN] != sum))
		stress_hit(&s->main, ORACLE_FREED,
			   "counted %llu times under the lock, and memory says %llu and %llu",
			   (unsigned long long)sum, (unsigned long long)words[WORD_COUNT],
			   (unsigned long long)words[WORD_COUNT_AGAIN]);
}

void stress_checkpoint(struct stress *s)
{
	__atomic_store_n(&s->main.busy_since, stress_now_ns(), __ATOMIC_RELAXED);
	pthread_rwlock_wrlock(&s->world);
	stress_event(&s->main, "checkpoint", s->n_checkpoints, 0);
	compare_with_copy(s);
	compare_counts(s);
	stress_choose(s);
	count_shared(&s->n_checkpoints);
	pthread_rwlock_unlock(&s->world);
	__atomic_store_n(&s->main.busy_since, 0, __ATOMIC_RELAXED);
}

static const struct {
	const char *name;
	void *(*run)(void *worker);
} hosts[N_HOSTS] = {
	{ "memory 0", memory_main }, { "memory 1", memory_main }, { "log", log_main },
	{ "slots", slots_main }, { "age", age_main },
};

bool stress_start_hosts(struct stress *s)
{
	for (unsigned int i = 0; i < N_HOSTS; i++) {
		snprintf(s->hosts[i].name, sizeof(s->hosts[i].name), "%s", hosts[i].name);
		if (pthread_create(&s->hosts[i].thread, NULL, hosts[i].run, &s->hosts[i]))
			return false;
	}
	return true;
}

void stress_join_hosts(struct stress *s)
{
	for (unsigned int i = 0; i < N_HOSTS; i++)
		pthread_join(s->hosts[i].thread, NULL);
}
