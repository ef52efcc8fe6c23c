/* SPDX-License-Identifier: MIT */
/* tool/main.c - the umbra command. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "tool/options.h"
#include "tool/output.h"
#include "tool/tool.h"

static bool take_option(void *ctx, enum option_id id, const char *value)
{
	*(const char **)ctx = value;
	return id == OPTION_COMPLETION;
}

static int execute_command(int argc, char **argv)
{
	const char *name = argv[optind];

	argc -= optind;
	argv += optind;
	optind = 0;	/* getopt(3) begins anew */
	if (strcmp(name, command_run.name) == 0)
		return run_command(argc, argv);
	if (strcmp(name, command_boot.name) == 0)
		return boot_command(argc, argv);
	if (strcmp(name, command_demo.name) == 0)
		return demo_command(argc, argv);
	if (strcmp(name, command_stress.name) == 0)
		return stress_command(argc, argv);
	if (strcmp(name, command_check.name) == 0)
		return check_command(argc, argv);
	complain("no such command: %s (try 'umbra --help')", name);
	return EXIT_USAGE;
}

static int umbra(int argc, char **argv)
{
	const char *shell = NULL;
	int status = options_parse(&command_umbra, argc, argv, take_option, &shell);

	if (status >= 0)
		return status;
	if (shell && strcmp(shell, "bash") == 0)
		complete_bash();
	else if (shell)
		complete_zsh();
	else if (optind < argc)
		return execute_command(argc, argv);
	else
		complain("a command is needed: run, boot, demo, stress or check "
			 "(try 'umbra --help')");
	return shell ? 0 : EXIT_USAGE;
}

int main(int argc, char **argv)
{
	output_begin();
	return output_end(umbra(argc, argv));
}
