/* SPDX-License-Identifier: MIT */
/*
 * boot/kernel/load.h - a kernel's file, taken into the guest's memory by the protocol that it was
 * made for.
 */
#ifndef BOOT_LOAD_H
#define BOOT_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boot/memory.h"

struct file {
	const char *name;
	const uint8_t *bytes;
	size_t size;
};

/* What the first processor begins with: flat segments, interrupts off, and this. */
struct entry {
	bool long_mode;		/* with the first 4 GiB mapped to themselves; else no paging */
	uint64_t rip;
	uint64_t rax, rbx, rsi;
};

struct load {
	const struct guest_memory *memory;
	struct file kernel;
	struct file initrd;		/* .size 0: none */
	const char *command_line;	/* at COMMAND_LINE_GPA by now */
	uint64_t rsdp;			/* of ACPI's tables */
	uint64_t kernel_end;		/* set by a loader before it asks for the initrd's place */
	struct entry entry;		/* set by the loader */
};

/* Opens and maps a file to read; false, after a message. */
bool file_open(struct file *file, const char *name);
void file_close(struct file *file);
/* [offset, offset + bytes) of it, or NULL if it is shorter. */
const void *file_at(const struct file *file, uint64_t offset, uint64_t bytes);

/* Recognizes the kernel and loads it, and the initrd; false, after a message. */
bool load_kernel(struct load *load);

/* The loaders, a file each: linux.c, multiboot.c, elf.c.  False after a message. */
bool linux_is(const struct file *kernel);
bool linux_load(struct load *load);
/* Fills the zero page but for a bzImage's header, and returns it. */
struct boot_params *linux_zero_page(const struct load *load, uint64_t initrd_gpa);
bool multiboot_is(const struct file *kernel);
bool multiboot_load(struct load *load);
bool elf_is(const struct file *file);
bool elf_load(struct load *load);
/* Its segments alone: the entry, and the end in memory. */
bool elf_load_segments(struct load *load, uint64_t *entry);
/* Whether a program needs a dynamic loader. */
bool elf_is_dynamic(const struct file *file);

/* Puts the initrd as high as it may be, below @limit and the gap; 0 in *gpa if there is none. */
bool load_initrd(struct load *load, uint64_t limit, uint64_t *gpa);
/* A message about the kernel's file, and false. */
bool load_refuse(const struct load *load, const char *why);

#endif
