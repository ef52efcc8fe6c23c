/* SPDX-License-Identifier: MIT */
/* kvm/steal_time.c - Linux: Documentation/virt/kvm/x86/msr.rst. */
#include "kvm/steal_time.h"

#include <string.h>

#include "kvm/publish.h"
#include "kvm/vm.h"
#include "mmu/translate.h"
#include "sync/clock.h"

#define PERIOD_MS 5u

/* The guest's structure, by words: ns, a version, flags that are 0, whether it has been preempted
 * (in the lowest byte). */
enum { STEAL_NS = 0, STEAL_VERSION = 2, STEAL_FLAGS = 3, STEAL_PREEMPTED = 4, STEAL_WORDS = 5 };
#define PREEMPTED 0xffu

/* What it has waited for a processor since the last look; nothing at a thread's first. */
static void look(struct steal_time *s)
{
	bool known = s->thread == &thread_kick_word;
	uint64_t ns;

	if (!clock_run_delay_ns(&ns))
		return;
	/* Another thread may have come to be in its place. */
	if (known && ns > s->waited_ns)
		s->owed_ns += ns - s->waited_ns;
	s->waited_ns = ns;
	s->thread = &thread_kick_word;
}

static enum mmu_verdict load(struct vcpu *vcpu, gpa_t gpa, uint32_t *words)
{
	enum mmu_verdict verdict = MMU_OK;

	for (unsigned int i = 0; i < STEAL_WORDS && verdict == MMU_OK; i++)
		verdict = mmu_load_gpa32(&vcpu->cpu.mmu, gpa_add(gpa, 4 * i), &words[i]);
	return verdict;
}

static enum mmu_verdict show(struct vcpu *vcpu, gpa_t gpa)
{
	uint32_t words[STEAL_WORDS];
	enum mmu_verdict verdict = load(vcpu, gpa, words);
	uint64_t ns;

	if (verdict != MMU_OK)
		return verdict == MMU_RETRY ? verdict : MMU_OK;
	memcpy(&ns, &words[STEAL_NS], sizeof(ns));
	ns += vcpu->steal_time.owed_ns;
	memcpy(&words[STEAL_NS], &ns, sizeof(ns));
	/* It runs. */
	words[STEAL_PREEMPTED] &= ~PREEMPTED;
	return publish(vcpu, gpa, words, STEAL_WORDS, STEAL_VERSION);
}

enum mmu_verdict steal_time_update(struct vcpu *vcpu)
{
	struct cpu_steal_time *asked = &vcpu->cpu.steal_time;
	struct steal_time *s = &vcpu->steal_time;
	uint64_t now = clock_tsc();
	enum mmu_verdict verdict;

	if (!(asked->area & STEAL_TIME_ENABLED))
		return MMU_OK;
	if (!asked->stale && now - s->looked < (uint64_t)clock_tsc_khz() * PERIOD_MS)
		return MMU_OK;
	look(s);
	s->looked = now;
	if (!asked->stale && !s->owed_ns)
		return MMU_OK;
	verdict = show(vcpu, gpa_of(asked->area & ~(uint64_t)STEAL_TIME_ENABLED));
	/* If it is not written now, then at the next occasion. */
	asked->stale = verdict != MMU_OK;
	if (verdict == MMU_OK)
		s->owed_ns = 0;
	return verdict;
}
