/* SPDX-License-Identifier: MIT */
/*
 * base/trace.h - static trace points (USDT), named after KVM's kvmmmu events.
 *
 * Each is a no-op instruction until a tracer such as bpftrace or perf attaches:
 *	bpftrace -e 'usdt:./libumbra.so:umbra:page_fault { printf("%x\n", arg1); }'
 */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#ifdef UMBRA_PROBES
#include <sys/sdt.h>
#else
#define DTRACE_PROBE1(provider, name, a) ((void)(a))
#define DTRACE_PROBE2(provider, name, a, b) ((void)(a), (void)(b))
#define DTRACE_PROBE3(provider, name, a, b, c) ((void)(a), (void)(b), (void)(c))
#define DTRACE_PROBE4(provider, name, a, b, c, d) ((void)(a), (void)(b), (void)(c), (void)(d))
#endif

#define trace_page_fault(vcpu, gpa, access) DTRACE_PROBE3(umbra, page_fault, vcpu, gpa, access)
#define trace_fast_page_fault(vcpu, gpa, old, new) \
	DTRACE_PROBE4(umbra, fast_page_fault, vcpu, gpa, old, new)
#define trace_mark_mmio_spte(gfn, access, gen) \
	DTRACE_PROBE3(umbra, mark_mmio_spte, gfn, access, gen)
#define trace_spte_changed(gfn, level, old, new) \
	DTRACE_PROBE4(umbra, spte_changed, gfn, level, old, new)
#define trace_unmap_hva_range(start, end) DTRACE_PROBE2(umbra, unmap_hva_range, start, end)
#define trace_remote_flush(paid) DTRACE_PROBE1(umbra, remote_flush, paid)
#define trace_slots(generation, id, error) DTRACE_PROBE3(umbra, slots, generation, id, error)

#endif
