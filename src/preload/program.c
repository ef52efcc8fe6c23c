/* SPDX-License-Identifier: MIT */
#include "preload/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LOADER_NAME "ld-linux-x86-64.so.2"
#define MAX_SCRIPTS 4	/* nested script interpreters, as in the kernel */

static void found(struct program *p, enum program_kind kind, const char *why)
{
	p->kind = kind;
	snprintf(p->why, sizeof(p->why), "%s", why);
}

static bool read_at(int fd, void *to, size_t bytes, off_t offset)
{
	return pread(fd, to, bytes, offset) == (ssize_t)bytes;
}

/* The path of the program's dynamic loader; false: it is statically linked. */
static bool read_loader(int fd, const Elf64_Ehdr *header, char *path, size_t bytes)
{
	for (int i = 0; i < header->e_phnum; i++) {
		Elf64_Phdr segment;
		off_t at = (off_t)header->e_phoff + i * header->e_phentsize;

		if (!read_at(fd, &segment, sizeof(segment), at))
			return false;
		if (segment.p_type != PT_INTERP)
			continue;
		if (segment.p_filesz >= bytes ||
		    !read_at(fd, path, segment.p_filesz, (off_t)segment.p_offset))
			return false;
		path[segment.p_filesz] = '\0';
		return true;
	}
	return false;
}

static void inspect_loader(const char *loader, struct program *p)
{
	const char *slash = strrchr(loader, '/');

	if (strcmp(slash ? slash + 1 : loader, LOADER_NAME) == 0)
		return;
	p->kind = PROGRAM_UNREACHABLE;
	snprintf(p->why, sizeof(p->why), "linked with another C library than the GNU one (%s)",
		 loader);
}

/* Shells run a file of unknown format if it looks like text. */
static void inspect_text(int fd, struct program *p)
{
	char text[256];
	ssize_t n = pread(fd, text, sizeof(text), 0);
	const char *end = n > 0 ? memchr(text, '\n', (size_t)n) : NULL;

	if (n >= 0 && !memchr(text, '\0', (size_t)(end ? end - text : n)))
		found(p, PROGRAM_SHELL_TEXT, "a script without \"#!\"");
	else
		found(p, PROGRAM_BROKEN, "not a program that this system can run");
}

static void inspect_elf(int fd, struct program *p)
{
	char loader[PATH_MAX];
	Elf64_Ehdr header;

	if (!read_at(fd, header.e_ident, SELFMAG, 0) ||
	    memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
		inspect_text(fd, p);
	else if (!read_at(fd, &header, sizeof(header), 0))
		found(p, PROGRAM_BROKEN, "not a program that this system can run");
	else if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64)
		found(p, PROGRAM_UNREACHABLE,
		      "a program for another architecture; only x86-64 programs can be run");
	else if (!read_loader(fd, &header, loader, sizeof(loader)))
		found(p, PROGRAM_UNREACHABLE,
		      "statically linked; the library cannot be preloaded into it "
		      "(link it dynamically)");
	else
		inspect_loader(loader, p);
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

/* True if the kernel would start it with rights that its caller lacks: then the loader ignores
 * LD_PRELOAD. */
static bool gains_rights(int fd, const struct stat *st)
{
	struct statvfs fs;

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ||
	    (fstatvfs(fd, &fs) == 0 && fs.f_flag & ST_NOSUID))
		return false;
	return (st->st_mode & S_ISUID && st->st_uid != getuid()) ||
	       (st->st_mode & S_ISGID && st->st_mode & S_IXGRP && st->st_gid != getgid()) ||
	       (getuid() && fgetxattr(fd, "security.capability", NULL, 0) > 0);
}

static void inspect(const char *path, int depth, struct program *p)
{
	char interpreter[PATH_MAX];
	struct stat st;
	int fd;

	if (stat(path, &st))
		return found(p, PROGRAM_BROKEN, strerror(errno));
	if (!S_ISREG(st.st_mode) || access(path, X_OK))
		return found(p, PROGRAM_BROKEN, "not an executable file");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	/* An executable need not be readable: assume that it is all right. */
	if (fd < 0)
		return;
	if (script_interpreter(fd, interpreter, sizeof(interpreter))) {
		if (depth == MAX_SCRIPTS)
			found(p, PROGRAM_BROKEN, "scripts as interpreters, nested too deeply");
		else
			inspect(interpreter, depth + 1, p);
	} else if (gains_rights(fd, &st)) {
		found(p, PROGRAM_UNREACHABLE,
		      "set-user-ID, set-group-ID or with capabilities; nothing can be preloaded "
		      "into it");
	} else {
		inspect_elf(fd, p);
	}
	close(fd);
}

void program_inspect(const char *path, struct program *p)
{
	found(p, PROGRAM_FITS, "");
	inspect(path, 0, p);
}

static bool is_executable_file(const char *path)
{
	struct stat st;

	return access(path, X_OK) == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool program_find(const char *name, char *path, size_t bytes)
{
	const char *list = getenv("PATH");

	if (strchr(name, '/'))
		return (size_t)snprintf(path, bytes, "%s", name) < bytes;
	if (!*name)
		return false;
	for (const char *at = list ? list : "/bin:/usr/bin";; at++) {
		size_t n = strcspn(at, ":");

		if ((size_t)snprintf(path, bytes, "%.*s/%s", n ? (int)n : 1, n ? at : ".", name) <
			    bytes && is_executable_file(path))
			return true;
		at += n;
		if (!*at)
			return false;
	}
}
