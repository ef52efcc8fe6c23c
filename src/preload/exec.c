/* SPDX-License-Identifier: MIT */
/*
 * preload/exec.c - calls that start another program, which may not load the library.
 *
 * The call is not changed; but without the library the program will find no /dev/kvm, or the
 * kernel's, so a warning says why.
 *
 * In the child of a vfork(2) this runs in the parent's memory: it allocates nothing.  In the
 * child of a fork(2) locks may be held for ever by threads that no longer exist, the dynamic
 * loader's too: it looks up no symbols once next_begin() has run.
 */
#include "preload/next.h"

#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "preload/program.h"
#include "preload/there.h"
#include "sync/thread.h"

static bool keeps_library(char *const *environment)
{
	static const char variable[] = "LD_PRELOAD=";

	/* A bad pointer is left for the kernel to refuse. */
	for (; environment; environment++) {
		if (!there_is(environment, sizeof(*environment)))
			return true;
		if (!*environment)
			break;
		if (!there_is_string(*environment))
			return true;
		if (strncmp(*environment, variable, sizeof(variable) - 1) == 0)
			return strstr(*environment, PRELOAD_NAME);
	}
	return false;
}

/* Where the call looks for the program. */
enum lookup { AS_NAMED, ON_PATH };

static void inspect(const char *name, char *const *environment, enum lookup lookup)
{
	char path[PATH_MAX];
	struct program p;

	if (lookup == ON_PATH ? !program_find(name, path, sizeof(path)) :
				(size_t)snprintf(path, sizeof(path), "%s", name) >= sizeof(path))
		return;
	program_inspect(path, &p);
	if (p.kind == PROGRAM_UNREACHABLE)
		log_emit(LOG_WARNING, "%s: without Umbra from here on: %s", name, p.why);
	else if (p.kind != PROGRAM_BROKEN && !keeps_library(environment))
		log_emit(LOG_WARNING,
			 "%s: without Umbra from here on: LD_PRELOAD is not in its environment",
			 name);
}

static void before_exec(const char *name, char *const *environment, enum lookup lookup)
{
	thread_sigmask_t mask;
	int saved = errno;
	bool was;

	if (preload_is_off() || !log_has(LOG_WARNING) || !there_is_string(name))
		return;
	mask = thread_hold_signals();
	was = thread_enter_library();
	inspect(name, environment, lookup);
	thread_leave_library(was);
	thread_release_signals(mask);
	errno = saved;
}

EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	before_exec(path, envp, AS_NAMED);
	return NEXT(execve)(path, argv, envp);
}

EXPORT int execv(const char *path, char *const argv[])
{
	before_exec(path, environ, AS_NAMED);
	return NEXT(execv)(path, argv);
}

EXPORT int execvp(const char *file, char *const argv[])
{
	before_exec(file, environ, ON_PATH);
	return NEXT(execvp)(file, argv);
}

EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	before_exec(file, envp, ON_PATH);
	return NEXT(execvpe)(file, argv, envp);
}

EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	before_exec(path, envp, AS_NAMED);
	return NEXT(fexecve)(fd, argv, envp);
}

EXPORT int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
	if (dir == AT_FDCWD || (there_is_string(path) && *path == '/'))
		before_exec(path, envp, AS_NAMED);
	return NEXT(execveat)(dir, path, argv, envp, flags);
}

EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		       const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
	before_exec(path, envp, AS_NAMED);
	return NEXT(posix_spawn)(pid, path, actions, attributes, argv, envp);
}

EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
			const posix_spawnattr_t *attributes, char *const argv[],
			char *const envp[])
{
	before_exec(file, envp, ON_PATH);
	return NEXT(posix_spawnp)(pid, file, actions, attributes, argv, envp);
}

/* --- with the arguments in a list -------------------------------------------------- */

static size_t count(va_list args)
{
	size_t n = 1;
	va_list copy;

	va_copy(copy, args);
	while (va_arg(copy, char *))
		n++;
	va_end(copy);
	return n;
}

/* The arguments, from @first to the NULL, as an array in the caller's frame: a child of vfork(2)
 * has no other place. */
#define COLLECT(argv, args, first)                                  \
	char *argv[count(args) + 1];                                \
                                                                    \
	argv[0] = (char *)(first);                                  \
	for (size_t i_ = 1; (argv[i_] = va_arg(args, char *)); i_++) \
		;

EXPORT int execl(const char *path, const char *first, ...)
{
	va_list args;

	va_start(args, first);
	COLLECT(argv, args, first)
	va_end(args);
	return execv(path, argv);
}

EXPORT int execlp(const char *file, const char *first, ...)
{
	va_list args;

	va_start(args, first);
	COLLECT(argv, args, first)
	va_end(args);
	return execvp(file, argv);
}

EXPORT int execle(const char *path, const char *first, ...)
{
	char *const *environment;
	va_list args;

	va_start(args, first);
	COLLECT(argv, args, first)
	environment = va_arg(args, char *const *);
	va_end(args);
	return execve(path, argv, environment);
}
