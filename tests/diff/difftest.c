/* SPDX-License-Identifier: MIT */
/*
 * tests/diff/difftest.c - random code on the host's processor and on Umbra.
 *
 *   difftest [--seed S] [--cases N] [--insns I]   cases 0 to N-1 of that seed
 *   difftest --seed S --case K                    one of them
 *
 * With --varied 1, on a processor that makes something else of whatever the manuals
 * leave undefined (varied.c): a difference is a defect of the generator.
 */
#include <Zydis/Zydis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "diff.h"
#include "effects.h"

#define KERNEL_HALF 0x800000000000ull
#define MAX_REPORTS 20

static struct {
	uint64_t seed;
	unsigned int cases, insns;
	long only;
	bool varied;
} options = { .seed = 1, .cases = 20000, .insns = 5, .only = -1 };

static struct diff_case cases[BATCH];
static struct diff_state host[BATCH];
static unsigned int failures;

static void generate(struct diff_case *c, unsigned int number)
{
	struct rng r = { options.seed * 0x100000001b3ull + number * 0x9e3779b1ull };

	rng_next(&r);
	generate_case(c, &r, 1 + rng_below(&r, options.insns));
}

static void disassemble(const struct diff_case *c)
{
	ZydisMachineMode mode = c->is_32bit ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32 :
					      ZYDIS_MACHINE_MODE_LONG_64;
	ZydisDisassembledInstruction insn;
	ZyanUSize at = 0;

	while (at < c->bytes) {
		ZyanU64 address = c->in.rip + at;
		ZyanStatus status = ZydisDisassembleATT(mode, address, c->code + at, c->bytes - at,
							&insn);
		unsigned int length = ZYAN_SUCCESS(status) ? insn.info.length : 1;

		printf("  %#" PRIx64 ":", (uint64_t)address);
		for (unsigned int i = 0; i < length; i++)
			printf(" %02x", c->code[at + i]);
		printf("%*s%s\n", 3 * (12 - (int)length) + 2, "",
		       ZYAN_SUCCESS(status) ? insn.text : "(bad)");
		at += length;
	}
}

/* #DB, #BR and the like have no error code; some hosts leave an old one. */
static bool has_code(uint32_t vector)
{
	return vector == EXC_PF || (vector >= EXC_TS && vector <= EXC_GP) || vector == EXC_AC;
}

/* Out in the nowhere, where a RET or a jump may lead, any of them may be undefined. */
static uint32_t undefined_at(const struct diff_case *c, uint64_t rip)
{
	uint64_t at = rip - c->in.rip;

	return at <= c->bytes ? c->undefined[at] : X86_EFLAGS_STATUS;
}

/*
 * An access over the end of a flat segment of 4 GiB may fault or wrap, "and may vary
 * from one execution to another" (Intel's manual, 3A 5.3).
 */
static bool leaves_segment(const struct diff_case *c, const struct diff_state *a,
			   const struct diff_state *b)
{
	bool faults = a->vector == EXC_SS || a->vector == EXC_GP;

	return c->is_32bit && faults && b->vector == EXC_PF && (uint32_t)(b->cr2 + 16) < 32;
}

#define TOP_SHIFT 11
#define TOP (7u << TOP_SHIFT)

/* An MMX instruction that has faulted: some processors have made R0 the top by then, and all
 * registers used or not. */
static void make_ready_for_mmx(const struct diff_case *c, const struct diff_state *h,
			       struct diff_x87 *x)
{
	uint64_t at = h->rip - c->in.rip;
	unsigned int top = x->fsw >> TOP_SHIFT & 7;
	uint8_t st[8][16];

	if (h->vector == EXC_BP || at >= c->bytes || (h->x87.fsw & TOP) ||
	    !effects_of(c->is_32bit, c->code + at, c->bytes - at).mmx)
		return;
	memcpy(st, x->st, sizeof(st));
	for (unsigned int i = 0; i < 8; i++)
		memcpy(x->st[i], st[(i - top) & 7], sizeof(st[0]));
	x->fsw &= (uint16_t)~TOP;
	x->ftw |= h->x87.ftw == 0xff ? 0xff : 0;
}

/* The pointers are what processors agree on only while an exception waits. */
static bool same_x87(const struct diff_x87 *a, const struct diff_x87 *b)
{
	if (a->fcw != b->fcw || a->fsw != b->fsw || a->ftw != b->ftw ||
	    memcmp(a->st, b->st, sizeof(a->st)))
		return false;
	return !(a->fsw & 0x80) || (a->fip == b->fip && a->fdp == b->fdp && a->fop == b->fop);
}

/* A masked access to some elements, of which more than one is in a page that faults. */
static bool faults_anywhere(const struct diff_case *c, const struct diff_state *h,
			    const struct diff_state *e)
{
	uint64_t at = h->rip - c->in.rip;

	return at < c->bytes && h->cr2 >> PAGE_SHIFT == e->cr2 >> PAGE_SHIFT &&
	       effects_of(c->is_32bit, c->code + at, c->bytes - at).any_element;
}

static bool same(const struct diff_case *c, struct diff_state *h, struct diff_state *e)
{
	const uint32_t flags = (X86_EFLAGS_STATUS | X86_EFLAGS_DF) & ~undefined_at(c, h->rip);
	unsigned int registers = c->is_32bit ? 8 : 16;

	if (leaves_segment(c, h, e) || leaves_segment(c, e, h))
		return h->rip == e->rip;
	make_ready_for_mmx(c, h, &e->x87);
	if (c->is_32bit)
		for (unsigned int i = 0; i < 16; i++)
			h->gpr[i] = i < 8 ? (uint32_t)h->gpr[i] : e->gpr[i];
	if (h->vector != e->vector || h->rip != e->rip || ((h->rflags ^ e->rflags) & flags) ||
	    h->mxcsr != e->mxcsr || memcmp(h->gpr, e->gpr, sizeof(h->gpr)) ||
	    !same_x87(&h->x87, &e->x87) || memcmp(h->xmm, e->xmm, 16 * registers) ||
	    memcmp(h->ymm_high, e->ymm_high, 16 * registers) ||
	    memcmp(h->data, e->data, DATA_BYTES))
		return false;
	if (h->vector == EXC_PF && h->cr2 != e->cr2 && !faults_anywhere(c, h, e))
		return false;
	/* Linux hides from programs what is mapped in its half. */
	if (h->vector == EXC_PF && h->cr2 >= KERNEL_HALF)
		return (h->error & ~1u) == (e->error & ~1u);
	return !has_code(h->vector) || h->error == e->error;
}

static void show(const char *what, uint64_t in, uint64_t h, uint64_t e)
{
	if (h != e)
		printf("  %-8s before %016" PRIx64 "  host %016" PRIx64 "  umbra %016" PRIx64 "\n",
		       what, in, h, e);
}

static void show_x87(const struct diff_x87 *in, const struct diff_x87 *h,
		     const struct diff_x87 *e)
{
	char name[24];

	show("fcw", in->fcw, h->fcw, e->fcw);
	show("fsw", in->fsw, h->fsw, e->fsw);
	show("ftw", in->ftw, h->ftw, e->ftw);
	if (h->fsw & 0x80) {
		show("fop", in->fop, h->fop, e->fop);
		show("fip", in->fip, h->fip, e->fip);
		show("fdp", in->fdp, h->fdp, e->fdp);
	}
	for (unsigned int i = 0; i < 8; i++) {
		uint64_t v[3][2];

		memcpy(v[0], in->st[i], 16);
		memcpy(v[1], h->st[i], 16);
		memcpy(v[2], e->st[i], 16);
		snprintf(name, sizeof(name), "st%u", i);
		show(name, v[0][0], v[1][0], v[2][0]);
		snprintf(name, sizeof(name), "st%u.exp", i);
		show(name, v[0][1], v[1][1], v[2][1]);
	}
}

static void show_vectors(const char *what, const uint8_t before[16][16], const uint8_t h[16][16],
			 const uint8_t e[16][16])
{
	uint64_t in[2], hv[2], ev[2];
	char name[24];

	for (unsigned int i = 0; i < 16; i++) {
		memcpy(in, before[i], 16);
		memcpy(hv, h[i], 16);
		memcpy(ev, e[i], 16);
		snprintf(name, sizeof(name), "%s%u.lo", what, i);
		show(name, in[0], hv[0], ev[0]);
		snprintf(name, sizeof(name), "%s%u.hi", what, i);
		show(name, in[1], hv[1], ev[1]);
	}
}

static void report(unsigned int number, const struct diff_case *c, const struct diff_state *h,
		   const struct diff_state *e, const char *other)
{
	static const char *const names[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					     "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };
	char name[24];

	printf("case %u differs: difftest --seed %" PRIu64 " --insns %u --case %u\n", number,
	       options.seed, options.insns, number);
	disassemble(c);
	if (other)
		printf("  umbra: %s; host: vector %u at %#" PRIx64 "\n", other, h->vector, h->rip);
	show("vector", 0, h->vector, e->vector);
	if (has_code(h->vector) || has_code(e->vector))
		show("error", 0, h->error, e->error);
	if (h->vector == EXC_PF || e->vector == EXC_PF)
		show("cr2", 0, h->cr2, e->cr2);
	show("rip", c->in.rip, h->rip, e->rip);
	show("rflags", c->in.rflags, h->rflags & (X86_EFLAGS_STATUS | X86_EFLAGS_DF),
	     e->rflags & (X86_EFLAGS_STATUS | X86_EFLAGS_DF));
	show("mxcsr", c->in.mxcsr, h->mxcsr, e->mxcsr);
	for (unsigned int i = 0; i < 16; i++)
		show(names[i], c->in.gpr[i], h->gpr[i], e->gpr[i]);
	show_vectors("xmm", c->in.xmm, h->xmm, e->xmm);
	show_vectors("high", c->in.ymm_high, h->ymm_high, e->ymm_high);
	show_x87(&c->in.x87, &h->x87, &e->x87);
	for (unsigned int i = 0, n = 0; i < DATA_BYTES && n < 8; i++)
		if (h->data[i] != e->data[i]) {
			snprintf(name, sizeof(name), "%#x", DATA_AT + i);
			show(name, c->in.data[i], h->data[i], e->data[i]);
			n++;
		}
}

static void compare(unsigned int number, const struct diff_case *c, struct diff_state *h)
{
	static struct diff_state e;
	struct rng r = { options.seed + number };
	const char *other = options.varied ? varied_run(c, &e, &r) : emulated_run(c, &e);

	if (!other && same(c, h, &e))
		return;
	if (failures++ < MAX_REPORTS)
		report(number, c, h, &e, other);
}

static void run_batch(unsigned int first, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		generate(&cases[i], first + i);
	if (!native_run(cases, host, n)) {
		printf("case %u has ended the child: difftest --seed %" PRIu64 " --case %u\n",
		       first + native_culprit(), options.seed, first + native_culprit());
		disassemble(&cases[native_culprit()]);
		failures++;
		return;
	}
	for (unsigned int i = 0; i < n; i++)
		compare(first + i, &cases[i], &host[i]);
}

static void parse(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--seed"))
			options.seed = strtoull(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--cases"))
			options.cases = (unsigned int)strtoul(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--insns"))
			options.insns = (unsigned int)strtoul(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--case"))
			options.only = strtol(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--varied"))
			options.varied = strtol(argv[i + 1], NULL, 0);
	}
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* The child must be there before Umbra takes over signals. */
	native_start();
	emulated_start();
	if (options.only >= 0) {
		run_batch((unsigned int)options.only, 1);
		if (!failures)
			disassemble(&cases[0]);
	} else {
		for (unsigned int at = 0; at < options.cases; at += BATCH)
			run_batch(at, options.cases - at < BATCH ? options.cases - at : BATCH);
	}
	printf("seed %" PRIu64 ": %u of %u cases differ\n", options.seed, failures,
	       options.only >= 0 ? 1 : options.cases);
	emulated_stop();
	native_stop();
	return failures ? 1 : 0;
}
