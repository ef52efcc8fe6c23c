/* SPDX-License-Identifier: MIT */
#include "tool/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <umbra/umbra.h>

#include "tool/output.h"

#define MAX_OPTIONS 32
#define TEXT_COLUMN 22

const struct option_def options_common[] = {
	{ OPTION_HELP, "help", NULL, NULL, "show this text (-h)" },
	{ OPTION_VERSION, "version", NULL, NULL, "show the version (-V)" },
	{ 0 },
};

/* --- choices ------------------------------------------------------------------- */

int options_choice(const char *choices, const char *value)
{
	size_t bytes = strlen(value);

	for (int i = 0;; i++) {
		size_t n = strcspn(choices, "|");

		if (n == bytes && memcmp(choices, value, n) == 0)
			return i;
		if (!choices[n])
			return -1;
		choices += n + 1;
	}
}

void options_list_choices(const char *choices, char *text, size_t bytes)
{
	size_t used = 0;

	*text = '\0';
	for (const char *between = ""; used < bytes; choices++) {
		size_t n = strcspn(choices, "|");

		used += (size_t)snprintf(text + used, bytes - used, "%s%.*s", between, (int)n,
					 choices);
		choices += n;
		if (!*choices)
			return;
		between = strchr(choices + 1, '|') ? ", " : " and ";
	}
}

static bool is_a_choice(const struct option_def *def, const char *value)
{
	char choices[256];

	if (!def->choices || !value || options_choice(def->choices, value) >= 0)
		return true;
	options_list_choices(def->choices, choices, sizeof(choices));
	complain("--%s=%s: the choices are %s", def->name, value, choices);
	return false;
}

/* --- numbers ----------------------------------------------------------------- */

bool options_number(const char *option, const char *text, uint64_t min, uint64_t max,
		    uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(text, &end, 0);
	if (!errno && *text >= '0' && *text <= '9' && !*end && *number >= min && *number <= max)
		return true;
	complain("--%s=%s: a number from %llu to %llu is needed", option, text,
		 (unsigned long long)min, (unsigned long long)max);
	return false;
}

/* --- help ---------------------------------------------------------------------- */

static void print_usage(const struct command_def *command)
{
	const char *line = command->usage;

	for (const char *head = "Usage:"; *line; head = "      ") {
		size_t n = strcspn(line, "\n");

		printf("%s umbra%s%s%s%.*s\n", head, command->name ? " " : "",
		       command->name ? command->name : "", n ? " " : "", (int)n, line);
		line += n + (line[n] == '\n');
	}
}

static void print_option(const struct option_def *def)
{
	bool optional = def->value && def->value[0] == '[';
	const char *text = def->text;
	int column = printf("  --%s%s%s%s", def->name, optional ? "[=" : def->value ? "=" : "",
			    def->value ? def->value + optional : "", "");

	if (column >= TEXT_COLUMN)
		column = printf("\n") - 1;
	for (; *text; column = 0) {
		size_t n = strcspn(text, "\n");

		printf("%*s%.*s\n", TEXT_COLUMN - column, "", (int)n, text);
		text += n + (text[n] == '\n');
	}
}

static void print_commands(void)
{
	for (const struct command_def *const *c = commands_all; *c; c++)
		printf("  %-7s %s\n", (*c)->name, (*c)->about);
	putchar('\n');
}

static void print_help(const struct command_def *command)
{
	print_usage(command);
	printf("\n%s\n\n", command->text);
	if (!command->name)
		print_commands();
	for (const struct option_def *def = command->options; def->id; def++)
		print_option(def);
	for (const struct option_def *def = options_common; def->id; def++)
		print_option(def);
	if (command->more)
		printf("\n%s\n", command->more);
}

/* --- parsing ------------------------------------------------------------------- */

static int refuse_option(const struct command_def *command, const char *what, const char *argument)
{
	complain("%s: %s (try 'umbra%s%s --help')", argument, what, command->name ? " " : "",
		 command->name ? command->name : "");
	return EXIT_USAGE;
}

static unsigned int add_options(struct option *out, unsigned int n, const struct option_def *def)
{
	for (; def->id && n < MAX_OPTIONS; def++, n++) {
		out[n].name = def->name;
		out[n].has_arg = !def->value		? no_argument :
				 def->value[0] == '['	? optional_argument :
							  required_argument;
		out[n].flag = NULL;
		out[n].val = (int)def->id + 256;
	}
	return n;
}

static const struct option_def *find_option(const struct command_def *command, int option)
{
	for (const struct option_def *def = command->options; def->id; def++)
		if ((int)def->id + 256 == option)
			return def;
	return NULL;
}

/* Reports what getopt_long(3) refused: its own message would start with another name. */
static int explain(const struct command_def *command, int option, char **argv)
{
	const char *argument = argv[optind - 1];
	char letter[3] = { '-', (char)optopt, '\0' };

	if (option == ':')
		return refuse_option(command, "a value is needed", argument);
	if (optopt >= 256)
		return refuse_option(command, "it takes no value", argument);
	return refuse_option(command, "no such option", optopt ? letter : argument);
}

int options_parse(const struct command_def *command, int argc, char **argv, option_fn take,
		  void *ctx)
{
	struct option options[MAX_OPTIONS + 1] = { 0 };
	unsigned int n = add_options(options, 0, command->options);
	int option;

	add_options(options, n, options_common);
	opterr = 0;
	while ((option = getopt_long(argc, argv, command->takes_program ? "+:hV" : ":hV", options,
				     NULL)) != -1) {
		const struct option_def *def = find_option(command, option);

		if (option == 'h' || option == OPTION_HELP + 256) {
			print_help(command);
			return 0;
		}
		if (option == 'V' || option == OPTION_VERSION + 256) {
			puts("umbra " UMBRA_VERSION);
			return 0;
		}
		if (!def)
			return explain(command, option, argv);
		if (!is_a_choice(def, optarg) || !take(ctx, def->id, optarg))
			return EXIT_USAGE;
	}
	if (optind < argc && !command->takes_program && !command->takes_files)
		return refuse_option(command, "what is this?  It takes options only", argv[optind]);
	return -1;
}
