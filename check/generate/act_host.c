/* SPDX-License-Identifier: MIT */
/* What the host does with the process's memory. */
#include "check/engine/arena.h"
#include "check/engine/timeline.h"
#include "check/generate/world.h"
#include "check/world/host.h"
#include "check/world/machine.h"
#include "mmu/notifier.h"
#include "mmu/tlb/flush.h"

static void begin(unsigned int first, unsigned int last, struct invalidation *inv)
{
	timeline_note("invalidate_range_start of hva pages %u..%u", first, last);
	mmu_invalidate_begin(&vm->mmu, host_hva(first), host_hva(last + 1), inv);
}

static void end(struct invalidation *inv)
{
	mmu_invalidate_end(inv);
	timeline_note("invalidate_range_end");
}

/* A range, and within that the change of its first page. */
static void nested(unsigned int first, unsigned int last)
{
	/* Not on the stack: with a rule off, it may stay on record. */
	struct invalidation *outer = arena_alloc(sizeof(*outer));

	begin(first, last, outer);
	host_unmap(&vm->mmu, first, 1);
	end(outer);
}

/* All that a table maps: it goes as well. */
static void sweep(unsigned int page)
{
	struct invalidation *all = arena_alloc(sizeof(*all));

	begin(0, ENTRIES_PER_TABLE - 1, all);
	end(all);
	host_unmap(&vm->mmu, page, 1);
}

static void flush(void)
{
	timeline_note("kvm_flush_remote_tlbs, without the MMU lock");
	flush_settle(&vm->mmu);
	timeline_note("its flush is done");
}

/* Frames with other contents, or none: what the log says of them means nothing. */
static bool change_contents(struct operation o)
{
	unsigned int n = o.b - o.a + 1u;

	switch (o.kind) {
	case OP_unmap:
		host_unmap(&vm->mmu, o.a, n);
		break;
	case OP_replace:
		host_replace(&vm->mmu, o.a, n);
		break;
	case OP_nested:
		nested(o.a, o.b);
		break;
	case OP_sweep:
		sweep(o.a);
		break;
	case OP_provide:
		host_provide(o.a);
		break;
	default:
		return false;
	}
	client_ignore_pages(o.a, o.b);
	return true;
}

void host_do(struct operation o)
{
	unsigned int n = o.b - o.a + 1u;

	if (change_contents(o))
		return;
	switch (o.kind) {
	case OP_readonly:
		host_protect(&vm->mmu, o.a, n);
		break;
	case OP_migrate:
		host_move(&vm->mmu, o.a, n);
		break;
	case OP_refill:
		host_refill(&vm->mmu, o.a, n);
		break;
	case OP_young:
		client_age(o.a, AGE_TEST);
		break;
	case OP_old:
		client_age_pages(o.a, n, AGE_CLEAR);
		break;
	case OP_oldflush:
		client_age(o.a, AGE_CLEAR_FLUSH);
		break;
	case OP_flush:
		flush();
		break;
	}
}
