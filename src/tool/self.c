/* SPDX-License-Identifier: MIT */
#include "tool/self.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

/* Without /proc from the name by which it was started. */
bool self_directory(char *dir)
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
