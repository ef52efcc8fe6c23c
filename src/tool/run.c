/* SPDX-License-Identifier: MIT */
/* tool/run.c - umbra run: options, and the start of the program. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "tool/tool.h"

#define EXIT_USAGE 2
#define EXIT_CANNOT_RUN 126
#define EXIT_NOT_FOUND 127

#define PRELOAD_NAME "libumbra-preload.so"

static const char help[] =
	"Usage: umbra run [OPTION]... [-- PROGRAM [ARG]...]\n"
	"\n"
	"Starts PROGRAM with /dev/kvm provided in software; the exit status is PROGRAM's.\n"
	"Without PROGRAM, runs a guest of its own and checks what becomes of it.\n"
	"\n"
	"  --mmu=tdp|shadow  how guest memory is virtualized: by two-dimensional paging\n"
	"                    (the default), or by shadow paging\n"
	"  --flush=mmu-writable|writable\n"
	"                    which change of a translation owes a TLB flush at once: that\n"
	"                    it ceases to be MMU-writable (the default), or writable\n"
	"  --stats[=FILE]    write every counter as JSON when PROGRAM exits, to FILE or\n"
	"                    to standard error\n"
	"  --log=LEVEL       what to tell on standard error: none, error, warning\n"
	"                    (the default), info or debug\n"
	"  --help            show this text\n"
	"  --version         show the version\n";

static const char *const log_levels[] = {
	[0] = "none", [3] = "error", [4] = "warning", [6] = "info", [7] = "debug",
};

static int parse_log_level(const char *name)
{
	for (int i = 0; i < (int)(sizeof(log_levels) / sizeof(log_levels[0])); i++)
		if (log_levels[i] && strcmp(log_levels[i], name) == 0)
			return i;
	return -1;
}

/* One of two words, or a complaint. */
static bool is_choice(const char *option, const char *value, const char *one, const char *other)
{
	if (strcmp(value, one) == 0 || strcmp(value, other) == 0)
		return true;
	complain("--%s=%s: the choices are %s and %s", option, value, one, other);
	return false;
}

/* The directory part of this executable's path, or "". */
static void own_directory(char *dir, size_t bytes)
{
	ssize_t n = readlink("/proc/self/exe", dir, bytes - 1);
	char *slash;

	dir[n < 0 ? 0 : n] = '\0';
	slash = strrchr(dir, '/');
	if (slash)
		*slash = '\0';
}

/* Beside the command, as built, or where it is installed. */
static bool find_preload(char *path, size_t bytes)
{
	char dir[PATH_MAX];

	own_directory(dir, sizeof(dir));
	if ((size_t)snprintf(path, bytes, "%s/" PRELOAD_NAME, dir) < bytes &&
	    access(path, R_OK) == 0)
		return true;
	return (size_t)snprintf(path, bytes, "%s/" PRELOAD_NAME, UMBRA_LIBDIR) < bytes &&
	       access(path, R_OK) == 0;
}

/* The first @name on PATH, as execvp(3) would find it. */
static bool find_program(const char *name, char *path, size_t bytes)
{
	const char *list = getenv("PATH");

	if (strchr(name, '/'))
		return (size_t)snprintf(path, bytes, "%s", name) < bytes;
	for (const char *at = list ? list : "/bin:/usr/bin"; *at;) {
		size_t n = strcspn(at, ":");

		if ((size_t)snprintf(path, bytes, "%.*s/%s", (int)n, n ? at : ".", name) < bytes &&
		    access(path, X_OK) == 0)
			return true;
		at += n + (at[n] == ':');
	}
	return false;
}

static void set_number(const char *name, int value)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", value);
	setenv(name, text, 1);
}

/* Before what is preloaded already, but after a sanitizer's runtime, which wants
 * to be the first. */
static bool set_preload(const char *library)
{
	const char *old = getenv("LD_PRELOAD");
	char value[3 * PATH_MAX];
	int n = snprintf(value, sizeof(value), "%s%s%s%s%s", UMBRA_SANITIZER_RUNTIME,
			 UMBRA_SANITIZER_RUNTIME[0] ? ":" : "", library, old && *old ? ":" : "",
			 old ? old : "");

	if (n >= (int)sizeof(value))
		return false;
	setenv("LD_PRELOAD", value, 1);
	return true;
}

int run_program(const struct run_options *options, char **argv)
{
	char library[PATH_MAX], program[PATH_MAX];
	const char *problem;

	if (!find_program(argv[0], program, sizeof(program)) || access(program, F_OK)) {
		complain("%s: not found", argv[0]);
		return EXIT_NOT_FOUND;
	}
	problem = elf_problem(program);
	if (problem) {
		complain("%s: %s", argv[0], problem);
		return EXIT_CANNOT_RUN;
	}
	if (!find_preload(library, sizeof(library)) || !set_preload(library)) {
		complain("%s is neither beside this command nor in %s", PRELOAD_NAME,
			 UMBRA_LIBDIR);
		return EXIT_CANNOT_RUN;
	}
	setenv("UMBRA_MMU", options->mmu, 1);
	setenv("UMBRA_FLUSH", options->flush, 1);
	set_number("UMBRA_LOG", options->log_level < 0 ? 4 : options->log_level);
	if (options->stats)
		setenv("UMBRA_STATS", options->stats, 1);
	else
		unsetenv("UMBRA_STATS");

	execv(program, argv);
	complain("%s: %s", argv[0], strerror(errno));
	return EXIT_CANNOT_RUN;
}

/* The file is made now, empty, so that a bad name is told before the program runs. */
static bool prepare_stats_file(const char *file)
{
	char absolute[PATH_MAX];
	FILE *f = fopen(file, "w");

	if (!f || !realpath(file, absolute)) {
		complain("--stats=%s: %s", file, strerror(errno));
		if (f)
			fclose(f);
		return false;
	}
	fclose(f);
	return true;
}

enum { OPTION_MMU = 256, OPTION_FLUSH, OPTION_STATS, OPTION_LOG, OPTION_HELP, OPTION_VERSION };

static const struct option long_options[] = {
	{ "mmu", required_argument, NULL, OPTION_MMU },
	{ "flush", required_argument, NULL, OPTION_FLUSH },
	{ "stats", optional_argument, NULL, OPTION_STATS },
	{ "log", required_argument, NULL, OPTION_LOG },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ 0 },
};

/* -1: run; else the exit status. */
static int parse(int argc, char **argv, struct run_options *options)
{
	static char stats[PATH_MAX];
	int option;

	while ((option = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
		switch (option) {
		case OPTION_MMU:
			if (!is_choice("mmu", optarg, "tdp", "shadow"))
				return EXIT_USAGE;
			options->mmu = optarg;
			break;
		case OPTION_FLUSH:
			if (!is_choice("flush", optarg, "mmu-writable", "writable"))
				return EXIT_USAGE;
			options->flush = optarg;
			break;
		case OPTION_STATS:
			options->stats = "-";
			if (!optarg)
				break;
			if (!prepare_stats_file(optarg) || !realpath(optarg, stats))
				return EXIT_USAGE;
			options->stats = stats;
			break;
		case OPTION_LOG:
			options->log_level = parse_log_level(optarg);
			if (options->log_level >= 0)
				break;
			complain("--log=%s: the levels are none, error, warning, info, debug",
				 optarg);
			return EXIT_USAGE;
		case OPTION_HELP:
			fputs(help, stdout);
			return 0;
		case OPTION_VERSION:
			puts("umbra " UMBRA_VERSION);
			return 0;
		default:
			fputs("Try 'umbra run --help'.\n", stderr);
			return EXIT_USAGE;
		}
	}
	return -1;
}

int run_command(int argc, char **argv)
{
	struct run_options options = { .mmu = "tdp", .flush = "mmu-writable", .log_level = -1 };
	int status = parse(argc, argv, &options);

	if (status >= 0)
		return status;
	if (optind == argc)
		return demo_run(&options);
	return run_program(&options, argv + optind);
}
