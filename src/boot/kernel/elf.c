/* SPDX-License-Identifier: MIT */
/*
 * boot/kernel/elf.c - a kernel in ELF: entered as its PVH note says (Xen's x86/HVM direct boot
 * ABI), or, without one, at its entry: in long mode by Linux's protocol, or in 32-bit mode.
 */
#include <elf.h>
#include <string.h>

#include "boot/kernel/load.h"

#define NOTE_PHYS32_ENTRY 18	/* of "Xen" */
#define START_MAGIC 0x336ec578

/* What PVH's kernels find in RBX. */
struct start_info {
	uint32_t magic, version, flags, n_modules;
	uint64_t modules, command_line, rsdp, map;
	uint32_t n_map, reserved;
};

struct start_module {
	uint64_t gpa, bytes, command_line, reserved;
};

struct start_range {
	uint64_t gpa, bytes;
	uint32_t type, reserved;
};

bool elf_is(const struct file *file)
{
	const unsigned char *ident = file_at(file, 0, sizeof(Elf64_Ehdr));

	return ident && memcmp(ident, ELFMAG, SELFMAG) == 0 && ident[EI_DATA] == ELFDATA2LSB &&
	       (ident[EI_CLASS] == ELFCLASS32 || ident[EI_CLASS] == ELFCLASS64);
}

static bool is_64(const struct file *file)
{
	return file->bytes[EI_CLASS] == ELFCLASS64;
}

/* The file's header; 32-bit fields are extended. */
static Elf64_Ehdr read_header(const struct file *file)
{
	Elf64_Ehdr header;
	Elf32_Ehdr narrow;

	memcpy(&header, file->bytes, sizeof(header));
	if (is_64(file))
		return header;
	memcpy(&narrow, file->bytes, sizeof(narrow));
	header.e_machine = narrow.e_machine;
	header.e_entry = narrow.e_entry;
	header.e_phoff = narrow.e_phoff;
	header.e_phentsize = narrow.e_phentsize;
	header.e_phnum = narrow.e_phnum;
	return header;
}

/* The @i-th program header, if the file has it and what it says is in the file. */
static bool read_segment(const struct file *file, unsigned int i, Elf64_Phdr *segment)
{
	Elf64_Ehdr header = read_header(file);
	size_t bytes = is_64(file) ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	const void *at = file_at(file, header.e_phoff, (uint64_t)header.e_phnum * bytes);
	Elf32_Phdr narrow;

	if (!at || header.e_phentsize != bytes || i >= header.e_phnum)
		return false;
	at = (const uint8_t *)at + i * bytes;
	if (is_64(file)) {
		memcpy(segment, at, sizeof(*segment));
	} else {
		memcpy(&narrow, at, sizeof(narrow));
		*segment = (Elf64_Phdr){
			.p_type = narrow.p_type, .p_offset = narrow.p_offset,
			.p_paddr = narrow.p_paddr, .p_filesz = narrow.p_filesz,
			.p_memsz = narrow.p_memsz,
		};
	}
	return file_at(file, segment->p_offset, segment->p_filesz);
}

bool elf_is_dynamic(const struct file *file)
{
	Elf64_Phdr segment;

	for (unsigned int i = 0; read_segment(file, i, &segment); i++)
		if (segment.p_type == PT_INTERP)
			return true;
	return false;
}

static bool load_segment(struct load *load, const Elf64_Phdr *segment)
{
	uint8_t *to = memory_at(load->memory, segment->p_paddr, segment->p_memsz);

	if (segment->p_filesz > segment->p_memsz)
		return load_refuse(load, "a segment is longer in the file than in memory");
	if (!to || segment->p_paddr < KERNEL_GPA || segment->p_paddr >= GAP_GPA)
		return load_refuse(load, "it wants memory that the guest has not (see --memory)");
	memcpy(to, load->kernel.bytes + segment->p_offset, segment->p_filesz);
	memset(to + segment->p_filesz, 0, segment->p_memsz - segment->p_filesz);
	if (load->kernel_end < segment->p_paddr + segment->p_memsz)
		load->kernel_end = segment->p_paddr + segment->p_memsz;
	return true;
}

bool elf_load_segments(struct load *load, uint64_t *entry)
{
	Elf64_Ehdr header = read_header(&load->kernel);
	Elf64_Phdr segment;

	if (header.e_machine != EM_386 && header.e_machine != EM_X86_64)
		return load_refuse(load, "made for another processor");
	for (unsigned int i = 0; i < header.e_phnum; i++) {
		if (!read_segment(&load->kernel, i, &segment))
			return load_refuse(load, "the ELF file ends too early");
		if (segment.p_type == PT_LOAD && segment.p_memsz && !load_segment(load, &segment))
			return false;
	}
	if (!load->kernel_end)
		return load_refuse(load, "the ELF file has nothing to load");
	*entry = header.e_entry;
	return true;
}

/* Searches one segment of notes for the PVH entry. */
static bool search_notes(const uint8_t *at, uint64_t left, uint32_t *entry)
{
	Elf64_Nhdr note;

	while (left >= sizeof(note)) {
		uint64_t name, value;

		memcpy(&note, at, sizeof(note));
		name = ((uint64_t)note.n_namesz + 3) & ~3ull;
		value = ((uint64_t)note.n_descsz + 3) & ~3ull;
		if (name + value > left - sizeof(note))
			return false;
		if (note.n_type == NOTE_PHYS32_ENTRY && note.n_namesz == 4 && note.n_descsz >= 4 &&
		    memcmp(at + sizeof(note), "Xen", 4) == 0) {
			memcpy(entry, at + sizeof(note) + name, 4);
			return true;
		}
		at += sizeof(note) + name + value;
		left -= sizeof(note) + name + value;
	}
	return false;
}

static bool find_pvh_entry(const struct file *kernel, uint32_t *entry)
{
	Elf64_Phdr segment;

	for (unsigned int i = 0; read_segment(kernel, i, &segment); i++)
		if (segment.p_type == PT_NOTE &&
		    search_notes(kernel->bytes + segment.p_offset, segment.p_filesz, entry))
			return true;
	return false;
}

/* The lists are at LISTS_GPA. */
static void fill_start_info(const struct load *load, uint64_t initrd_gpa)
{
	const uint64_t ranges_gpa = LISTS_GPA + sizeof(struct start_module);
	struct memory_range map[MEMORY_RANGES];
	unsigned int n = memory_map(load->memory, map);
	const struct start_info info = {
		.magic = START_MAGIC,
		.version = 1,
		.n_modules = load->initrd.size > 0,
		.modules = LISTS_GPA,
		.command_line = COMMAND_LINE_GPA,
		.rsdp = load->rsdp,
		.map = ranges_gpa,
		.n_map = n,
	};
	const struct start_module module = { .gpa = initrd_gpa, .bytes = load->initrd.size };

	memory_write(load->memory, INFO_GPA, &info, sizeof(info));
	memory_write(load->memory, LISTS_GPA, &module, sizeof(module));
	for (unsigned int i = 0; i < n; i++) {
		const struct start_range range = { map[i].gpa, map[i].bytes, map[i].type, 0 };

		memory_write(load->memory, ranges_gpa + i * sizeof(range), &range, sizeof(range));
	}
}

bool elf_load(struct load *load)
{
	uint64_t entry, initrd_gpa;
	uint32_t pvh_entry;

	if (!elf_load_segments(load, &entry) || !load_initrd(load, GAP_GPA, &initrd_gpa))
		return false;
	if (find_pvh_entry(&load->kernel, &pvh_entry)) {
		fill_start_info(load, initrd_gpa);
		load->entry = (struct entry){ .rip = pvh_entry, .rbx = INFO_GPA };
		return true;
	}
	linux_zero_page(load, initrd_gpa);
	load->entry = (struct entry){
		.long_mode = is_64(&load->kernel), .rip = entry, .rsi = INFO_GPA,
	};
	return true;
}
