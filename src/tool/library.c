/* SPDX-License-Identifier: MIT */
/* tool/library.c - what guests in this very process share: umbra run's options, threads. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "tool/output.h"
#include "tool/tool.h"

static bool write_stats(const char *file)
{
	int fd = strcmp(file, "-") ? open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666) :
				     dup(STDERR_FILENO);
	int err = fd < 0 ? -errno : umbra_stats_write(fd);

	if (fd >= 0)
		close(fd);
	if (err)
		complain("statistics: %s: %s", file, strerror(-err));
	return !err;
}

static void log_line(int level, const char *line)
{
	(void)level;
	complain("%s", line);
}

/* Levels of syslog(3), as the library expects them. */
static int log_level(const char *name)
{
	static const int levels[] = { -1, 3, 4, 6, 7 };
	int choice = options_choice("none|error|warning|info|debug", name);

	return choice < 0 ? name[0] - '0' : levels[choice];
}

void run_options_apply(const struct run_options *options)
{
	umbra_set_log(log_line, log_level(options->log));
	umbra_set_mmu(strcmp(options->mmu, "shadow") ? UMBRA_MMU_TDP : UMBRA_MMU_SHADOW);
	umbra_set_flush_policy(strcmp(options->flush, "writable") ? UMBRA_FLUSH_IF_MMU_WRITABLE :
								    UMBRA_FLUSH_IF_WRITABLE);
}

bool run_options_end(const struct run_options *options)
{
	return !options->stats || write_stats(options->stats);
}

static void do_nothing(int sig)
{
	(void)sig;
}

void vcpu_thread_join(pthread_t thread)
{
	/* Without SA_RESTART: it ends other calls as well. */
	const struct sigaction action = { .sa_handler = do_nothing };
	const struct timespec moment = { .tv_nsec = 1000000 };

	sigaction(SIGUSR1, &action, NULL);
	/* Again, if it was not in a call. */
	while (pthread_tryjoin_np(thread, NULL)) {
		pthread_kill(thread, SIGUSR1);
		nanosleep(&moment, NULL);
	}
}
