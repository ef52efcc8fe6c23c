/* SPDX-License-Identifier: MIT */
/*
 * tool/options.h - a command's options: one table, used by the parser, --help and shell
 * completion, and compared with the man pages by a test.
 */
#ifndef TOOL_OPTIONS_H
#define TOOL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_id {
	OPTION_END,	/* of a table */
	OPTION_ALL,
	OPTION_APPEND,
	OPTION_BLIND,
	OPTION_BOUND,
	OPTION_COMPLETION,
	OPTION_CPUS,
	OPTION_DISK,
	OPTION_FLUSH,
	OPTION_GENERATE,
	OPTION_HELP,
	OPTION_HTML,
	OPTION_INITRD,
	OPTION_JOBS,
	OPTION_JSON,
	OPTION_KERNEL,
	OPTION_LIST,
	OPTION_LOG,
	OPTION_MEMORY,
	OPTION_MERGE,
	OPTION_MMU,
	OPTION_MODE,
	OPTION_MUTANT,
	OPTION_MUTANTS,
	OPTION_ONLY,
	OPTION_POWER,
	OPTION_RANDOM,
	OPTION_REPLAY,
	OPTION_SECONDS,
	OPTION_SEED,
	OPTION_SHARD,
	OPTION_SIZE,
	OPTION_STATS,
	OPTION_VCPUS,
	OPTION_VERSION,
	OPTION_WITHOUT,
};

struct option_def {
	enum option_id id;
	const char *name;
	const char *value;	/* NULL: it takes none; "[...]": optional */
	const char *choices;	/* "one|other", which are checked; NULL: any */
	const char *text;	/* for --help; lines end in '\n' but for the last */
};

struct command_def {
	const char *name;	/* NULL: umbra itself */
	const char *about;	/* half a line, for a list of commands */
	const char *usage;	/* lines without "umbra", each after a '\n' but for the first */
	const char *text;	/* for --help: what it does */
	const struct option_def *options;
	const char *more;	/* for --help: what comes last; or NULL */
	bool takes_files;	/* takes arguments, and checks them itself */
	bool takes_program;	/* the rest of the line is another's command line */
};

/* The tables: tool/commands.c. */
extern const struct command_def command_umbra, command_run, command_boot, command_demo,
	command_stress, command_check;
/* All but umbra itself, and a NULL. */
extern const struct command_def *const commands_all[];

/* Handles one option; false, after a message, if its value is invalid. */
typedef bool (*option_fn)(void *ctx, enum option_id id, const char *value);

/*
 * Parses the options before the first other argument (of all, if no program follows).  Returns -1
 * if the command should continue, at optind; otherwise the exit status, after --help, --version
 * or an error.
 */
int options_parse(const struct command_def *command, int argc, char **argv, option_fn take,
		  void *ctx);

/* The index of @value in "one|other|..."; -1: not there. */
int options_choice(const char *choices, const char *value);
/* A number in a range; false, after a message that names the option. */
bool options_number(const char *option, const char *text, uint64_t min, uint64_t max,
		    uint64_t *number);
/* "one, other and another", for people. */
void options_list_choices(const char *choices, char *text, size_t bytes);

/* The options of every command, with what this enumerates last: help and version. */
extern const struct option_def options_common[];

/* tool/complete.c: a shell's completion, to standard output. */
void complete_bash(void);
void complete_zsh(void);

#endif
