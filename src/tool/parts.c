/* SPDX-License-Identifier: MIT */
#include "tool/parts.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

/* This executable's directory; without /proc derived from argv[0]. */
static bool own_directory(char *dir)
{
	const char *started_as = (const char *)getauxval(AT_EXECFN);
	ssize_t n = readlink("/proc/self/exe", dir, PATH_MAX - 1);
	char *slash;

	if (n > 0)
		dir[n] = '\0';
	else if (!started_as || !realpath(started_as, dir))
		return false;
	slash = strrchr(dir, '/');
	if (!slash)
		return false;
	*slash = '\0';
	return true;
}

static bool try(char *path, size_t bytes, int mode, const char *dir, const char *relative,
		const char *name)
{
	return (size_t)snprintf(path, bytes, "%s/%s%s%s", dir, relative, *relative ? "/" : "",
				name) < bytes &&
	       access(path, mode) == 0;
}

static bool find(const char *name, const char *relative, const char *absolute, int mode,
		 char *path, size_t bytes)
{
	char dir[PATH_MAX];

	if (own_directory(dir) && (try(path, bytes, mode, dir, "", name) ||
				   try(path, bytes, mode, dir, relative, name)))
		return true;
	return try(path, bytes, mode, absolute, "", name);
}

bool parts_find_library(const char *name, char *path, size_t bytes)
{
	return find(name, UMBRA_LIBDIR_FROM_BINDIR, UMBRA_LIBDIR, R_OK, path, bytes);
}

bool parts_find_program(const char *name, char *path, size_t bytes)
{
	return find(name, UMBRA_LIBEXECDIR_FROM_BINDIR, UMBRA_LIBEXECDIR, X_OK, path, bytes);
}
