/* SPDX-License-Identifier: MIT */
#include "cpu/event/transfer.h"

#include "cpu/event/raise.h"
#include "cpu/state/flags.h"

struct context context_save(const struct cpu *cpu)
{
	return (struct context){ cpu->segs[SEG_CS], cpu->segs[SEG_SS], cpu->r[GPR_RSP], cpl(cpu),
				 cpu->rflags & X86_EFLAGS_VM };
}

void context_restore(struct cpu *cpu, const struct context *c)
{
	cpu->segs[SEG_CS] = c->cs;
	cpu->segs[SEG_SS] = c->ss;
	cpu->r[GPR_RSP] = c->rsp;
	cpu->rflags = (cpu->rflags & ~X86_EFLAGS_VM) | c->vm;
	mode_set_cpl(cpu, c->cpl);
	mode_update(cpu);
}

void transfer_set_cs(struct cpu *cpu, const struct segment *cs, unsigned int level)
{
	cpu->segs[SEG_CS] = *cs;
	cpu->segs[SEG_CS].selector = (uint16_t)((cs->selector & ~SELECTOR_RPL) | level);
	mode_set_cpl(cpu, level);
	mode_update(cpu);
}

void transfer_set_ss(struct cpu *cpu, const struct segment *ss)
{
	cpu->segs[SEG_SS] = *ss;
	mode_update(cpu);
}

bool transfer_check_rip(struct cpu *cpu, const struct segment *cs, uint64_t rip)
{
	bool is_64bit = cpu_is_long_mode(cpu) && cs->l;

	if (is_64bit ? !is_canonical(cpu, rip) : rip > cs->limit)
		return raise_gp(cpu, 0);
	return true;
}

bool transfer_inner_stack(struct cpu *cpu, unsigned int level, uint64_t *sp)
{
	struct segment ss;
	uint16_t selector;

	if (!tss_stack(cpu, level, &selector, sp))
		return false;
	if (cpu_is_long_mode(cpu)) {
		ss = segment_null_stack(level);
	} else if (selector_is_null(selector)) {
		return raise_with_code(cpu, EXC_TS, selector_code(selector));
	} else if (!segment_check_stack(cpu, selector, level, EXC_TS, &ss)) {
		return false;
	}
	cpu->segs[SEG_SS] = ss;
	return true;
}

void transfer_drop_segments(struct cpu *cpu)
{
	for (size_t i = 0; i < N_DATA_SEGS; i++) {
		struct segment *s = &cpu->segs[data_segs[i]];

		/*
		 * The base stays.  For FS and GS it is the MSR's, which AMD's manual has
		 * unchanged and Intel's does not speak of; programs rely on that.  For the
		 * others nothing shows it.
		 */
		if (!s->unusable && !segment_is_conforming(s) && s->dpl < cpl(cpu))
			*s = (struct segment){ .unusable = true, .base = s->base };
	}
	mode_update(cpu);
}

bool transfer_read_return_cs(struct cpu *cpu, uint16_t selector, struct descriptor *d)
{
	unsigned int rpl = selector & SELECTOR_RPL;

	if (selector_is_null(selector))
		return raise_gp(cpu, 0);
	if (!descriptor_read(cpu, selector, EXC_GP, d))
		return false;
	if (!segment_is_code(&d->s) || rpl < cpl(cpu) ||
	    (segment_is_conforming(&d->s) ? d->s.dpl > rpl : d->s.dpl != rpl) ||
	    (cpu_is_long_mode(cpu) && d->s.l && d->s.db))
		return raise_gp(cpu, selector_code(selector));
	if (!d->s.present)
		return raise_with_code(cpu, EXC_NP, selector_code(selector));
	return true;
}

bool transfer_read_return_ss(struct cpu *cpu, uint16_t selector, const struct segment *cs,
			     unsigned int level, struct segment *ss)
{
	if (selector_is_null(selector)) {
		if (!cpu_is_long_mode(cpu) || !cs->l || level == 3 ||
		    (selector & SELECTOR_RPL) != level)
			return raise_gp(cpu, 0);
		*ss = segment_null_stack(level);
		return true;
	}
	return segment_check_stack(cpu, selector, level, EXC_GP, ss);
}

void transfer_set_flags(struct cpu *cpu, uint64_t value, uint64_t mask)
{
	uint64_t old = cpu_get_rflags(cpu), flags = (old & ~mask) | (value & mask);

	cpu_set_rflags(cpu, flags);
	if ((old ^ flags) & X86_EFLAGS_VM)
		mode_update(cpu);
	/* Single steps, the end of RF and a caller that waits for IF are not looked for within a
	 * block. */
	if ((flags & (X86_EFLAGS_TF | X86_EFLAGS_RF)) || cpu->interrupts.window_wanted)
		cpu->stop = true;
}
