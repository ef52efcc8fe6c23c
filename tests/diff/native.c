/* SPDX-License-Identifier: MIT */
/* tests/diff/native.c - has native_child.c run cases. */
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "native.h"

static struct native *shared;
static int memory;
static pid_t child;
static int to_child[2], from_child[2];

/* It lies beside us. */
static void exec_child(void)
{
	char path[PATH_MAX], self[PATH_MAX / 2];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		_exit(1);
	self[n] = 0;
	snprintf(path, sizeof(path), "%s/difftest-native", dirname(self));
	/* First out of the way of the numbers that the child expects. */
	dup2(fcntl(memory, F_DUPFD, 20), NATIVE_MEMORY);
	dup2(fcntl(to_child[0], F_DUPFD, 20), NATIVE_TO);
	dup2(fcntl(from_child[1], F_DUPFD, 20), NATIVE_FROM);
	execl(path, path, NULL);
	perror(path);
	_exit(1);
}

static void start_child(void)
{
	if (pipe2(to_child, O_CLOEXEC) || pipe2(from_child, O_CLOEXEC)) {
		perror("pipe");
		exit(1);
	}
	child = fork();
	if (child < 0) {
		perror("fork");
		exit(1);
	}
	if (!child)
		exec_child();
	close(to_child[0]);
	close(from_child[1]);
}

static void end_child(void)
{
	close(to_child[1]);
	close(from_child[0]);
	waitpid(child, NULL, 0);
}

void native_start(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	/* A child that has died is noticed when it is read from. */
	sigaction(SIGPIPE, &ignore, NULL);
	memory = memfd_create("difftest", 0);
	if (memory < 0 || ftruncate(memory, sizeof(*shared))) {
		perror("memfd");
		exit(1);
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (shared == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	start_child();
}

bool native_run(const struct diff_case *cases, struct diff_state *results, unsigned int n)
{
	char token = 0;

	shared->n = n;
	memcpy(shared->cases, cases, n * sizeof(*cases));
	if (write(to_child[1], &token, 1) != 1 || read(from_child[0], &token, 1) != 1) {
		end_child();
		start_child();
		return false;
	}
	memcpy(results, shared->results, n * sizeof(*results));
	return true;
}

unsigned int native_culprit(void)
{
	return shared->current;
}

void native_stop(void)
{
	end_child();
	munmap(shared, sizeof(*shared));
}
