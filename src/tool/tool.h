/* SPDX-License-Identifier: MIT */
/* tool/tool.h - the parts of the umbra command. */
#ifndef TOOL_TOOL_H
#define TOOL_TOOL_H

#include <stdbool.h>

struct run_options {
	const char *mmu;	/* "tdp" or "shadow" */
	const char *flush;	/* "mmu-writable" or "writable" */
	const char *stats;	/* NULL: none; "-": stderr; else a file */
	int log_level;		/* of syslog(3); -1: not given */
};

/* One line to stderr, with the command's name before it. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* umbra run [OPTIONS] [-- PROGRAM [ARG...]]: the exit status. */
int run_command(int argc, char **argv);

/* umbra stress [OPTIONS]: the exit status. */
int stress_command(int argc, char **argv);

/* umbra check [OPTIONS]: returns only if umbra-check cannot be executed. */
int check_command(int argc, char **argv);

/* Replaces this process by @argv with the library preloaded.  Returns the exit
 * status only if it could not. */
int run_program(const struct run_options *options, char **argv);

/* Why @path cannot be run with a preloaded library, or NULL if it can. */
const char *elf_problem(const char *path);

/* The built-in guest.  0 if all held. */
int demo_run(const struct run_options *options);

#endif
