/* SPDX-License-Identifier: MIT */
#include "kvm/hypercall.h"

#include <linux/kvm_para.h>

#include "cpu/state/cpuid.h"
#include "cpu/state/mode.h"
#include "kvm/abi.h"
#include "kvm/irqchip/irqchip.h"

/* Bits of the ICR. */
#define ICR_DEST (3u << 18 | 1u << 11)	/* the shorthand, and how the destination is meant */
#define ICR_ASSERT (1u << 14)
#define ICR_LEVEL (1u << 15)

/* The number, and up to four arguments; 32 bits of each unless in 64-bit code. */
struct hypercall {
	uint64_t nr, a[4];
};

static struct hypercall read_registers(const struct cpu *cpu)
{
	uint64_t mask = mode_is_64bit(cpu) ? ~0ull : 0xffffffff;

	return (struct hypercall){
		.nr = cpu->r[GPR_RAX] & mask,
		.a = { cpu->r[GPR_RBX] & mask, cpu->r[GPR_RCX] & mask, cpu->r[GPR_RDX] & mask,
		       cpu->r[GPR_RSI] & mask },
	};
}

/* A halted vCPU goes on. */
static int64_t kick_cpu(struct vcpu *vcpu, const struct hypercall *h)
{
	const struct interrupt i = { .dest = (uint32_t)h->a[1], .delivery = DELIVER_UNHALT };

	if (!cpuid_allows_pv(&vcpu->cpu, PV_UNHALT))
		return -KVM_ENOSYS;
	if (vcpu->irqchip)
		lapics_deliver(&vcpu->irqchip->lapics, &i);
	return 0;
}

/* To the APICs of two bitmaps, which begin at an identifier.  How many took it. */
static int64_t send_ipi(struct vcpu *vcpu, const struct hypercall *h)
{
	uint32_t first = (uint32_t)h->a[2], icr = (uint32_t)h->a[3];
	const struct interrupt i = {
		.vector = (uint8_t)icr,
		.delivery = icr >> 8 & 7,
		.level = icr & ICR_LEVEL,
		.asserted = icr & ICR_ASSERT,
	};
	struct lapics *all;

	if (!cpuid_allows_pv(&vcpu->cpu, PV_SEND_IPI))
		return -KVM_ENOSYS;
	if (icr & ICR_DEST)
		return -KVM_EINVAL;
	if (!vcpu->irqchip)
		return -KVM_EOPNOTSUPP;
	all = &vcpu->irqchip->lapics;
	return lapics_deliver_to_set(all, first, h->a[0], &i) +
	       lapics_deliver_to_set(all, first + (mode_is_64bit(&vcpu->cpu) ? 64 : 32), h->a[1],
				     &i);
}

/* A hint that costs a system call, which a vCPU's thread may not be allowed. */
static int64_t yield_to(struct vcpu *vcpu)
{
	return cpuid_allows_pv(&vcpu->cpu, PV_SCHED_YIELD) ? 0 : -KVM_ENOSYS;
}

static bool client_wants_map_gpa_range(const struct vcpu *vcpu)
{
	return atomic32_load_relaxed(&vcpu->vm->hypercall_exits) & 1u << KVM_HC_MAP_GPA_RANGE;
}

/* True: the client is asked. */
static bool map_gpa_range(struct vcpu *vcpu, const struct hypercall *h, int64_t *result)
{
	uint64_t gpa = h->a[0], n_pages = h->a[1];
	struct kvm_run *run = vcpu->run;

	*result = -KVM_ENOSYS;
	if (!client_wants_map_gpa_range(vcpu))
		return false;
	*result = -KVM_EINVAL;
	if ((gpa & PAGE_OFFSET_MASK) || !n_pages ||
	    (gpa >> PAGE_SHIFT) + n_pages <= gpa >> PAGE_SHIFT)
		return false;
	run->exit_reason = KVM_EXIT_HYPERCALL;
	run->hypercall.nr = KVM_HC_MAP_GPA_RANGE;
	run->hypercall.args[0] = gpa;
	run->hypercall.args[1] = n_pages;
	run->hypercall.args[2] = h->a[2];
	run->hypercall.ret = 0;
	/* Bit 0 of what are flags in later headers. */
	run->hypercall.longmode = mode_is_64bit(&vcpu->cpu);
	return true;
}

bool hypercall_answer(struct vcpu *vcpu)
{
	struct cpu *cpu = &vcpu->cpu;
	struct hypercall h = read_registers(cpu);
	int64_t result = -KVM_ENOSYS;

	if (cpl(cpu) != 0) {
		cpu_complete_hypercall(cpu, (uint64_t)-KVM_EPERM);
		return true;
	}
	switch (h.nr) {
	case KVM_HC_VAPIC_POLL_IRQ:
		result = 0;
		break;
	case KVM_HC_KICK_CPU:
		result = kick_cpu(vcpu, &h);
		break;
	case KVM_HC_SEND_IPI:
		result = send_ipi(vcpu, &h);
		break;
	case KVM_HC_SCHED_YIELD:
		result = yield_to(vcpu);
		break;
	case KVM_HC_MAP_GPA_RANGE:
		if (map_gpa_range(vcpu, &h, &result))
			return false;
		break;
	default:
		break;
	}
	cpu_complete_hypercall(cpu, (uint64_t)result);
	return true;
}

void hypercall_complete(struct vcpu *vcpu)
{
	cpu_complete_hypercall(&vcpu->cpu, shared64_load_relaxed(&vcpu->run->hypercall.ret));
}
