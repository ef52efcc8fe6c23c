/* SPDX-License-Identifier: MIT */
/*
 * tests/diff/native_child.c - runs cases on the host's processor.
 *
 * A program of its own, as the code may do anything to it, and as it must have no
 * memory where a case expects none.  A case begins by returning from a signal
 * handler, which loads every register, and ends in the next signal; its handler
 * notes the state and begins the next case.  32-bit code runs in the same process:
 * the kernel returns to the code segment that we say.
 */
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include "native.h"

/* Linux's segments for user code. */
#define USER_CS32 0x23ull
#define USER_CS64 0x33ull
#define USER_DS 0x2bull
/* Behind the 512 bytes of FXSAVE, when the kernel saves by XSAVE. */
#define XSAVE_HEADER 512
#define XSAVE_MAGIC_AT 464
#define XSAVE_MAGIC 0x46505853u
#define XSAVE_FEATURES_AT 472
#define XSAVE_YMM_HIGH 576
#define AVX 4

static struct native *shared;
static ucontext_t home;
static struct _libc_fpstate home_fp;

static const int registers[16] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

/* The frame begins as FXSAVE's image does. */
static void set_x87(struct _libc_fpstate *fp, const struct diff_x87 *in)
{
	fp->cwd = in->fcw;
	fp->swd = in->fsw;
	fp->ftw = in->ftw;
	fp->fop = in->fop;
	fp->rip = in->fip;
	fp->rdp = in->fdp;
	memcpy(fp->_st, in->st, sizeof(in->st));
}

static void get_x87(const struct _libc_fpstate *fp, bool saved, struct diff_x87 *out)
{
	memset(out, 0, sizeof(*out));
	out->fcw = 0x37f;
	if (!saved)
		return;
	*out = (struct diff_x87){
		.fcw = fp->cwd, .fsw = fp->swd, .ftw = fp->ftw, .fop = fp->fop,
		.fip = fp->rip, .fdp = fp->rdp,
	};
	memcpy(out->st, fp->_st, sizeof(out->st));
}

/* Does the frame have room for them? */
static bool has_avx(const uint8_t *fp_bytes)
{
	uint32_t magic;

	memcpy(&magic, fp_bytes + XSAVE_MAGIC_AT, 4);
	return magic == XSAVE_MAGIC && (fp_bytes[XSAVE_FEATURES_AT] & AVX);
}

static void set_high_halves(uint8_t *fp_bytes, const uint8_t from[16][16])
{
	if (!has_avx(fp_bytes))
		return;
	memcpy(fp_bytes + XSAVE_YMM_HIGH, from, 256);
	fp_bytes[XSAVE_HEADER] |= AVX;
}

static void get_high_halves(const uint8_t *fp_bytes, uint8_t to[16][16])
{
	memset(to, 0, 256);
	if (has_avx(fp_bytes) && (fp_bytes[XSAVE_HEADER] & AVX))
		memcpy(to, fp_bytes + XSAVE_YMM_HIGH, 256);
}

static void begin_case(ucontext_t *uc, const struct diff_case *c)
{
	greg_t *g = uc->uc_mcontext.gregs;
	struct _libc_fpstate *fp = uc->uc_mcontext.fpregs;
	uint8_t *fp_bytes = (uint8_t *)fp;
	uint32_t magic;

	memset((void *)(uintptr_t)CODE_AT, 0xcc, CODE_BYTES);
	memcpy((void *)(uintptr_t)(CODE_AT + c->offset), c->code, c->bytes);
	mprotect((void *)(uintptr_t)CODE_AT, CODE_BYTES, PROT_READ | PROT_EXEC);
	memcpy((void *)(uintptr_t)DATA_AT, c->in.data, DATA_BYTES);
	mprotect((void *)(uintptr_t)(DATA_AT + DATA_WRITABLE), DATA_BYTES - DATA_WRITABLE,
		 PROT_READ);

	for (int i = 0; i < 16; i++)
		g[registers[i]] = (greg_t)c->in.gpr[i];
	g[REG_RIP] = (greg_t)c->in.rip;
	g[REG_EFL] = (greg_t)c->in.rflags;
	g[REG_CSGSFS] = (greg_t)(USER_DS << 48 | (c->is_32bit ? USER_CS32 : USER_CS64));
	memcpy(fp->_xmm, c->in.xmm, sizeof(c->in.xmm));
	fp->mxcsr = c->in.mxcsr;
	set_x87(fp, &c->in.x87);
	memcpy(&magic, fp_bytes + XSAVE_MAGIC_AT, 4);
	if (magic == XSAVE_MAGIC)
		fp_bytes[XSAVE_HEADER] |= 3;
	set_high_halves(fp_bytes, c->in.ymm_high);
}

static void end_case(const ucontext_t *uc, struct diff_state *s)
{
	const greg_t *g = uc->uc_mcontext.gregs;
	const struct _libc_fpstate *fp = uc->uc_mcontext.fpregs;
	const uint8_t *fp_bytes = (const uint8_t *)fp;
	uint32_t magic;

	for (int i = 0; i < 16; i++)
		s->gpr[i] = (uint64_t)g[registers[i]];
	s->rip = (uint64_t)g[REG_RIP];
	s->rflags = (uint64_t)g[REG_EFL];
	s->vector = (uint32_t)g[REG_TRAPNO];
	s->error = (uint32_t)g[REG_ERR];
	s->cr2 = (uint64_t)g[REG_CR2];
	s->mxcsr = fp->mxcsr;
	memcpy(s->xmm, fp->_xmm, sizeof(s->xmm));
	/* Registers that are all zero may not have been saved at all. */
	memcpy(&magic, fp_bytes + XSAVE_MAGIC_AT, 4);
	if (magic == XSAVE_MAGIC && !(fp_bytes[XSAVE_HEADER] & 2))
		memset(s->xmm, 0, sizeof(s->xmm));
	get_high_halves(fp_bytes, s->ymm_high);
	get_x87(fp, magic != XSAVE_MAGIC || (fp_bytes[XSAVE_HEADER] & 1), &s->x87);
	memcpy(s->data, (const void *)(uintptr_t)DATA_AT, DATA_BYTES);
	mprotect((void *)(uintptr_t)CODE_AT, CODE_BYTES, PROT_READ | PROT_WRITE);
	mprotect((void *)(uintptr_t)(DATA_AT + DATA_WRITABLE), DATA_BYTES - DATA_WRITABLE,
		 PROT_READ | PROT_WRITE);
}

static void go_home(ucontext_t *uc)
{
	struct _libc_fpstate *fp = uc->uc_mcontext.fpregs;
	uint8_t *fp_bytes = (uint8_t *)fp;

	memcpy(uc->uc_mcontext.gregs, home.uc_mcontext.gregs, sizeof(gregset_t));
	memcpy(fp->_xmm, home_fp._xmm, sizeof(fp->_xmm));
	fp->mxcsr = home_fp.mxcsr;
	memcpy(fp, &home_fp, offsetof(struct _libc_fpstate, mxcsr));
	memcpy(fp->_st, home_fp._st, sizeof(fp->_st));
	fp_bytes[XSAVE_HEADER] |= 3;
}

static void on_begin(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)sig;
	(void)info;
	home = *uc;
	home_fp = *uc->uc_mcontext.fpregs;
	shared->current = 0;
	begin_case(uc, &shared->cases[0]);
}

static void on_end(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)sig;
	(void)info;
	end_case(uc, &shared->results[shared->current]);
	if (++shared->current < shared->n)
		begin_case(uc, &shared->cases[shared->current]);
	else
		go_home(uc);
}

static void catch(int sig, void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	sigaction(sig, &action, NULL);
}

static void map(uint64_t at, size_t bytes)
{
	void *p = mmap((void *)(uintptr_t)at, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		_exit(1);
	}
}

int main(void)
{
	static uint8_t stack[1 << 16];
	const struct itimerval limit = { .it_value.tv_sec = 10 }, none = { 0 };
	stack_t alternative = { .ss_sp = stack, .ss_size = sizeof(stack) };
	char token;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, NATIVE_MEMORY, 0);
	if (shared == MAP_FAILED)
		return 1;
	map(CODE_AT, CODE_BYTES);
	map(DATA_AT, DATA_BYTES);
	sigaltstack(&alternative, NULL);
	catch(SIGUSR1, on_begin);
	catch(SIGSEGV, on_end);
	catch(SIGBUS, on_end);
	catch(SIGILL, on_end);
	catch(SIGFPE, on_end);
	catch(SIGTRAP, on_end);
	/* 32-bit code needs real data segments. */
	__asm__ __volatile__("mov %0, %%ds\n\tmov %0, %%es" : : "r"((uint32_t)USER_DS));
	while (read(NATIVE_TO, &token, 1) == 1) {
		/* By its own time: a host that traps split locks lets it wait. */
		setitimer(ITIMER_PROF, &limit, NULL);
		raise(SIGUSR1);
		setitimer(ITIMER_PROF, &none, NULL);
		if (write(NATIVE_FROM, &token, 1) != 1)
			break;
	}
	return 0;
}
