/* SPDX-License-Identifier: MIT */
#include "check/generate/enumerate.h"

#include <string.h>

#include "base/compiler.h"
#include "check/generate/alphabet.h"

bool enumerate_size(unsigned int i, struct size *size)
{
	static const struct size sizes[ENUMERATE_SIZES] = {
		{ { 1, 1, 0 } }, { { 2, 1, 0 } }, { { 1, 2, 0 } }, { { 2, 2, 0 } },
		{ { 1, 1, 1 } }, { { 2, 1, 1 } }, { { 1, 2, 1 } }, { { 2, 2, 1 } },
		{ { 1, 1, 2 } }, { { 2, 2, 2 } },
	};

	if (i >= ENUMERATE_SIZES)
		return false;
	*size = sizes[i];
	return true;
}

static uint64_t power(uint64_t base, unsigned int n)
{
	uint64_t p = 1;

	while (n--)
		p *= base;
	return p;
}

static uint64_t count_of(const struct alphabet *a, struct size size)
{
	uint64_t second = power(a->n_vcpu, size.n[1]) + power(a->n_others, size.n[1]);

	return a->n_setups * power(a->n_vcpu, size.n[0]) * second * power(a->n_others, size.n[2]);
}

uint64_t enumerate_count(struct size size)
{
	unsigned int n;
	const struct alphabet *a = alphabets(&n);
	uint64_t count = 0;

	while (n--)
		count += count_of(a++, size);
	return count;
}

/* --- from a number to a program --------------------------------------------------- */

static uint64_t take(uint64_t *i, uint64_t base)
{
	uint64_t digit = *i % base;

	*i /= base;
	return digit;
}

static void fill_thread(struct generated *g, uint64_t digits, const struct operation *letters,
			unsigned int n_letters, unsigned int n, uint8_t vcpu)
{
	struct generated_thread *t = &g->thread[g->n_threads++];

	t->n = (uint8_t)n;
	for (unsigned int k = 0; k < n; k++) {
		t->op[k] = letters[take(&digits, n_letters)];
		if (operation_actor(t->op[k]) == ACTOR_VCPU)
			t->op[k].vcpu = vcpu;
	}
}

static void decode(const struct alphabet *a, struct size size, uint64_t i, struct generated *g)
{
	uint64_t s = take(&i, a->n_setups), vcpus = power(a->n_vcpu, size.n[1]), second;

	*g = (struct generated){ .options = a->options, .n_setup = a->setup[s].n };
	memcpy(g->setup, a->setup[s].op, sizeof(g->setup));
	fill_thread(g, take(&i, power(a->n_vcpu, size.n[0])), a->vcpu, a->n_vcpu, size.n[0], 0);
	second = take(&i, vcpus + power(a->n_others, size.n[1]));
	if (second < vcpus)
		fill_thread(g, second, a->vcpu, a->n_vcpu, size.n[1], 1);
	else
		fill_thread(g, second - vcpus, a->others, a->n_others, size.n[1], 0);
	if (size.n[2])
		fill_thread(g, i, a->others, a->n_others, size.n[2], 0);
}

/* --- what is worth it --------------------------------------------------------------- */

/* Threads that do the same but for who they are, in an order. */
static int compare(const struct generated_thread *a, const struct generated_thread *b)
{
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	for (unsigned int i = 0; i < a->n; i++) {
		struct operation x = a->op[i], y = b->op[i];

		x.vcpu = y.vcpu = 0;
		if (memcmp(&x, &y, sizeof(x)))
			return memcmp(&x, &y, sizeof(x));
	}
	return 0;
}

static bool is_vcpus(const struct generated_thread *t)
{
	return operation_actor(t->op[0]) == ACTOR_VCPU;
}

/* The same program with two threads exchanged comes before. */
static bool is_symmetric(const struct generated *g)
{
	for (unsigned int t = 1; t < g->n_threads; t++) {
		const struct generated_thread *x = &g->thread[t - 1], *y = &g->thread[t];

		if (is_vcpus(x) != is_vcpus(y) || (is_vcpus(x) && g->n_setup) || x->n != y->n)
			continue;
		if (compare(x, y) > 0)
			return true;
	}
	return false;
}

static bool changes(struct operation o)
{
	return o.kind != OP_read && o.kind != OP_execute && o.kind != OP_exit;
}

/* Somebody does. */
static bool is_of_interest(const struct generated *g)
{
	for (unsigned int t = 0; t < g->n_threads; t++)
		for (unsigned int i = 0; i < g->thread[t].n; i++)
			if (changes(g->thread[t].op[i]))
				return true;
	return false;
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
	return b ? common_divisor(b, a % b) : a;
}

bool enumerate(struct size size, uint64_t i, struct generated *g)
{
	uint64_t count = enumerate_count(size), stride = count / 2 + count / 9 + 1;
	unsigned int n;
	const struct alphabet *a = alphabets(&n);

	while (common_divisor(stride, count) > 1)
		stride++;
	/* Fits: the counts are below 2^32. */
	i = i * stride % count;
	for (; i >= count_of(a, size); a++)
		i -= count_of(a, size);
	decode(a, size, i, g);
	return program_is_valid(g) && !is_symmetric(g) && is_of_interest(g);
}
