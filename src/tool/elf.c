/* SPDX-License-Identifier: MIT */
/*
 * tool/elf.c - can a library be preloaded into this program?
 *
 * Said before the program starts: the dynamic loader would ignore LD_PRELOAD
 * without a word, and the program would look for a /dev/kvm that is not there.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool/tool.h"

#define MAX_SCRIPTS 4	/* interpreters that are scripts themselves, as the kernel has it */

static bool read_at(int fd, void *to, size_t bytes, off_t offset)
{
	return pread(fd, to, bytes, offset) == (ssize_t)bytes;
}

static bool has_interpreter(int fd, const Elf64_Ehdr *header)
{
	for (int i = 0; i < header->e_phnum; i++) {
		Elf64_Phdr segment;
		off_t at = (off_t)header->e_phoff + i * header->e_phentsize;

		if (!read_at(fd, &segment, sizeof(segment), at))
			return false;
		if (segment.p_type == PT_INTERP)
			return true;
	}
	return false;
}

static const char *elf_file_problem(int fd)
{
	Elf64_Ehdr header;

	if (!read_at(fd, &header, sizeof(header), 0) ||
	    memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
		return "not a program that this system can run";
	if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64)
		return "a program for another architecture; only x86-64 programs can be run";
	if (!has_interpreter(fd, &header))
		return "statically linked; the library cannot be preloaded into it "
		       "(link it dynamically)";
	return NULL;
}

/* Of "#!  /path args": the path. */
static bool script_interpreter(int fd, char *path, size_t bytes)
{
	ssize_t n = pread(fd, path, bytes - 1, 0);
	char *start;

	if (n < 2 || path[0] != '#' || path[1] != '!')
		return false;
	path[n] = '\0';
	start = path + 2 + strspn(path + 2, " \t");
	start[strcspn(start, " \t\n")] = '\0';
	memmove(path, start, strlen(start) + 1);
	return true;
}

static const char *problem_of(const char *path, int depth)
{
	char interpreter[PATH_MAX];
	const char *problem;
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return strerror(errno);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || access(path, X_OK))
		problem = "not an executable file";
	else if ((st.st_mode & S_ISUID && st.st_uid != geteuid()) ||
		 (st.st_mode & S_ISGID && st.st_gid != getegid()))
		problem = "set-user-ID or set-group-ID; nothing can be preloaded into it";
	else if (!script_interpreter(fd, interpreter, sizeof(interpreter)))
		problem = elf_file_problem(fd);
	else if (depth == MAX_SCRIPTS)
		problem = "a script of a script of a script";
	else
		problem = problem_of(interpreter, depth + 1);
	close(fd);
	return problem;
}

const char *elf_problem(const char *path)
{
	return problem_of(path, 0);
}
