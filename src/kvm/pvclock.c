/* SPDX-License-Identifier: MIT */
/* kvm/pvclock.c - Linux: Documentation/virt/kvm/x86/msr.rst, api.rst. */
#include "kvm/pvclock.h"

#include <string.h>

#include "kvm/calls/call.h"
#include "kvm/publish.h"
#include "mmu/tlb/request.h"
#include "sync/clock.h"

#define NS 1000000000ull

/* The guest's structures, by words. */
enum {
	TIME_VERSION = 0, TIME_TSC = 2, TIME_SYSTEM = 4, TIME_MUL = 6, TIME_SHIFT_FLAGS = 7,
	TIME_WORDS = 8,
	WALL_VERSION = 0, WALL_SEC = 1, WALL_NS = 2, WALL_WORDS = 3,
};
#define FLAG_TSC_STABLE (1u << 8)	/* behind the shift, in its word */
#define FLAG_GUEST_STOPPED (2u << 8)
#define ENABLED 1u

/* ns = (clocks << shift) * mul >> 32, where a negative shift goes to the right. */
struct scale {
	uint32_t mul;
	int8_t shift;
};

static struct scale scale_of(uint32_t khz)
{
	unsigned __int128 hz = (unsigned __int128)khz * 1000 << 32;
	struct scale s = { 0, -32 };

	/* The least shift by which a clock is longer than the ns that it stands for. */
	while ((hz << (s.shift + 32) >> 64) <= NS)
		s.shift++;
	s.mul = (uint32_t)(((unsigned __int128)NS << (32 - s.shift)) / ((uint64_t)khz * 1000));
	return s;
}

static uint64_t scaled(struct scale s, uint64_t clocks)
{
	clocks = s.shift < 0 ? clocks >> -s.shift : clocks << s.shift;
	return (uint64_t)((unsigned __int128)clocks * s.mul >> 32);
}

static uint64_t at_tsc(const struct pvclock *c, uint64_t tsc)
{
	return atomic64_load_relaxed(&c->offset) +
	       scaled(scale_of(clock_tsc_khz()), tsc - c->tsc);
}

void pvclock_init(struct pvclock *c)
{
	c->tsc = clock_tsc();
}

uint64_t pvclock_now(const struct pvclock *c)
{
	return at_tsc(c, clock_tsc());
}

/* All vCPUs write their pages again, before they run on. */
static void tell_all(struct vm *vm) REQUIRES(vm->lock)
{
	for (unsigned int i = 0; i < vm->n_vcpus; i++)
		request_post(&vm->vcpus[i]->cpu.mmu, REQUEST_CLOCK | REQUEST_KICK);
}

/* Its clock is then not comparable with the others'. */
static void note_apart(struct vcpu *vcpu)
{
	struct pvclock *c = &vcpu->vm->clock;
	bool apart = vcpu->cpu.tsc_offset != atomic64_load_relaxed(&c->tsc_offset) ||
		     tsc_khz(&vcpu->cpu) != atomic32_load_relaxed(&c->tsc_khz);

	if (apart != vcpu->tsc_apart)
		atomic32_fetch_add(&c->n_apart, apart ? 1 : (uint32_t)-1);
	vcpu->tsc_apart = apart;
}

void pvclock_write_tsc(struct vcpu *vcpu, uint64_t value)
{
	struct pvclock *c = &vcpu->vm->clock;
	struct cpu *cpu = &vcpu->cpu;
	uint32_t khz = tsc_khz(cpu);
	uint64_t others, second = (uint64_t)khz * 1000;

	cpu->tsc_offset += value - cpu_tsc(cpu);
	if (atomic32_load_relaxed(&c->tsc_khz) == khz) {
		others = value + atomic64_load_relaxed(&c->tsc_offset) - cpu->tsc_offset;
		if (!value || value - others + second < 2 * second)
			cpu->tsc_offset = atomic64_load_relaxed(&c->tsc_offset);
	}
	atomic64_store_relaxed(&c->tsc_offset, cpu->tsc_offset);
	atomic32_store_relaxed(&c->tsc_khz, khz);
	cpu->pvclock.time_stale = true;
}

static enum mmu_verdict update_time(struct vcpu *vcpu)
{
	struct pvclock *c = &vcpu->vm->clock;
	struct cpu *cpu = &vcpu->cpu;
	struct scale s = scale_of(tsc_khz(cpu));
	uint32_t words[TIME_WORDS] = { 0 };
	uint64_t tsc = cpu_tsc_at(cpu, c->tsc), ns = atomic64_load_relaxed(&c->offset);
	enum mmu_verdict verdict;

	memcpy(&words[TIME_TSC], &tsc, sizeof(tsc));
	memcpy(&words[TIME_SYSTEM], &ns, sizeof(ns));
	words[TIME_MUL] = s.mul;
	words[TIME_SHIFT_FLAGS] = (uint8_t)s.shift;
	note_apart(vcpu);
	if (!atomic32_load_relaxed(&c->n_apart))
		words[TIME_SHIFT_FLAGS] |= FLAG_TSC_STABLE;
	if (cpu->pvclock.stopped)
		words[TIME_SHIFT_FLAGS] |= FLAG_GUEST_STOPPED;
	verdict = publish(vcpu, gpa_of(cpu->pvclock.system_time & ~(uint64_t)ENABLED), words,
			  TIME_WORDS, TIME_VERSION);
	if (verdict == MMU_OK)
		cpu->pvclock.time_stale = cpu->pvclock.stopped = false;
	return verdict;
}

/* When it was that the clock showed zero. */
static enum mmu_verdict update_wall(struct vcpu *vcpu)
{
	struct cpu_pvclock *p = &vcpu->cpu.pvclock;
	uint64_t then = clock_realtime_ns() - pvclock_now(&vcpu->vm->clock);
	uint32_t words[WALL_WORDS] = { 0, (uint32_t)(then / NS), (uint32_t)(then % NS) };
	enum mmu_verdict verdict = MMU_OK;

	if (p->wall_clock)
		verdict = publish(vcpu, gpa_of(p->wall_clock), words, WALL_WORDS,
				  WALL_VERSION);
	if (verdict == MMU_OK)
		p->wall_stale = false;
	return verdict;
}

enum mmu_verdict pvclock_update(struct vcpu *vcpu)
{
	struct cpu_pvclock *p = &vcpu->cpu.pvclock;
	enum mmu_verdict verdict = MMU_OK;

	if (request_take(&vcpu->cpu.mmu, REQUEST_CLOCK))
		p->time_stale = true;
	if (p->wall_stale)
		verdict = update_wall(vcpu);
	if (verdict == MMU_OK && p->time_stale && (p->system_time & ENABLED))
		verdict = update_time(vcpu);
	return verdict;
}

long call_get_clock(struct call *c)
{
	struct kvm_clock_data *d = c->data;
	uint64_t tsc = clock_tsc();

	*d = (struct kvm_clock_data){
		.clock = at_tsc(&c->vm->clock, tsc),
		.flags = KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC,
		.realtime = clock_realtime_ns(),
		.host_tsc = tsc,
	};
	if (!atomic32_load_relaxed(&c->vm->clock.n_apart))
		d->flags |= KVM_CLOCK_TSC_STABLE;
	return 0;
}

long call_set_clock(struct call *c)
{
	const struct kvm_clock_data *d = c->data;
	uint64_t ns = d->clock, real = clock_realtime_ns();

	mutex_assert_held(&c->vm->lock);
	if (d->flags & ~(uint32_t)CLOCK_FLAGS)
		return -EINVAL;
	/* The clock went on meanwhile. */
	if ((d->flags & KVM_CLOCK_REALTIME) && real > d->realtime)
		ns += real - d->realtime;
	ns -= pvclock_now(&c->vm->clock);
	atomic64_store_relaxed(&c->vm->clock.offset,
			       atomic64_load_relaxed(&c->vm->clock.offset) + ns);
	tell_all(c->vm);
	return 0;
}

/* The guest shall know that it was stopped, so that its watchdogs do not bark. */
long call_kvmclock_ctrl(struct call *c)
{
	struct cpu_pvclock *p = &c->vcpu->cpu.pvclock;

	if (!(p->system_time & ENABLED))
		return -EINVAL;
	p->stopped = p->time_stale = true;
	return 0;
}
