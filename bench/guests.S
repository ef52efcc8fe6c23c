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

	/*
	 * What the page-table guests know of their tables (bench/vm.c): a table of
	 * 4 KiB pages lies at 0x8000 and maps the window at 0xffe00000, by entry 511
	 * of the directory at 0x23000; the root is at 0x1000, copies of it from 0x9000.
	 */
	.set WINDOW, 0xffe00000
	.set TABLE, 0x8000
	.set DIRECTORY_ENTRY, 0x23000 + 511 * 8

	/* An entry of a lowest-level table, again and again. */
	guest write_table
1:	movl	%ecx, %ebx
	andl	$511, %ebx
	xorq	$0x200, TABLE(,%rbx,8)
	decq	%rcx
	jnz	1b
	hlt
	end write_table

	/* An entry one level up, and a use of what is below it. */
	guest write_directory
	movl	$WINDOW, %esi
1:	xorq	$0x200, DIRECTORY_ENTRY
	invlpg	(%rsi)
	movq	(%rsi), %rax
	decq	%rcx
	jnz	1b
	hlt
	end write_directory

	guest two_roots
	movl	$0x1000, %eax
	movl	$0x9000, %ebx
1:	movq	%rbx, %cr3
	xchgq	%rax, %rbx
	decq	%rcx
	jnz	1b
	hlt
	end two_roots

	/* More than are kept. */
	guest eight_roots
1:	movl	%ecx, %eax
	andl	$7, %eax
	shll	$12, %eax
	addl	$0x8000, %eax
	cmpl	$0x8000, %eax
	jne	2f
	movl	$0x1000, %eax
2:	movq	%rax, %cr3
	decq	%rcx
	jnz	1b
	hlt
	end eight_roots

	guest invlpg
	movl	$WINDOW, %esi
1:	invlpg	(%rsi)
	decq	%rcx
	jnz	1b
	hlt
	end invlpg

	/* From a device at RDI; or from RCX of them. */
	guest mmio_one
1:	movb	(%rdi), %al
	decq	%rcx
	jnz	1b
	hlt
	end mmio_one

	guest mmio_many
1:	movb	(%rdi), %al
	addq	$4096, %rdi
	decq	%rcx
	jnz	1b
	hlt
	end mmio_many

	/* As a system does that remaps: an entry is changed, its page forgotten and
	 * used; now and then all is forgotten. */
	guest churn
	movl	$WINDOW, %esi
	movq	%cr3, %rdx
1:	movl	%ecx, %ebx
	andl	$511, %ebx
	xorq	$0x200, TABLE(,%rbx,8)
	movl	%ebx, %eax
	shll	$12, %eax
	invlpg	(%rsi,%rax)
	movq	%rcx, (%rsi,%rax)
	testl	$63, %ecx
	jnz	2f
	movq	%rdx, %cr3
2:	decq	%rcx
	jnz	1b
	hlt
	end churn

	.section .note.GNU-stack, "", @progbits
