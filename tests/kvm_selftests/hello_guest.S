/* SPDX-License-Identifier: MIT */
/* tests/kvm_selftests/hello_guest.S - the guest of hello.c, in 16, 32 and 64 bits, at 0. */

	.macro guest bits
	.balign 16
	.code\bits
	.globl guest\bits, guest\bits\()_end
guest\bits:
	movw	$0xe9, %dx
	movb	$'h', %al
	outb	%al, %dx
	movb	$'e', %al
	outb	%al, %dx
	movb	$'l', %al
	outb	%al, %dx
	outb	%al, %dx
	movb	$'o', %al
	outb	%al, %dx
	movw	$42, %ax
	movw	%ax, 0x400
	.if \bits == 16
	movw	$42, %ax
	.else
	movl	$42, %eax
	.endif
	hlt
guest\bits\()_end:
	.endm

	.section .rodata
	guest 16
	guest 32
	guest 64

	.section .note.GNU-stack, "", @progbits
