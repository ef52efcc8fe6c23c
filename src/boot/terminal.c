/* SPDX-License-Identifier: MIT */
#include "boot/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define CTRL_A 1

static pid_t child;

static void pass_on(int sig)
{
	kill(child, sig);
}

/* Signals that would end us end the child first. */
static void pass_signals(void)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	const struct sigaction action = { .sa_handler = pass_on };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
}

/* Ends as the child did; without a second core dump. */
static void end_as(int status)
{
	const struct rlimit no_core = { 0 };

	if (WIFEXITED(status))
		_exit(WEXITSTATUS(status));
	setrlimit(RLIMIT_CORE, &no_core);
	signal(WTERMSIG(status), SIG_DFL);
	raise(WTERMSIG(status));
	_exit(128 + WTERMSIG(status));
}

void terminal_take(void)
{
	struct termios before, raw;
	pid_t parent = getpid();
	sigset_t all, mask;
	int status;

	if (tcgetattr(STDIN_FILENO, &before))
		return;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &mask);
	child = fork();
	if (child < 0) {
		sigprocmask(SIG_SETMASK, &mask, NULL);
		return;
	}
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(EXIT_FAILURE);
		sigprocmask(SIG_SETMASK, &mask, NULL);
		return;
	}
	pass_signals();
	raw = before;
	cfmakeraw(&raw);
	raw.c_oflag |= OPOST;	/* messages of ours end lines with '\n' alone */
	tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
	end_as(status);
}

bool terminal_filter(struct terminal *t, uint8_t *bytes, size_t *n)
{
	size_t kept = 0;

	for (size_t i = 0; t->is_one && i < *n; i++) {
		if (t->escaped && bytes[i] == 'x')
			return false;
		/* What is no command goes to the guest as it is, but for the first Ctrl-A. */
		if (bytes[i] != CTRL_A || t->escaped)
			bytes[kept++] = bytes[i];
		t->escaped = bytes[i] == CTRL_A && !t->escaped;
	}
	if (t->is_one)
		*n = kept;
	return true;
}
