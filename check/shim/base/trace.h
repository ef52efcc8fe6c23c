/* SPDX-License-Identifier: MIT */
/* The trace points, as lines of the checker's timeline.  In the place of src/base/trace.h. */
#ifndef CHECK_SHIM_BASE_TRACE_H
#define CHECK_SHIM_BASE_TRACE_H

#include "check/engine/timeline.h"

#define trace_page_fault(vcpu, gpa, access) \
	timeline_note("page fault at gpa %#llx for %s", (unsigned long long)(gpa), \
		      (access) ? "writing" : "reading")
#define trace_fast_page_fault(vcpu, gpa, old, new) \
	timeline_note("fast page fault at gpa %#llx: W given back without the lock", \
		      (unsigned long long)(gpa))
#define trace_mark_mmio_spte(gfn, access, gen) \
	timeline_note("notes MMIO at gfn %llu, generation %llu", (unsigned long long)(gfn), \
		      (unsigned long long)(gen))
#define trace_spte_changed(gfn, level, old, new) ((void)0)
#define trace_unmap_hva_range(start, end) ((void)0)
#define trace_remote_flush(paid) \
	timeline_note("flush done: paid %llu", (unsigned long long)(paid))
#define trace_slots(generation, id, error) ((void)0)

#endif
