/* SPDX-License-Identifier: MIT */
#include "tool/parts.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "tool/self.h"

static bool try(char *path, size_t bytes, int mode, const char *dir, const char *relative,
		const char *name)
{
	return (size_t)snprintf(path, bytes, "%s/%s%s%s", dir, relative, *relative ? "/" : "",
				name) < bytes &&
	       access(path, mode) == 0;
}

static bool find_part(const char *name, const char *relative, const char *absolute, int mode,
		      char *path, size_t bytes)
{
	char dir[PATH_MAX];

	if (self_directory(dir) && (try(path, bytes, mode, dir, "", name) ||
				   try(path, bytes, mode, dir, relative, name)))
		return true;
	return try(path, bytes, mode, absolute, "", name);
}

bool parts_find_library(const char *name, char *path, size_t bytes)
{
	return find_part(name, UMBRA_LIBDIR_FROM_BINDIR, UMBRA_LIBDIR, R_OK, path, bytes);
}

bool parts_find_program(const char *name, char *path, size_t bytes)
{
	return find_part(name, UMBRA_LIBEXECDIR_FROM_BINDIR, UMBRA_LIBEXECDIR, X_OK, path, bytes);
}
