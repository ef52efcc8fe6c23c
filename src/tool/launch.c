/* SPDX-License-Identifier: MIT */
/* tool/launch.c - the start of a program with the library preloaded. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "preload/program.h"
#include "tool/output.h"
#include "tool/parts.h"
#include "tool/tool.h"

#define SHELL "/bin/sh"
/* What ends a path in LD_PRELOAD, which has no quoting. */
#define SEPARATORS " :"

/* --- a path that LD_PRELOAD can hold --------------------------------------------- */

static uint64_t hash(const char *text)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3ull;
	return h;
}

/* No one else may change its contents: we load code from there. */
static bool make_private_directory(const char *dir)
{
	struct stat st;

	if (mkdir(dir, 0700) && errno != EEXIST)
		return false;
	if (lstat(dir, &st))
		return false;
	errno = EPERM;
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 0022);
}

static bool is_link_to(const char *link, const char *target)
{
	char at[PATH_MAX];
	ssize_t n = readlink(link, at, sizeof(at));

	return n >= 0 && (size_t)n == strlen(target) && memcmp(at, target, (size_t)n) == 0;
}

/*
 * A link to the library, one for each of its paths and each user.  It is not removed: the
 * program's children need it for as long as they start others.
 */
static bool make_link(const char *library, char *link, size_t bytes)
{
	const char *tmp = getenv("TMPDIR");
	char dir[PATH_MAX - sizeof("/" PRELOAD_NAME)];

	if (!tmp || *tmp != '/' || strpbrk(tmp, SEPARATORS))
		tmp = "/tmp";
	if ((size_t)snprintf(dir, sizeof(dir), "%s/umbra-%u-%016llx", tmp,
			     (unsigned int)geteuid(), (unsigned long long)hash(library)) >=
		    sizeof(dir) ||
	    (size_t)snprintf(link, bytes, "%s/%s", dir, PRELOAD_NAME) >= bytes) {
		errno = ENAMETOOLONG;
		return false;
	}
	return make_private_directory(dir) &&
	       (symlink(library, link) == 0 || (errno == EEXIST && is_link_to(link, library)));
}

/* --- the environment -------------------------------------------------------------- */

/* Before what is already preloaded, but after a sanitizer's runtime, which must be first. */
static bool add_to_preload(const char *library)
{
	const char *old = getenv("LD_PRELOAD");
	const char *parts[] = { UMBRA_SANITIZER_RUNTIME, library, old ? old : "" };
	size_t bytes = strlen(parts[0]) + strlen(parts[1]) + strlen(parts[2]) + 3;
	char *value = malloc(bytes);
	bool ok;

	if (!value)
		return false;
	snprintf(value, bytes, "%s%s%s%s%s", parts[0], *parts[0] ? ":" : "", parts[1],
		 *parts[2] ? ":" : "", parts[2]);
	ok = setenv("LD_PRELOAD", value, 1) == 0;
	free(value);
	return ok;
}

static bool preload(void)
{
	char library[PATH_MAX], link[PATH_MAX];

	if (!parts_find_library(PRELOAD_NAME, library, sizeof(library))) {
		complain("%s is neither beside this command nor in %s", PRELOAD_NAME,
			 UMBRA_LIBDIR);
		return false;
	}
	if (strpbrk(library, SEPARATORS)) {
		if (!make_link(library, link, sizeof(link))) {
			complain("%s: LD_PRELOAD cannot hold a path with a blank or a colon, and "
				 "no link to it could be made (%s: %s)",
				 library, link, strerror(errno));
			return false;
		}
		return add_to_preload(link);
	}
	return add_to_preload(library);
}

static bool set_environment(const struct run_options *options)
{
	if (!preload())
		return false;
	setenv("UMBRA_MMU", options->mmu, 1);
	setenv("UMBRA_FLUSH", options->flush, 1);
	setenv("UMBRA_LOG", options->log, 1);
	if (options->stats)
		setenv("UMBRA_STATS", options->stats, 1);
	else
		unsetenv("UMBRA_STATS");
	return true;
}

/* --- the start --------------------------------------------------------------------- */

/* As shells do with a script without "#!". */
static void execute_by_shell(const char *path, char **argv)
{
	size_t n = 0;
	char **with_shell;

	while (argv[n])
		n++;
	with_shell = calloc(n + 2, sizeof(*with_shell));
	if (!with_shell)
		return;
	with_shell[0] = (char *)SHELL;
	with_shell[1] = (char *)path;
	for (size_t i = 1; i < n; i++)
		with_shell[i + 1] = argv[i];
	execv(SHELL, with_shell);
	free(with_shell);
}

int launch(const struct run_options *options, char **argv)
{
	struct program program;
	char path[PATH_MAX];

	if (!program_find(argv[0], path, sizeof(path)) || access(path, F_OK)) {
		complain("%s: not found", *argv[0] ? argv[0] : "''");
		return EXIT_NOT_FOUND;
	}
	program_inspect(path, &program);
	if (program.kind == PROGRAM_UNREACHABLE || program.kind == PROGRAM_BROKEN) {
		complain("%s: %s", argv[0], program.why);
		return EXIT_CANNOT_RUN;
	}
	if (!set_environment(options))
		return EXIT_CANNOT_RUN;
	watch_begin(argv[0]);
	if (program.kind == PROGRAM_SHELL_TEXT)
		execute_by_shell(path, argv);
	else
		execv(path, argv);
	complain("%s: %s", argv[0], strerror(errno));
	watch_end();
	return EXIT_CANNOT_RUN;
}
