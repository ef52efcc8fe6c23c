/* SPDX-License-Identifier: MIT */
/* boot/kernel/multiboot.c - a kernel made for the Multiboot specification, version 0.6.96. */
#include <string.h>

#include "boot/kernel/load.h"

#define SEARCHED 8192	/* bytes of the file, for the header */
#define HEADER_MAGIC 0x1badb002
#define HEADER_KNOWN 7	/* of the 16 flags that a loader must understand; 4, a video
			 * mode, is a wish */
#define HEADER_ADDRESSES 0x10000
#define LOADER_MAGIC 0x2badb002

struct header {
	uint32_t magic, flags, checksum;
	/* With HEADER_ADDRESSES: what is where if the file is not ELF. */
	uint32_t header_gpa, load_gpa, load_end, bss_end, entry;
};

struct info {
	uint32_t flags;
	uint32_t mem_lower, mem_upper;	/* KiB, from 0 and from 1 MiB */
	uint32_t boot_device;
	uint32_t cmdline;
	uint32_t mods_count, mods_gpa;
	uint32_t syms[4];
	uint32_t mmap_bytes, mmap_gpa;
	uint32_t drives[2], config_table;
	uint32_t loader_name;
	uint32_t more[13];
};
#define INFO_MEMORY 1
#define INFO_CMDLINE 4
#define INFO_MODULES 8
#define INFO_MMAP 0x40

struct module {
	uint32_t start, end, string, reserved;
};

struct map_entry {
	uint32_t size;	/* of what follows */
	uint64_t gpa, bytes;
	uint32_t type;
} __attribute__((packed));

/* Its offset in the file; -1: it has none. */
static long find_header(const struct file *kernel, struct header *header)
{
	for (size_t at = 0; at < SEARCHED && file_at(kernel, at, 12); at += 4) {
		size_t left = kernel->size - at;

		memset(header, 0, sizeof(*header));
		memcpy(header, kernel->bytes + at, left < sizeof(*header) ? left : sizeof(*header));
		if (header->magic == HEADER_MAGIC &&
		    header->magic + header->flags + header->checksum == 0)
			return (long)at;
	}
	return -1;
}

bool multiboot_is(const struct file *kernel)
{
	struct header header;

	return find_header(kernel, &header) >= 0;
}

/* By the addresses in the header. */
static bool load_flat(struct load *load, const struct header *header, uint64_t at)
{
	const struct file *kernel = &load->kernel;
	uint64_t before = (uint64_t)header->header_gpa - header->load_gpa, from = at - before;
	uint64_t bytes = header->load_end ? header->load_end - header->load_gpa :
					    kernel->size - from;
	uint64_t end = header->bss_end ? header->bss_end : header->load_gpa + bytes;
	uint8_t *to;

	if (header->header_gpa < header->load_gpa || before > at || !file_at(kernel, from, bytes) ||
	    end < header->load_gpa + bytes)
		return load_refuse(load, "the addresses in its Multiboot header are impossible");
	to = memory_at(load->memory, header->load_gpa, end - header->load_gpa);
	if (!to || header->load_gpa < KERNEL_GPA)
		return load_refuse(load, "it wants memory that the guest has not (see --memory)");
	memset(to, 0, end - header->load_gpa);
	memcpy(to, kernel->bytes + from, bytes);
	load->kernel_end = end;
	load->entry.rip = header->entry;
	return true;
}

/* One module, the initrd; and the memory map.  They are at LISTS_GPA. */
static void fill_info(const struct load *load, uint64_t initrd_gpa)
{
	const uint32_t entries_gpa = LISTS_GPA + sizeof(struct module);
	struct memory_range map[MEMORY_RANGES];
	unsigned int n = memory_map(load->memory, map);
	struct info info = {
		.flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODULES | INFO_MMAP,
		.mem_lower = (uint32_t)(LOW_END >> 10),
		.mem_upper = (uint32_t)((load->memory->low - MIB(1)) >> 10),
		.cmdline = COMMAND_LINE_GPA,
		.mods_count = load->initrd.size > 0,
		.mods_gpa = LISTS_GPA,
		.mmap_bytes = n * (uint32_t)sizeof(struct map_entry),
		.mmap_gpa = entries_gpa,
	};
	const struct module module = {
		.start = (uint32_t)initrd_gpa,
		.end = (uint32_t)(initrd_gpa + load->initrd.size),
		/* The end of the command line: an empty string. */
		.string = COMMAND_LINE_GPA + (uint32_t)strlen(load->command_line),
	};

	memory_write(load->memory, INFO_GPA, &info, sizeof(info));
	memory_write(load->memory, LISTS_GPA, &module, sizeof(module));
	for (unsigned int i = 0; i < n; i++) {
		const struct map_entry entry = { sizeof(entry) - 4, map[i].gpa, map[i].bytes,
						 map[i].type };

		memory_write(load->memory, entries_gpa + i * sizeof(entry), &entry, sizeof(entry));
	}
}

bool multiboot_load(struct load *load)
{
	struct header header;
	long at = find_header(&load->kernel, &header);
	uint64_t initrd_gpa;

	if (header.flags & 0xffff & ~HEADER_KNOWN)
		return load_refuse(load, "its Multiboot header asks for what we do not know");
	if (!(header.flags & HEADER_ADDRESSES) && !elf_is(&load->kernel))
		return load_refuse(load,
				   "its Multiboot header gives no addresses, and it is not ELF");
	if (header.flags & HEADER_ADDRESSES ? !load_flat(load, &header, (uint64_t)at) :
					      !elf_load_segments(load, &load->entry.rip))
		return false;
	if (!load_initrd(load, GAP_GPA, &initrd_gpa))
		return false;
	fill_info(load, initrd_gpa);
	load->entry.rax = LOADER_MAGIC;
	load->entry.rbx = INFO_GPA;
	return true;
}
