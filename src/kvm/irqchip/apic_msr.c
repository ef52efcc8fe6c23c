/* SPDX-License-Identifier: MIT */
#include "kvm/irqchip/apic_msr.h"

#include "kvm/irqchip/irqchip.h"

#define MSR_TSC_DEADLINE 0x6e0u

static struct vcpu *vcpu_of(struct cpu *cpu)
{
	return container_of(cpu, struct vcpu, cpu);
}

static bool read_msr(struct cpu *cpu, uint32_t index, uint64_t *value)
{
	struct lapic *l = &vcpu_of(cpu)->lapic;

	/* CR8 may have been written since the last look. */
	lapic_set_cr8(l, (unsigned int)cpu->cr8);
	if (index != MSR_TSC_DEADLINE)
		return lapic_read_msr(l, index, value);
	*value = lapic_get_tsc_deadline(l);
	return true;
}

/* What waits may be deliverable now: at the end of the block somebody looks. */
static bool write_msr(struct cpu *cpu, uint32_t index, uint64_t value)
{
	struct vcpu *vcpu = vcpu_of(cpu);
	bool ok = true;

	lapic_set_cr8(&vcpu->lapic, (unsigned int)cpu->cr8);
	if (index == MSR_TSC_DEADLINE)
		lapic_set_tsc_deadline(&vcpu->lapic, value);
	else
		ok = lapic_write_msr(&vcpu->lapic, index, value);
	cpu->cr8 = lapic_get_cr8(&vcpu->lapic);
	wakeup_kick(&vcpu->wakeup);
	return ok;
}

static void changed(struct cpu *cpu)
{
	struct vcpu *vcpu = vcpu_of(cpu);

	lapic_set_cr8(&vcpu->lapic, (unsigned int)cpu->cr8);
	lapic_set_base(&vcpu->lapic, cpu->apic_base);
	cpu->cr8 = lapic_get_cr8(&vcpu->lapic);
	wakeup_kick(&vcpu->wakeup);
}

const struct cpu_apic apic_of_cpu = {
	.read_msr = read_msr,
	.write_msr = write_msr,
	.changed = changed,
};
