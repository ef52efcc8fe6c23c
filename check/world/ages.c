/* SPDX-License-Identifier: MIT */
#include "check/world/ages.h"

#include <string.h>

#include "check/engine/memory.h"
#include "check/engine/sched.h"
#include "check/world/host.h"
#include "check/world/oracle.h"

#define MAX_PAGES 64u

/* Bits: pages. */
static struct {
	uint64_t young;		/* used, and that was seen, since they were last cleared */
	uint64_t used;		/* used since a clear with a flush began, seen or not */
	uint64_t hidden;	/* cleared: a TLB may use them unseen */
	struct ages_call *open[MAX_THREADS + 1];
} ages;

void ages_begin_run(void)
{
	memset(&ages, 0, sizeof(ages));
}

static uint64_t bits(unsigned int first, unsigned int n)
{
	if (first >= MAX_PAGES)
		return 0;
	return (n >= 64 ? ~0ull : (1ull << n) - 1) << first;
}

void ages_used(unsigned int page)
{
	uint64_t bit = bits(page, 1);

	ages.young |= bit & ~ages.hidden;
	ages.used |= bit;
}

/* Whoever asks at the same time may find it gone. */
void ages_dropped(unsigned int page)
{
	uint64_t bit = bits(page, 1);

	ages.young &= ~bit;
	for (unsigned int i = 0; i <= MAX_THREADS; i++)
		if (ages.open[i] && bit & bits(ages.open[i]->first, ages.open[i]->n))
			ages.open[i]->must_be_young = false;
}

/* To clear is to write, and so is to ask: a use is seen or not. */
static void order(const struct ages_call *c)
{
	bool matters = false;

	for (unsigned int i = 0; i < c->n; i++)
		matters |= host_page_is_shared(c->first + i);
	sched_point(matters);
	for (unsigned int i = 0; i < c->n; i++)
		host_note_write(c->first + i);
}

/* True: another call clears the same pages, and may take what this one would have found. */
static bool meets_clear(const struct ages_call *c, uint64_t mine)
{
	bool meets = false;

	for (unsigned int i = 0; i <= MAX_THREADS; i++) {
		struct ages_call *other = ages.open[i];

		if (!other || !(mine & bits(other->first, other->n)))
			continue;
		meets |= other->how != AGE_TEST;
		if (c->how != AGE_TEST)
			other->must_be_young = false;
	}
	return meets;
}

void ages_call_begins(struct ages_call *c, unsigned int first, unsigned int n, enum age how)
{
	uint64_t mine = bits(first, n);

	*c = (struct ages_call){ .first = first, .n = n, .how = how };
	c->number = (unsigned int)(sched_self() + 1);
	order(c);
	c->must_be_young = !meets_clear(c, mine) && (ages.young & mine);
	ages.open[c->number] = c;
	if (how == AGE_TEST)
		return;
	ages.young &= ~mine;
	ages.hidden |= mine;
	if (how == AGE_CLEAR_FLUSH)
		ages.used &= ~mine;
}

/* In setup and finish nobody else is at it, so that it is known what was not used; if no large
 * page has one age for many. */
static bool must_be_old(const struct ages_call *c)
{
	return sched_self() < 0 && c->how == AGE_TEST && !host_has_large_pages() &&
	       !((ages.used | ages.hidden) & bits(c->first, c->n));
}

void ages_call_returns(struct ages_call *c, bool young)
{
	bool may_be_young = !must_be_old(c);

	order(c);
	ages.open[c->number] = NULL;
	/* Of a clear without a flush it is not known when it was: until now. */
	if (c->how == AGE_CLEAR) {
		ages.young &= ~bits(c->first, c->n);
		ages.hidden |= bits(c->first, c->n);
	}
	if (c->how == AGE_CLEAR_FLUSH && !meets_clear(c, bits(c->first, c->n)))
		ages.hidden &= ~bits(c->first, c->n);
	if (oracle_is_blind)
		return;
	if (c->must_be_young && !young)
		sched_fail(VERDICT_STALE_RIGHT,
			   "hva pages %u..%u were used since that was last cleared, and are said "
			   "to be old", c->first, c->first + c->n - 1);
	if (young && !may_be_young)
		sched_fail(VERDICT_STALE_RIGHT,
			   "hva pages %u..%u were not used since that was cleared, and are said "
			   "to be young", c->first, c->first + c->n - 1);
}
