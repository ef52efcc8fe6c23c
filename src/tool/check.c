/* SPDX-License-Identifier: MIT */
/*
 * tool/check.c - umbra check: a program of its own, as it contains the MMU on another
 * back end of sync/.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tool/tool.h"

#define NAME "umbra-check"

/* In the folder that this program is in: where both were built. */
static void execute_beside(char **argv)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof(NAME) - 1);
	char *slash;

	if (n <= 0)
		return;
	path[n] = 0;
	slash = strrchr(path, '/');
	if (slash) {
		strcpy(slash + 1, NAME);
		execv(path, argv);
	}
}

int check_command(int argc, char **argv)
{
	(void)argc;
	execute_beside(argv);
	execv(UMBRA_LIBEXECDIR "/" NAME, argv);
	complain("cannot execute %s: %s", NAME, strerror(errno));
	return 126;
}
