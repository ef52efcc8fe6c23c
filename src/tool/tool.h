/* SPDX-License-Identifier: MIT */
/* tool/tool.h - the parts of the umbra command. */
#ifndef TOOL_TOOL_H
#define TOOL_TOOL_H

#include <pthread.h>
#include <stdbool.h>

#include "tool/options.h"

#define EXIT_CANNOT_RUN 126
#define EXIT_NOT_FOUND 127

/* Of `umbra run`, `umbra boot` and `umbra demo`: words of their options' choices, and a file. */
struct run_options {
	const char *mmu;
	const char *flush;
	const char *stats;	/* NULL: none; "-": standard error; else a file */
	const char *log;
};

/* From the environment, or else the defaults; false, after a message, for an unknown value. */
bool run_options_begin(struct run_options *options);
/* An option_fn for them. */
bool run_options_take(void *options, enum option_id id, const char *value);

/* For a guest in this very process: before its VM is made; and after that is destroyed, to
 * write the statistics: false, after a message, if that fails. */
void run_options_apply(const struct run_options *options);
bool run_options_end(const struct run_options *options);
/* Interrupts a thread's KVM_RUN, or another call that it waits in, until it has ended: the
 * thread must have been told to end in another way.  Takes SIGUSR1. */
void vcpu_thread_join(pthread_t thread);

/* Each command's exit status; @argv[0] is its name.  umbra check returns only if
 * umbra-check cannot be executed. */
int run_command(int argc, char **argv);
int boot_command(int argc, char **argv);
int demo_command(int argc, char **argv);
int stress_command(int argc, char **argv);
int check_command(int argc, char **argv);

/* Replaces this process by @argv with the library preloaded.  Returns the exit
 * status only if it could not. */
int launch(const struct run_options *options, char **argv);

/* Arranges for a message if @program runs without the library: passes the library, in the
 * environment, the descriptor to report on.  Call it last before exec. */
void watch_begin(const char *program);
/* It could not be executed. */
void watch_end(void);

#endif
