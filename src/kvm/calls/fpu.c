/* SPDX-License-Identifier: MIT */
/* kvm/calls/fpu.c - registers of x87, SSE and AVX, and XCR0, as the client sets and reads them. */
#include <string.h>

#include "cpu/insn/sse/xsave.h"
#include "cpu/insn/x87/x87.h"
#include "cpu/state/cpuid.h"
#include "kvm/calls/call.h"
#include "kvm/fd/client.h"

#define MAX_XCRS 16u

/* MXCSR is not in it, for all that the structure has a place: as in the kernel. */
long call_get_fpu(struct call *c)
{
	const struct cpu *cpu = &c->vcpu->cpu;
	const struct x87 *x = &cpu->x87;
	struct kvm_fpu *fpu = c->data;

	*fpu = (struct kvm_fpu){
		.fcw = x->fcw, .fsw = x->fsw, .ftwx = x->ftw, .last_opcode = x->fop,
		.last_ip = x->fip, .last_dp = x->fdp,
	};
	memcpy(fpu->fpr, x->st, sizeof(fpu->fpr));
	memcpy(fpu->xmm, cpu->xmm, sizeof(fpu->xmm));
	return 0;
}

long call_set_fpu(struct call *c)
{
	struct cpu *cpu = &c->vcpu->cpu;
	const struct kvm_fpu *fpu = c->data;
	struct x87 *x = &cpu->x87;

	*x = (struct x87){
		.fcw = fpu->fcw, .fsw = fpu->fsw, .ftw = fpu->ftwx, .fop = fpu->last_opcode,
		.fip = fpu->last_ip, .fdp = fpu->last_dp,
	};
	memcpy(x->st, fpu->fpr, sizeof(x->st));
	x87_settle(x);
	memcpy(cpu->xmm, fpu->xmm, sizeof(cpu->xmm));
	return 0;
}

/* KVM_GET_XSAVE, KVM_GET_XSAVE2: what there is fits into the smaller of the two. */
long call_get_xsave(struct call *c)
{
	struct kvm_xsave out = { 0 };
	struct xsave_area area;

	xsave_get(&c->vcpu->cpu, &area);
	memcpy(out.region, &area, sizeof(area));
	return copy_to_client(c->arg, &out, sizeof(out));
}

static bool is_valid(const struct cpu *cpu, const struct xsave_area *area)
{
	static const uint64_t zero[ARRAY_SIZE(area->header.reserved)];
	const struct xsave_header *h = &area->header;

	if ((h->xstate_bv & ~cpuid_xcr0_offered()) || h->xcomp_bv ||
	    memcmp(h->reserved, zero, sizeof(h->reserved)))
		return false;
	return !h->xstate_bv || !(area->fx.mxcsr & ~cpu->mxcsr_mask);
}

long call_set_xsave(struct call *c)
{
	struct xsave_area area;
	struct kvm_xsave in;

	if (copy_from_client(&in, c->arg, sizeof(in)))
		return -EFAULT;
	memcpy(&area, in.region, sizeof(area));
	if (!is_valid(&c->vcpu->cpu, &area))
		return -EINVAL;
	xsave_set(&c->vcpu->cpu, &area);
	return 0;
}

long call_get_xcrs(struct call *c)
{
	struct kvm_xcrs *xcrs = c->data;

	*xcrs = (struct kvm_xcrs){ .nr_xcrs = 1, .xcrs[0].value = c->vcpu->cpu.xcr0 };
	return 0;
}

/* The first that is XCR0 counts; there is no other. */
long call_set_xcrs(struct call *c)
{
	const struct kvm_xcrs *xcrs = c->data;
	struct cpu *cpu = &c->vcpu->cpu;

	if (xcrs->nr_xcrs > MAX_XCRS || xcrs->flags)
		return -EINVAL;
	for (uint32_t i = 0; i < xcrs->nr_xcrs; i++) {
		if (xcrs->xcrs[i].xcr)
			continue;
		if (!cpuid_allows_xcr0(cpu, xcrs->xcrs[i].value))
			return -EINVAL;
		cpu->xcr0 = xcrs->xcrs[i].value;
		cpu_state_changed(cpu);
		break;
	}
	return 0;
}
