/* SPDX-License-Identifier: MIT */
/*
 * tool/check.c - umbra check is a separate program, since it contains the MMU on another back end
 * of sync/.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "tool/output.h"
#include "tool/parts.h"
#include "tool/tool.h"

#define NAME "umbra-check"

int check_command(int argc, char **argv)
{
	char path[PATH_MAX];

	(void)argc;
	if (!parts_find_program(NAME, path, sizeof(path))) {
		complain("%s is neither beside this command nor in %s", NAME, UMBRA_LIBEXECDIR);
		return EXIT_CANNOT_RUN;
	}
	execv(path, argv);
	complain("%s: %s", path, strerror(errno));
	return EXIT_CANNOT_RUN;
}
