/* SPDX-License-Identifier: MIT */
/*
 * stress/guest.c - the guests of umbra stress.
 *
 * A guest's thread is in guest mode, and holds the world's lock for reading, except where it
 * breathes: there all deferred work is done.
 */
#include <sched.h>

#include "stress/stress.h"

#define OPS_IN_A_ROW 64u
#define SPINS_BEFORE_BREATH 64u
#define MAX_BURST 16u

static void enter_world(struct guest *g)
{
	pthread_rwlock_rdlock(&g->w.s->world);
	umbra_vcpu_enter(g->vcpu);
}

static void leave_world(struct guest *g)
{
	umbra_vcpu_leave(g->vcpu);
	pthread_rwlock_unlock(&g->w.s->world);
}

static void attend(struct guest *g, enum when when)
{
	umbra_vcpu_poll(g->vcpu);
	stress_serve_ipi(g, when);
}

bool stress_breathe(struct guest *g)
{
	leave_world(g);
	sched_yield();
	enter_world(g);
	attend(g, NOW);
	return !stress_stopped(g->w.s);
}

/* --- accesses ----------------------------------------------------------------- */

/* True: repeat.  False:  *result is final, unless it is time to stop. */
static bool is_to_be_repeated(struct guest *g, enum umbra_result result, uint64_t gva)
{
	const struct umbra_fault *f = umbra_vcpu_fault(g->vcpu);

	switch (result) {
	case UMBRA_RETRY:
	case UMBRA_RING_FULL:
		stress_event(&g->w, result == UMBRA_RETRY ? "retry" : "ring full", gva, 0);
		return stress_breathe(g);
	case UMBRA_OK:
	case UMBRA_GUEST_FAULT:
	case UMBRA_MMIO:
		return false;
	case UMBRA_BAD_TABLES:
		stress_hit(&g->w, ORACLE_MMIO, "the tables of %#llx are reported as outside memory",
			   (unsigned long long)gva);
	default:
		stress_hit(&g->w, ORACLE_FREED, "access to gva %#llx gpa %#llx: result %d",
			   (unsigned long long)gva, (unsigned long long)f->gpa, (int)result);
	}
}

enum umbra_result stress_load(struct guest *g, uint64_t gva, uint64_t *value)
{
	enum umbra_result result;

	do {
		result = umbra_load64(g->vcpu, gva, value);
	} while (is_to_be_repeated(g, result, gva));
	count_shared(&g->n_accesses);
	if (result == UMBRA_OK && *value == POISON)
		stress_hit(&g->w, ORACLE_FREED, "gva %#llx reads a page that the host has revoked",
			   (unsigned long long)gva);
	return result;
}

enum umbra_result stress_store(struct guest *g, uint64_t gva, uint64_t value)
{
	enum umbra_result result;

	do {
		result = umbra_store64(g->vcpu, gva, value);
	} while (is_to_be_repeated(g, result, gva));
	count_shared(&g->n_accesses);
	return result;
}

/* Valid only if it is not time to stop. */
static void must_be_ok(struct guest *g, enum umbra_result result, uint64_t gva)
{
	const struct umbra_fault *f = umbra_vcpu_fault(g->vcpu);

	if (result == UMBRA_OK || stress_stopped(g->w.s))
		return;
	if (result == UMBRA_MMIO)
		stress_hit(&g->w, ORACLE_MMIO, "gva %#llx: memory at %#llx is treated as MMIO",
			   (unsigned long long)gva, (unsigned long long)f->gpa);
	stress_hit(&g->w, ORACLE_STALE, "gva %#llx faults with %#x though it is mapped for all",
		   (unsigned long long)gva, f->error_code);
}

uint64_t stress_load_sure(struct guest *g, uint64_t gva)
{
	uint64_t value = 0;

	must_be_ok(g, stress_load(g, gva, &value), gva);
	return value;
}

void stress_store_sure(struct guest *g, uint64_t gva, uint64_t value)
{
	must_be_ok(g, stress_store(g, gva, value), gva);
}

uint64_t stress_physical(struct guest *g, uint64_t gpa)
{
	return WINDOW(stress_random(&g->w) & 1 ? W_SMALL : W_LARGE) + gpa;
}

/* --- locks -------------------------------------------------------------------- */

static bool try_lock(struct guest *g, uint64_t gva)
{
	enum umbra_result result;
	uint64_t old;

	do {
		old = 0;
		result = umbra_cmpxchg64(g->vcpu, gva, &old, g->id + 1);
	} while (is_to_be_repeated(g, result, gva));
	must_be_ok(g, result, gva);
	if (old > g->w.s->n_vcpus)
		stress_hit(&g->w, ORACLE_FREED, "a lock holds %#llx", (unsigned long long)old);
	return result == UMBRA_OK && !old;
}

bool stress_lock(struct guest *g, unsigned int word)
{
	uint64_t gva = stress_physical(g, g->w.s->lock_gpa + word * 8);

	for (unsigned int spins = 1; !try_lock(g, gva); spins++) {
		attend(g, NOW);
		if (spins % SPINS_BEFORE_BREATH == 0 && !stress_breathe(g))
			return false;
		if (stress_stopped(g->w.s))
			return false;
	}
	return true;
}

void stress_unlock(struct guest *g, unsigned int word)
{
	stress_store_sure(g, stress_physical(g, g->w.s->lock_gpa + word * 8), 0);
}

static void op_lock(struct guest *g)
{
	uint64_t page = stress_physical(g, g->w.s->lock_gpa), a, b;

	if (!stress_lock(g, WORD_LOCK))
		return;
	a = stress_load_sure(g, page + WORD_COUNT * 8);
	b = stress_load_sure(g, page + WORD_COUNT_AGAIN * 8);
	if (a != b && !stress_stopped(g->w.s))
		stress_hit(&g->w, ORACLE_FREED, "under the lock, %#llx is not %#llx",
			   (unsigned long long)a, (unsigned long long)b);
	stress_store_sure(g, page + WORD_COUNT * 8, a + 1);
	stress_store_sure(g, page + WORD_COUNT_AGAIN * 8, b + 1);
	count_shared(&g->n_locked);
	stress_event(&g->w, "count", a + 1, 0);
	stress_unlock(g, WORD_LOCK);
}

/* --- readers and writers ------------------------------------------------------- */

static unsigned int own_word(const struct guest *g, unsigned int i)
{
	return FIRST_OWN + g->id * OWN_WORDS + i;
}

/* Whoever owns the word: it says its place, or is zero where contents may be lost. */
static void check_word(struct guest *g, uint64_t page, unsigned int word, uint64_t value)
{
	bool may_be_gone = page >= VOLATILE && page < STEADY;
	unsigned int i = word - own_word(g, 0);
	uint64_t last;

	if (stress_stopped(g->w.s) || (may_be_gone && !value))
		return;
	if ((value ^ stress_tag(page, word, 0)) >> 30)
		stress_hit(&g->w, ORACLE_FREED, "page %llu word %u holds %#llx",
			   (unsigned long long)page, word, (unsigned long long)value);
	if (i >= OWN_WORDS)
		return;
	last = stress_tag(page, word,
			  g->count[page < MOVING_PAGE ? page : page - MOVING_PAGE + N_PAGES][i]);
	if (value != last)
		stress_hit(&g->w, ORACLE_FREED,
			   "page %llu word %u: wrote %#llx, reads %#llx",
			   (unsigned long long)page, word, (unsigned long long)last,
			   (unsigned long long)value);
}

static uint64_t random_page(struct guest *g)
{
	return stress_random_page(&g->w, stress_random(&g->w) & 1 ? KIND_STEADY : KIND_VOLATILE);
}

/* More than once: others must wait for what is in the TLB. */
static void op_read(struct guest *g)
{
	uint64_t page = random_page(g), gva = stress_physical(g, page * PAGE);

	for (uint64_t n = stress_random(&g->w) % MAX_BURST; n; n--) {
		unsigned int word = (unsigned int)(stress_random(&g->w) % LAZY_WORDS);

		if (stress_random(&g->w) & 1)
			word = own_word(g, word % OWN_WORDS);
		check_word(g, page, word, stress_load_sure(g, gva + word * 8));
	}
}

static void op_write(struct guest *g)
{
	uint64_t page = random_page(g), gva = stress_physical(g, page * PAGE);

	for (uint64_t n = stress_random(&g->w) % MAX_BURST; n; n--) {
		unsigned int i = (unsigned int)(stress_random(&g->w) % OWN_WORDS);
		unsigned int word = own_word(g, i);
		uint64_t value = stress_tag(page, word, ++g->count[page][i]);

		stress_event(&g->w, "store", page * PAGE + word * 8, value);
		stress_store_sure(g, gva + word * 8, value);
	}
}

/* --- where memory is not, or not always ---------------------------------------- */

static void must_be_mmio(struct guest *g, enum umbra_result result, uint64_t gpa)
{
	if (stress_stopped(g->w.s))
		return;
	if (result != UMBRA_MMIO || umbra_vcpu_fault(g->vcpu)->gpa != gpa)
		stress_hit(&g->w, ORACLE_MMIO, "no memory at %#llx, but result %d at %#llx",
			   (unsigned long long)gpa, (int)result,
			   (unsigned long long)umbra_vcpu_fault(g->vcpu)->gpa);
}

static void op_mmio(struct guest *g)
{
	uint64_t at = stress_random(&g->w) % (N_MMIO * PAGE / 8) * 8, value = 0;
	bool write = stress_random(&g->w) & 1;

	must_be_mmio(g, write ? stress_store(g, WINDOW(W_MMIO) + at, value) :
				stress_load(g, WINDOW(W_MMIO) + at, &value), MMIO_GPA + at);
}

/* One access to slot 1, whose place at any time is recorded. */
static void access_slot(struct guest *g, uint64_t place, uint64_t page)
{
	unsigned int i = (unsigned int)(stress_random(&g->w) % OWN_WORDS), word = own_word(g, i);
	uint64_t gva = WINDOW(W_MOVING) + (place * N_MOVING + page) * PAGE + word * 8;
	uint64_t at = PLACE_GPA(place) + page * PAGE + word * 8, before, value;
	bool write = stress_random(&g->w) % 4 == 0, is_there, in_change;
	struct stress *s = g->w.s;
	enum umbra_result result;

	value = stress_tag(MOVING_PAGE + page, word, g->count[N_PAGES + page][i] + 1);
	before = load_shared(&s->slot_state);
	result = write ? stress_store(g, gva, value) : stress_load(g, gva, &value);
	in_change = load_shared(&s->slot_state) != before || (before & 4);
	is_there = (before & 3) == place + 1;
	stress_event(&g->w, write ? "slot store" : "slot load", at, (uint64_t)result);
	if (stress_stopped(s))
		return;
	if (write && result == UMBRA_OK)
		g->count[N_PAGES + page][i]++;
	if (result == UMBRA_OK && (in_change || is_there))
		check_word(g, MOVING_PAGE + page, word, value);
	else if (result == UMBRA_OK || (is_there && !in_change))
		stress_hit(&g->w, ORACLE_MMIO, "slot 1 is %s, but %#llx has result %d",
			   is_there ? "there" : "not there", (unsigned long long)at, (int)result);
	else
		must_be_mmio(g, result, at);
}

/* Repeatedly: what may be wrong is what was cached by the first. */
static void op_slot(struct guest *g)
{
	uint64_t place = stress_random(&g->w) & 1, r = stress_random(&g->w);
	uint64_t page = (r >> 1) % (r & 1 ? N_HOT_ENTRIES : N_MOVING);

	for (uint64_t n = stress_random(&g->w) % MAX_BURST; n; n--)
		access_slot(g, place, page);
}

/* --- the loop ------------------------------------------------------------------ */

static void (*const ops[N_GUEST_OPS])(struct guest *g) = {
	[OP_READ] = op_read, [OP_WRITE] = op_write, [OP_TABLES] = stress_op_tables,
	[OP_LAZY] = stress_op_lazy, [OP_SHARED] = stress_op_shared, [OP_LOCK] = op_lock,
	[OP_MMIO] = op_mmio, [OP_SLOT] = op_slot,
};

static enum stress_op random_op(struct guest *g)
{
	enum stress_op op;

	do {
		op = (enum stress_op)(stress_random(&g->w) % N_GUEST_OPS);
	} while (!stress_is_active(g->w.s, op));
	return op;
}

void *stress_guest_main(void *guest)
{
	struct guest *g = guest;

	while (!stress_stopped(g->w.s)) {
		enter_world(g);
		for (unsigned int i = 0; i < OPS_IN_A_ROW && !stress_stopped(g->w.s); i++) {
			enum stress_op op = random_op(g);

			stress_begin_op(&g->w);
			ops[op](g);
			stress_end_op(&g->w, op);
			attend(g, NOW_AND_THEN);
		}
		leave_world(g);
	}
	return NULL;
}
