/* SPDX-License-Identifier: MIT */
/* bench/guests.S - the guest's side of each measurement; RCX rounds from RDI. */
	.macro guest name
	.balign 16
	.globl bench_\name, bench_\name\()_end
bench_\name:
	.endm
	.macro end name
bench_\name\()_end:
	.endm

	.section .rodata
	.code64

	/* 10 instructions a round, no memory: what gcc makes of a hash. */
	guest integer
	xorl	%eax, %eax
	movl	$0x9e3779b9, %edx
1:	movq	%rcx, %rbx
	imulq	%rdx, %rbx
	xorq	%rbx, %rax
	movq	%rax, %rsi
	shrq	$29, %rsi
	addq	%rsi, %rax
	leaq	3(%rax,%rbx,2), %rax
	subq	%rsi, %rbx
	decq	%rcx
	jnz	1b
	hlt
	end integer

	/* 10 instructions a round, 4 of them with memory that hits the TLB. */
	guest memory
	xorl	%eax, %eax
1:	movq	%rcx, %rbx
	andl	$0xff8, %ebx
	addq	(%rdi,%rbx), %rax
	movq	%rax, (%rdi,%rbx)
	movq	8(%rdi), %rdx
	addq	%rdx, %rax
	movq	%rax, 16(%rdi)
	xorq	%rbx, %rax
	decq	%rcx
	jnz	1b
	hlt
	end memory

	/* 16 loads a round, from one page. */
	guest loads
1:	.set i, 0
	.rept 16
	movq	i(%rdi), %rax
	.set i, i + 8
	.endr
	decq	%rcx
	jnz	1b
	hlt
	end loads

	guest stores
1:	.set i, 0
	.rept 16
	movq	%rax, i(%rdi)
	.set i, i + 8
	.endr
	decq	%rcx
	jnz	1b
	hlt
	end stores

	/* One word of each of RCX pages. */
	guest touch_read
1:	movq	(%rdi), %rax
	addq	$4096, %rdi
	decq	%rcx
	jnz	1b
	hlt
	end touch_read

	guest touch_write
1:	movq	%rcx, (%rdi)
	addq	$4096, %rdi
	decq	%rcx
	jnz	1b
	hlt
	end touch_write

	guest out
1:	outb	%al, $0x10
	decq	%rcx
	jnz	1b
	hlt
	end out

	guest spin
1:	incq	%rax
	jmp	1b
	end spin

	.section .note.GNU-stack, "", @progbits
