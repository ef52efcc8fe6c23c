/* SPDX-License-Identifier: MIT */
/*
 * tool/watch.c - notices if the library was not loaded.
 *
 * Not every cause can be seen beforehand (a library that ours needs is missing, the loader is
 * unusual, a security module drops the variable): so the library reports on a socket when it
 * starts.  `umbra run` itself becomes the program, whose process, parent and exit status are then
 * as without it; so a grandchild holds the other end.  It exits once it has the report, which
 * takes a moment, or else with the program.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "preload/program.h"
#include "tool/output.h"
#include "tool/tool.h"

/* A number that programs do not use for their own descriptors. */
#define REPORT_FD 200

/* Keeps nothing open that another process may wait for, except standard error. */
static void keep_only(int fd)
{
	dup2(STDERR_FILENO, STDIN_FILENO);
	dup2(STDERR_FILENO, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO + 1);
	closefrom(STDERR_FILENO + 2);
	if (chdir("/"))
		return;
}

static void wait_for_report(int fd, const char *program)
{
	ssize_t n;
	char word;

	keep_only(fd);
	do
		n = read(STDERR_FILENO + 1, &word, 1);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		complain("%s: the library was not loaded: the program ran without Umbra, or ended "
			 "too soon (is a library missing?)", program);
}

static int report_fd = -1;

static void tell_the_library(int fd)
{
	struct stat st;
	char text[96];

	if (fstat(fd, &st))
		return;
	snprintf(text, sizeof(text), "%d:%llu:%llu", fd, (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	setenv(REPORT_VARIABLE, text, 1);
	report_fd = fd;
}

void watch_begin(const char *program)
{
	int ends[2], report = -1;
	pid_t child;

	unsetenv(REPORT_VARIABLE);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return;
	fflush(NULL);
	child = fork();
	if (child == 0) {
		close(ends[1]);
		if (fork() == 0)
			wait_for_report(ends[0], program);
		_exit(0);
	}
	close(ends[0]);
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	/* The program inherits it; the library closes it. */
	if (child > 0)
		report = fcntl(ends[1], F_DUPFD, REPORT_FD);
	if (child > 0 && report < 0)
		report = fcntl(ends[1], F_DUPFD, STDERR_FILENO + 1);
	close(ends[1]);
	if (report >= 0)
		tell_the_library(report);
}

void watch_end(void)
{
	if (report_fd >= 0)
		send(report_fd, "-", 1, MSG_NOSIGNAL);
}
