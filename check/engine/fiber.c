/* SPDX-License-Identifier: MIT */
/*
 * check/engine/fiber.c - see check/engine/fiber.h.
 *
 * swapcontext(3) makes a system call for the signal mask, which all of ours share.
 * What a call must preserve is all that is kept here.
 */
#include "check/engine/fiber.h"

#include <stdint.h>

__asm__(".pushsection .text\n"
	".globl fiber_switch\n"
	".hidden fiber_switch\n"
	".type fiber_switch, @function\n"
	"fiber_switch:\n"
	"	push %rbp\n"
	"	push %rbx\n"
	"	push %r12\n"
	"	push %r13\n"
	"	push %r14\n"
	"	push %r15\n"
	"	mov %rsp, (%rdi)\n"
	"	mov (%rsi), %rsp\n"
	"	pop %r15\n"
	"	pop %r14\n"
	"	pop %r13\n"
	"	pop %r12\n"
	"	pop %rbx\n"
	"	pop %rbp\n"
	"	ret\n"
	".size fiber_switch, . - fiber_switch\n"
	/* A new fiber "returns" here, with its function and argument in registers. */
	".type fiber_entry, @function\n"
	"fiber_entry:\n"
	"	mov %r12, %rdi\n"
	"	call *%r13\n"
	"	ud2\n"
	".size fiber_entry, . - fiber_entry\n"
	".popsection\n");

void fiber_entry(void);

void fiber_prepare(struct fiber *f, void *stack, size_t bytes, void (*fn)(void *arg), void *arg)
{
	uintptr_t top = ((uintptr_t)stack + bytes) & ~(uintptr_t)15;
	uintptr_t *sp = (uintptr_t *)top;

	/* The order of fiber_switch(): r15, r14, r13, r12, rbx, rbp, and where to.  The
	 * stack is aligned then, as before any call. */
	sp -= 7;
	sp[0] = 0;
	sp[1] = 0;
	sp[2] = (uintptr_t)fn;
	sp[3] = (uintptr_t)arg;
	sp[4] = 0;
	sp[5] = 0;
	sp[6] = (uintptr_t)fiber_entry;
	f->sp = sp;
}
