/* SPDX-License-Identifier: MIT */
/* tool/run.c - umbra run, and the options that it shares with the guests of umbra itself. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/output.h"
#include "tool/tool.h"

/* --- the environment ------------------------------------------------------------ */

static const char *choices_of(enum option_id id)
{
	for (const struct option_def *def = command_run.options; def->id; def++)
		if (def->id == id)
			return def->choices;
	return NULL;
}

/* Levels may be numbers, too: those of syslog(3), as the library takes them. */
static bool is_level_number(const char *value)
{
	return value[0] >= '0' && value[0] <= '7' && !value[1];
}

static bool from_environment(const char *variable, enum option_id id, const char **option)
{
	const char *value = getenv(variable), *choices = choices_of(id);
	char text[256];

	if (!value || !*value)
		return true;
	*option = value;
	if (options_choice(choices, value) >= 0 || (id == OPTION_LOG && is_level_number(value)))
		return true;
	options_list_choices(choices, text, sizeof(text));
	complain("%s=%s: the choices are %s", variable, value, text);
	return false;
}

bool run_options_begin(struct run_options *options)
{
	const char *stats = getenv("UMBRA_STATS");

	*options = (struct run_options){
		.mmu = "tdp", .flush = "mmu-writable", .log = "warning",
		.stats = stats && *stats ? stats : NULL,
	};
	return from_environment("UMBRA_MMU", OPTION_MMU, &options->mmu) &&
	       from_environment("UMBRA_FLUSH", OPTION_FLUSH, &options->flush) &&
	       from_environment("UMBRA_LOG", OPTION_LOG, &options->log);
}

/* --- options -------------------------------------------------------------------- */

/* The file is created now, empty, so that a bad name is reported before the program runs. */
static const char *prepare_stats_file(const char *file)
{
	static char absolute[PATH_MAX];
	FILE *f;

	if (!file || strcmp(file, "-") == 0)
		return "-";
	f = fopen(file, "we");
	if (!f || !realpath(file, absolute)) {
		complain("--stats=%s: %s", file, strerror(errno));
		if (f)
			fclose(f);
		return NULL;
	}
	fclose(f);
	return absolute;
}

bool run_options_take(void *ctx, enum option_id id, const char *value)
{
	struct run_options *options = ctx;

	if (id == OPTION_MMU)
		options->mmu = value;
	else if (id == OPTION_FLUSH)
		options->flush = value;
	else if (id == OPTION_LOG)
		options->log = value;
	else
		options->stats = prepare_stats_file(value);
	return id != OPTION_STATS || options->stats;
}

int run_command(int argc, char **argv)
{
	struct run_options options;
	int status;

	if (!run_options_begin(&options))
		return EXIT_USAGE;
	status = options_parse(&command_run, argc, argv, run_options_take, &options);
	if (status >= 0)
		return status;
	if (optind < argc)
		return launch(&options, argv + optind);
	complain("run: a program is needed (try 'umbra run --help'; 'umbra demo' runs a guest of "
		 "its own)");
	return EXIT_USAGE;
}
