/* SPDX-License-Identifier: MIT */
#include "kvm/revoke.h"

#include <errno.h>

#include "base/bug.h"
#include "kvm/process.h"
#include "kvm/vm.h"
#include "mmu/notifier.h"

struct step {
	struct vm *from, *to;
};

static void find_next(void *ctx, struct cds_list_head *vms)
{
	struct step *s = ctx;
	struct cds_list_head *at;

	for (at = s->from ? s->from->node.next : vms->next; at != vms; at = at->next) {
		struct vm *vm = cds_list_entry(at, struct vm, node);

		if (vm_get_unless_gone(vm)) {
			s->to = vm;
			return;
		}
	}
}

/*
 * The VM after @vm in the list, or the first, with a reference; drops that on @vm.  A VM with a
 * reference stays in the list.
 */
static struct vm *next_vm(struct vm *vm)
{
	struct step s = { .from = vm };

	process_with_vms(find_next, &s);
	if (vm)
		vm_put(vm);
	return s.to;
}

/* OPEN_BEFORE_ZAP: first on record, then invalidated.  A VM or slot that is missed here is created
 * later, and finds the record. */
static void withdraw(struct revocation *r)
{
	bool was = thread_enter_library();

	for (unsigned int i = 0; i < r->n; i++)
		host_change_open(process_changes(), &r->record[i], r->ranges[i].start,
				 r->ranges[i].end);
	for (struct vm *vm = next_vm(NULL); vm; vm = next_vm(vm))
		for (unsigned int i = 0; i < r->n; i++)
			mmu_withdraw(&vm->mmu, r->ranges[i].start, r->ranges[i].end);
	thread_leave_library(was);
}

/* SEQ_INC_BEFORE_COUNT_DEC. */
static void restore(struct revocation *r)
{
	bool was = thread_enter_library();

	for (struct vm *vm = next_vm(NULL); vm; vm = next_vm(vm))
		for (unsigned int i = 0; i < r->n; i++)
			mmu_restore(&vm->mmu, r->ranges[i].start, r->ranges[i].end);
	for (unsigned int i = 0; i < r->n; i++)
		host_change_close(process_changes(), &r->record[i]);
	thread_leave_library(was);
}

void revoke_begin(struct revocation *r, const struct hva_range *ranges, unsigned int n)
{
	bug_on(n > REVOKE_MAX_RANGES);
	r->n = n;
	for (unsigned int i = 0; i < n; i++)
		r->ranges[i] = ranges[i];
	r->saved = thread_hold_signals();
	withdraw(r);
}

void revoke_end(struct revocation *r)
{
	int err = errno;

	restore(r);
	errno = err;
	thread_release_signals(r->saved);
}

void revoke_around(const struct hva_range *ranges, unsigned int n, void (*change)(void *ctx),
		   void *ctx)
{
	struct revocation r;

	if (!n || !process_may_have_vms()) {
		change(ctx);
		return;
	}
	revoke_begin(&r, ranges, n);
	change(ctx);
	revoke_end(&r);
}
