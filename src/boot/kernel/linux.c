/* SPDX-License-Identifier: MIT */
/*
 * boot/kernel/linux.c - Linux's boot protocol for x86 (Documentation/x86/boot.rst): a bzImage,
 * entered in 32-bit protected mode, which unpacks itself.
 */
#include <asm/bootparam.h>
#include <string.h>

#include "boot/kernel/load.h"

#define HEADER_OFFSET 0x1f1
#define MAGIC_OFFSET 0x202
#define BOOT_FLAG 0xaa55
#define VERSION_2_10 0x20a	/* since when it says where, and how much memory it needs */
#define LOADER_OTHER 0xff

/* The header as it is in the file: as long as it says, and no more. */
static bool read_header(const struct file *kernel, struct setup_header *header)
{
	const uint8_t *jump = file_at(kernel, MAGIC_OFFSET - 1, 1);
	size_t bytes = jump ? MAGIC_OFFSET + *jump - HEADER_OFFSET : 0;

	memset(header, 0, sizeof(*header));
	if (bytes > sizeof(*header))
		bytes = sizeof(*header);
	if (!file_at(kernel, HEADER_OFFSET, bytes))
		return false;
	memcpy(header, kernel->bytes + HEADER_OFFSET, bytes);
	return header->boot_flag == BOOT_FLAG && memcmp(&header->header, "HdrS", 4) == 0;
}

bool linux_is(const struct file *kernel)
{
	struct setup_header header;

	return read_header(kernel, &header);
}

struct boot_params *linux_zero_page(const struct load *load, uint64_t initrd_gpa)
{
	struct boot_params *params = memory_at(load->memory, INFO_GPA, sizeof(*params));
	struct memory_range map[MEMORY_RANGES];
	unsigned int n = memory_map(load->memory, map);

	memset(params, 0, sizeof(*params));
	for (unsigned int i = 0; i < n; i++) {
		params->e820_table[i].addr = map[i].gpa;
		params->e820_table[i].size = map[i].bytes;
		params->e820_table[i].type = map[i].type;
	}
	params->e820_entries = (uint8_t)n;
	params->acpi_rsdp_addr = load->rsdp;
	params->hdr.type_of_loader = LOADER_OTHER;
	params->hdr.boot_flag = BOOT_FLAG;
	memcpy(&params->hdr.header, "HdrS", 4);
	params->hdr.cmd_line_ptr = COMMAND_LINE_GPA;
	params->hdr.ramdisk_image = (uint32_t)initrd_gpa;
	params->hdr.ramdisk_size = (uint32_t)load->initrd.size;
	return params;
}

/* Loads what runs in protected mode; what is before it, in real mode, is not needed. */
static bool load_protected(struct load *load, const struct setup_header *header)
{
	uint64_t setup = 512ull * ((header->setup_sects ? header->setup_sects : 4u) + 1);

	if (setup >= load->kernel.size)
		return load_refuse(load, "the file ends too early");
	if (!memory_write(load->memory, KERNEL_GPA, load->kernel.bytes + setup,
			  load->kernel.size - setup) ||
	    !memory_at(load->memory, header->pref_address, header->init_size))
		return load_refuse(load, "the guest has too little memory for it (see --memory)");
	load->kernel_end = header->pref_address + header->init_size;
	if (load->kernel_end < KERNEL_GPA + load->kernel.size)
		load->kernel_end = KERNEL_GPA + load->kernel.size;
	return true;
}

bool linux_load(struct load *load)
{
	struct setup_header header;
	struct boot_params *params;
	uint64_t initrd_gpa;

	read_header(&load->kernel, &header);
	if (header.version < VERSION_2_10 || !(header.loadflags & LOADED_HIGH))
		return load_refuse(load, "a kernel older than Linux 2.6.31");
	if (strlen(load->command_line) > header.cmdline_size)
		return load_refuse(load, "its command line is too long");
	if (!load_protected(load, &header) ||
	    !load_initrd(load, (uint64_t)header.initrd_addr_max + 1, &initrd_gpa))
		return false;
	params = linux_zero_page(load, initrd_gpa);
	header.type_of_loader = LOADER_OTHER;
	header.cmd_line_ptr = params->hdr.cmd_line_ptr;
	header.ramdisk_image = params->hdr.ramdisk_image;
	header.ramdisk_size = params->hdr.ramdisk_size;
	params->hdr = header;
	load->entry = (struct entry){ .rip = KERNEL_GPA, .rsi = INFO_GPA };
	return true;
}
