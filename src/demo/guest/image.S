/* SPDX-License-Identifier: MIT */
/* demo/guest/image.S - the built-in guest, as built, inside the command. */
	.section .rodata
	.balign 16
	.globl umbra_guest_image, umbra_guest_image_end
umbra_guest_image:
	.incbin GUEST_IMAGE
umbra_guest_image_end:

	.section .note.GNU-stack, "", @progbits
