/* SPDX-License-Identifier: MIT */
/*
 * kvm/calls/regs.c - the registers, between the API's structures and the CPU's.
 */
#include "kvm/calls/regs.h"

#include <string.h>

#include "cpu/event/interrupt.h"
#include "cpu/state/control.h"
#include "cpu/state/cpuid.h"
#include "cpu/state/debug.h"
#include "cpu/state/msr.h"
#include "kvm/calls/call.h"

#define CR8_MAX 15u

void regs_get(struct cpu *cpu, struct kvm_regs *r)
{
	*r = (struct kvm_regs){
		.rax = cpu->r[GPR_RAX], .rbx = cpu->r[GPR_RBX],
		.rcx = cpu->r[GPR_RCX], .rdx = cpu->r[GPR_RDX],
		.rsi = cpu->r[GPR_RSI], .rdi = cpu->r[GPR_RDI],
		.rsp = cpu->r[GPR_RSP], .rbp = cpu->r[GPR_RBP],
		.r8 = cpu->r[GPR_R8], .r9 = cpu->r[GPR_R9],
		.r10 = cpu->r[GPR_R10], .r11 = cpu->r[GPR_R11],
		.r12 = cpu->r[GPR_R12], .r13 = cpu->r[GPR_R13],
		.r14 = cpu->r[GPR_R14], .r15 = cpu->r[GPR_R15],
		.rip = cpu->rip,
		.rflags = debug_client_rflags(cpu),
	};
}

void regs_set(struct cpu *cpu, const struct kvm_regs *r)
{
	const uint64_t order[N_GPRS] = {
		r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
		r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15,
	};

	memcpy(cpu->r, order, sizeof(order));
	cpu->rip = r->rip;
	debug_client_set_rflags(cpu, r->rflags | X86_EFLAGS_FIXED);
	/* A pending exception belongs to the old registers; an interrupt does not. */
	if (!cpu->event.interrupt)
		cpu->event.pending = false;
	cpu->debug.held = 0;
	cpu_state_changed(cpu);
}

static struct kvm_segment get_segment(const struct segment *s)
{
	return (struct kvm_segment){
		.base = s->base, .limit = s->limit, .selector = s->selector, .type = s->type,
		.present = s->present, .dpl = s->dpl, .db = s->db, .s = s->s, .l = s->l,
		.g = s->g, .avl = s->avl, .unusable = s->unusable,
	};
}

static struct segment set_segment(const struct kvm_segment *s)
{
	return (struct segment){
		.base = s->base, .limit = s->limit, .selector = s->selector,
		.type = s->type & 15, .dpl = s->dpl & 3,
		.present = s->present & 1 && !s->unusable,
		.s = s->s & 1, .l = s->l & 1, .db = s->db & 1, .g = s->g & 1, .avl = s->avl & 1,
		.unusable = s->unusable || !s->present,
	};
}

/* The lowest of several; none leaves the queue unchanged. */
static void queue_from_bitmap(struct cpu *cpu, const struct kvm_sregs *s)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(s->interrupt_bitmap); i++) {
		if (!s->interrupt_bitmap[i])
			continue;
		interrupt_accept(cpu, (uint8_t)(64 * i + (unsigned int)__builtin_ctzll(
								 s->interrupt_bitmap[i])));
		return;
	}
}

void sregs_get(struct cpu *cpu, struct kvm_sregs *s)
{
	const struct paging *p = &cpu->mmu.paging;
	int vector = interrupt_accepted(cpu);

	*s = (struct kvm_sregs){
		.cs = get_segment(&cpu->segs[SEG_CS]), .ds = get_segment(&cpu->segs[SEG_DS]),
		.es = get_segment(&cpu->segs[SEG_ES]), .fs = get_segment(&cpu->segs[SEG_FS]),
		.gs = get_segment(&cpu->segs[SEG_GS]), .ss = get_segment(&cpu->segs[SEG_SS]),
		.tr = get_segment(&cpu->segs[SEG_TR]), .ldt = get_segment(&cpu->segs[SEG_LDTR]),
		.gdt = { .base = cpu->gdt.base, .limit = cpu->gdt.limit },
		.idt = { .base = cpu->idt.base, .limit = cpu->idt.limit },
		.cr0 = p->cr0, .cr2 = cpu->cr2, .cr3 = p->cr3, .cr4 = p->cr4, .cr8 = cpu->cr8,
		.efer = p->efer,
		.apic_base = cpu->apic_base,
	};
	if (vector >= 0)
		s->interrupt_bitmap[vector / 64] |= 1ull << (vector % 64);
}

static uint64_t physical_address_reserved(const struct cpu *cpu)
{
	return ~0ull << cpu->mmu.paging.maxphyaddr;
}

static bool sregs_are_valid(const struct cpu *cpu, const struct kvm_sregs *s)
{
	if ((s->efer & X86_EFER_LME) && (s->cr0 & X86_CR0_PG)) {
		if (!(s->cr4 & X86_CR4_PAE) || !(s->efer & X86_EFER_LMA) ||
		    (s->cr3 & physical_address_reserved(cpu)))
			return false;
	} else if ((s->efer & X86_EFER_LMA) || s->cs.l) {
		return false;
	}
	if (s->cr4 & cpuid_cr4_reserved(cpu))
		return false;
	if (!control_cr0_is_valid(s->cr0))
		return false;
	if (s->efer & cpuid_efer_reserved(cpu))
		return false;
	return apic_base_is_valid(cpu, s->apic_base);
}

/* All but the interrupt; @pdptrs, if not NULL, in place of what memory says. */
static void set_valid(struct cpu *cpu, const struct kvm_sregs *s, const __u64 *pdptrs)
{
	struct paging *p = &cpu->mmu.paging;

	cpu->apic_base = s->apic_base;
	cpu->idt = (struct descriptor_table){ s->idt.base, s->idt.limit };
	cpu->gdt = (struct descriptor_table){ s->gdt.base, s->gdt.limit };
	cpu->cr2 = s->cr2;
	cpu->cr8 = s->cr8 & CR8_MAX;
	p->cr0 = s->cr0 | X86_CR0_ET;
	p->cr3 = s->cr3;
	p->cr4 = s->cr4;
	p->efer = s->efer;
	cpu->segs[SEG_CS] = set_segment(&s->cs);
	cpu->segs[SEG_DS] = set_segment(&s->ds);
	cpu->segs[SEG_ES] = set_segment(&s->es);
	cpu->segs[SEG_FS] = set_segment(&s->fs);
	cpu->segs[SEG_GS] = set_segment(&s->gs);
	cpu->segs[SEG_SS] = set_segment(&s->ss);
	cpu->segs[SEG_TR] = set_segment(&s->tr);
	cpu->segs[SEG_LDTR] = set_segment(&s->ldt);
	for (unsigned int i = 0; pdptrs && i < ARRAY_SIZE(p->pdptr); i++)
		p->pdptr[i] = pdptrs[i];
	/* Before anything is translated: the TLB is of the old registers. */
	cpu_state_changed(cpu);
	if (!pdptrs && control_uses_pdptrs(p->cr0, p->cr4, p->efer))
		cpu_load_pdptrs(cpu, p->cr3);
	if (cpu->apic)
		cpu->apic->changed(cpu);
}

int sregs_set(struct cpu *cpu, const struct kvm_sregs *s)
{
	if (!sregs_are_valid(cpu, s))
		return -EINVAL;
	set_valid(cpu, s, NULL);
	queue_from_bitmap(cpu, s);
	return 0;
}

/* The two structures are the same up to there. */
#define COMMON_SREGS offsetof(struct kvm_sregs, interrupt_bitmap)
_Static_assert(COMMON_SREGS == offsetof(struct kvm_sregs2, flags), "one is copied as the other");

static void sregs2_get(struct cpu *cpu, struct kvm_sregs2 *s2)
{
	const struct paging *p = &cpu->mmu.paging;
	struct kvm_sregs s;

	sregs_get(cpu, &s);
	memset(s2, 0, sizeof(*s2));
	memcpy(s2, &s, COMMON_SREGS);
	if (!control_uses_pdptrs(p->cr0, p->cr4, p->efer))
		return;
	s2->flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
	for (unsigned int i = 0; i < ARRAY_SIZE(s2->pdptrs); i++)
		s2->pdptrs[i] = p->pdptr[i];
}

static int sregs2_set(struct cpu *cpu, const struct kvm_sregs2 *s2)
{
	bool with_pdptrs = s2->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID;
	struct kvm_sregs s = { 0 };

	memcpy(&s, s2, COMMON_SREGS);
	if ((s2->flags & ~(__u64)KVM_SREGS2_FLAGS_PDPTRS_VALID) || !sregs_are_valid(cpu, &s) ||
	    (with_pdptrs && !control_uses_pdptrs(s.cr0, s.cr4, s.efer)))
		return -EINVAL;
	set_valid(cpu, &s, with_pdptrs ? s2->pdptrs : NULL);
	return 0;
}

long call_get_regs(struct call *c)
{
	regs_get(&c->vcpu->cpu, c->data);
	return 0;
}

long call_set_regs(struct call *c)
{
	regs_set(&c->vcpu->cpu, c->data);
	return 0;
}

long call_get_sregs(struct call *c)
{
	sregs_get(&c->vcpu->cpu, c->data);
	return 0;
}

long call_set_sregs(struct call *c)
{
	return sregs_set(&c->vcpu->cpu, c->data);
}

long call_get_sregs2(struct call *c)
{
	sregs2_get(&c->vcpu->cpu, c->data);
	return 0;
}

long call_set_sregs2(struct call *c)
{
	return sregs2_set(&c->vcpu->cpu, c->data);
}

long call_get_debugregs(struct call *c)
{
	const struct cpu *cpu = &c->vcpu->cpu;
	struct kvm_debugregs *d = c->data;

	*d = (struct kvm_debugregs){ .dr6 = cpu->dr6, .dr7 = cpu->dr7 };
	memcpy(d->db, cpu->dr, sizeof(d->db));
	return 0;
}

long call_set_debugregs(struct call *c)
{
	struct cpu *cpu = &c->vcpu->cpu;
	const struct kvm_debugregs *d = c->data;

	if (d->flags || d->dr6 >> 32 || d->dr7 >> 32)
		return -EINVAL;
	memcpy(cpu->dr, d->db, sizeof(d->db));
	cpu->dr6 = d->dr6;
	cpu->dr7 = d->dr7;
	cpu_state_changed(cpu);
	return 0;
}
