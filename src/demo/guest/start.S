/* SPDX-License-Identifier: MIT */
/*
 * demo/guest/start.S - from 32-bit protected mode without paging to C.
 *
 * The host starts every vCPU here with its number in EDI.  The first builds the
 * identity mapping, the others wait for it.  Then: CR4.PAE, CR3, EFER.LME, CR0.PG,
 * a far jump, a stack, guest_main().
 */
#define TABLES 0x300000		/* TABLES_GPA */
#define IDENTITY_READY 0x9000	/* a word that the host leaves zero */

	.section .start, "ax"
	.code32
	.globl start
start:
	testl	%edi, %edi
	jnz	wait_for_tables

	/* 4 GiB of identity by 2 MiB pages: PML4 -> PDPT -> 4 page directories. */
	movl	$(TABLES + 0x1003), TABLES
	xorl	%ecx, %ecx
1:	movl	%ecx, %eax
	shll	$12, %eax
	addl	$(TABLES + 0x2003), %eax
	movl	%eax, TABLES + 0x1000(,%ecx,8)
	incl	%ecx
	cmpl	$4, %ecx
	jne	1b
	xorl	%ecx, %ecx
2:	movl	%ecx, %eax
	shll	$21, %eax
	orl	$0x83, %eax		/* present, writable, large */
	movl	%eax, TABLES + 0x2000(,%ecx,8)
	incl	%ecx
	cmpl	$2048, %ecx
	jne	2b
	movl	$1, IDENTITY_READY
wait_for_tables:
	pause
	cmpl	$0, IDENTITY_READY
	je	wait_for_tables

	movl	%cr4, %eax
	orl	$0x20, %eax		/* PAE */
	movl	%eax, %cr4
	movl	$TABLES, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx	/* EFER */
	rdmsr
	orl	$0x100, %eax		/* LME */
	wrmsr
	movl	%cr0, %eax
	orl	$0x80000000, %eax	/* PG */
	movl	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$8, $long_mode

	.code64
long_mode:
	movl	$16, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	/* 16 KiB of stack each, below 0x80000. */
	movl	%edi, %eax
	shll	$14, %eax
	movl	$0x80000, %esp
	subq	%rax, %rsp
	call	guest_main
1:	cli
	hlt
	jmp	1b

	.balign 8
gdt:
	.quad	0
	.quad	0x00209a0000000000	/* 64-bit code */
	.quad	0x0000920000000000	/* data */
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt

	.section .note.GNU-stack, "", @progbits
