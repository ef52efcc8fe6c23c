/* SPDX-License-Identifier: MIT */
#include "boot/kernel/load.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool/output.h"

bool file_open(struct file *file, const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *bytes = MAP_FAILED;

	if (fd >= 0 && !fstat(fd, &st)) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
		if (S_ISREG(st.st_mode) && st.st_size)
			bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	}
	if (bytes == MAP_FAILED)
		complain("boot: %s: %s", name,
			 errno == EINVAL ? "it is empty, or no file" : strerror(errno));
	else
		*file = (struct file){ name, bytes, (size_t)st.st_size };
	if (fd >= 0)
		close(fd);
	return bytes != MAP_FAILED;
}

void file_close(struct file *file)
{
	if (file->size)
		munmap((void *)(uintptr_t)file->bytes, file->size);
	*file = (struct file){ 0 };
}

const void *file_at(const struct file *file, uint64_t offset, uint64_t bytes)
{
	if (offset > file->size || bytes > file->size - offset)
		return NULL;
	return file->bytes + offset;
}

bool load_refuse(const struct load *load, const char *why)
{
	complain("boot: %s: %s", load->kernel.name, why);
	return false;
}

bool load_initrd(struct load *load, uint64_t limit, uint64_t *gpa)
{
	uint64_t size = load->initrd.size;
	uint64_t end = limit < load->memory->low ? limit : load->memory->low;

	*gpa = 0;
	if (!size)
		return true;
	if (size > end || (end - size) / 4096 * 4096 < load->kernel_end) {
		complain("boot: %s does not fit into the guest's memory beside the kernel "
			 "(see --memory)", load->initrd.name);
		return false;
	}
	*gpa = (end - size) / 4096 * 4096;
	return memory_write(load->memory, *gpa, load->initrd.bytes, size);
}

bool load_kernel(struct load *load)
{
	const char *line = load->command_line;

	if (strlen(line) >= COMMAND_LINE_BYTES)
		return load_refuse(load, "its command line is too long");
	memory_write(load->memory, COMMAND_LINE_GPA, line, strlen(line) + 1);
	if (linux_is(&load->kernel))
		return linux_load(load);
	/* Before ELF, which a Multiboot kernel often is as well. */
	if (multiboot_is(&load->kernel))
		return multiboot_load(load);
	if (elf_is(&load->kernel))
		return elf_load(load);
	return load_refuse(load, "neither a bzImage nor an ELF or Multiboot kernel");
}
