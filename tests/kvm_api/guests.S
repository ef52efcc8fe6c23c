/* SPDX-License-Identifier: MIT */
/* tests/kvm_api/guests.S - guest code for the tests of the API, position independent. */
	.macro guest name
	.balign 16
	.globl guest_\name, guest_\name\()_end
guest_\name:
	.endm
	.macro end name
guest_\name\()_end:
	.endm

	.section .rodata
	.code64

	guest halt
	hlt
	end halt

	/* Counts in RAX for ever. */
	guest spin
1:	incq	%rax
	jmp	1b
	end spin

	/* [RDI] = RAX, then halts. */
	guest store
	movq	%rax, (%rdi)
	hlt
	end store

	/* Byte [RDI] = AL, then halts. */
	guest store_byte
	movb	%al, (%rdi)
	hlt
	end store_byte

	/* RAX = [RDI], then halts. */
	guest load
	movq	(%rdi), %rax
	hlt
	end load

	/* Writes to RCX pages from RDI, a word each, over and over; RBX counts the rounds. */
	guest writer
1:	movq	%rdi, %rsi
	movq	%rcx, %rdx
2:	incq	(%rsi)
	addq	$4096, %rsi
	decq	%rdx
	jnz	2b
	incq	%rbx
	jmp	1b
	end writer

	/* Reads them. */
	guest reader
1:	movq	%rdi, %rsi
	movq	%rcx, %rdx
2:	movq	(%rsi), %rax
	addq	$4096, %rsi
	decq	%rdx
	jnz	2b
	incq	%rbx
	jmp	1b
	end reader

	/* A byte out and one in, then halts with what it got. */
	guest out_in
	movl	$0x5a, %eax
	outb	%al, $0x42
	inb	$0x43, %al
	hlt
	end out_in

	guest undefined
	ud2
	end undefined

	/* Writes RAX to RCX pages from RDI once, then halts. */
	guest fill
1:	movq	%rax, (%rdi)
	addq	$4096, %rdi
	decq	%rcx
	jnz	1b
	hlt
	end fill

	.section .note.GNU-stack, "", @progbits
