/* SPDX-License-Identifier: MIT */
/* kvm/calls/tsc.c - how fast the guest's time-stamp counter runs. */
#include "kvm/calls/call.h"
#include "sync/clock.h"

/* The factor must fit the fraction that cpu_tsc() multiplies by: 2^16 to 1. */
#define TSC_MAX_KHZ 0x7fffffffu
#define TSC_MAX_FACTOR (1u << 14)

/* 0 is the host's own.  0 or -EINVAL. */
static int choose(uintptr_t arg, uint32_t *khz)
{
	uint32_t host = clock_tsc_khz();

	*khz = (uint32_t)arg ? (uint32_t)arg : host;
	if (*khz >= TSC_MAX_KHZ || *khz / TSC_MAX_FACTOR > host)
		return -EINVAL;
	return 0;
}

void tsc_set_khz(struct cpu *cpu, uint32_t khz)
{
	unsigned __int128 scale = (unsigned __int128)khz << TSC_SCALE_BITS;

	cpu->tsc_scale = (uint64_t)(scale / clock_tsc_khz());
}

uint32_t tsc_khz(const struct cpu *cpu)
{
	unsigned __int128 khz = (unsigned __int128)clock_tsc_khz() * cpu->tsc_scale;

	return (uint32_t)((khz + TSC_SCALE_ONE / 2) >> TSC_SCALE_BITS);
}

/* As in the kernel the counter jumps: its offset stays. */
long call_set_tsc_khz(struct call *c)
{
	uint32_t khz;
	int err = choose(c->arg, &khz);

	if (!err)
		tsc_set_khz(&c->vcpu->cpu, khz);
	c->vcpu->cpu.pvclock.time_stale = true;
	return err;
}

long call_get_tsc_khz(struct call *c)
{
	return (long)tsc_khz(&c->vcpu->cpu);
}

/* Of vCPUs that will be created. */
long call_set_default_tsc_khz(struct call *c)
{
	uint32_t khz;
	int err = choose(c->arg, &khz);

	if (!err)
		c->vm->tsc_khz = khz;
	return err;
}

long call_get_default_tsc_khz(struct call *c)
{
	return c->vm->tsc_khz ? (long)c->vm->tsc_khz : (long)clock_tsc_khz();
}
