/* SPDX-License-Identifier: MIT */
/* tool/complete.c - shell completion, generated from the option tables. */
#include <stdio.h>
#include <string.h>

#include "tool/options.h"

static bool is_file(const struct option_def *def)
{
	return def->value && strstr(def->value, "FILE");
}

static void put_choices(const char *choices, const char *before, const char *after)
{
	fputs(before, stdout);
	for (; *choices; choices++)
		putchar(*choices == '|' ? ' ' : *choices);
	fputs(after, stdout);
}

/* --- bash ------------------------------------------------------------------------- */

/* "--mmu= --list ...": what a word can start with. */
static void bash_words(const struct option_def *def)
{
	for (; def->id; def++) {
		bool optional = def->value && def->value[0] == '[';

		printf(" --%s%s", def->name, def->value && !optional ? "=" : "");
		if (optional)
			printf(" --%s=", def->name);
	}
}

static void bash_values(const struct command_def *command)
{
	for (const struct option_def *def = command->options; def->id; def++) {
		printf("\t%s:--%s)", command->name ? command->name : "", def->name);
		if (def->choices)
			put_choices(def->choices, " words='", "' ;;\n");
		else
			printf(" words=%s ;;\n", is_file(def) ? "@file" : "");
	}
}

static void bash_command(const struct command_def *command)
{
	printf("\t%s) words='", command->name);
	bash_words(command->options);
	bash_words(options_common);
	puts("' ;;");
}

static void bash_first_words(void)
{
	for (const struct command_def *const *c = commands_all; *c; c++)
		printf(" %s", (*c)->name);
	bash_words(command_umbra.options);
	bash_words(options_common);
}

static const char bash_head[] =
	"# bash completion for umbra; made by 'umbra --completion=bash'\n"
	"_umbra()\n"
	"{\n"
	"\tlocal cur=${COMP_WORDS[COMP_CWORD]} command= option= words= i\n"
	"\n"
	"\tCOMPREPLY=()\n"
	"\t[ \"$COMP_CWORD\" -gt 1 ] && [[ ${COMP_WORDS[1]} != -* ]] && command=${COMP_WORDS[1]}\n"
	"\t# What follows the options of 'run' is another's command line.\n"
	"\tif [ \"$command\" = run ]; then\n"
	"\t\tfor ((i = 2; i <= COMP_CWORD; i++)); do\n"
	"\t\t\tcase ${COMP_WORDS[i]} in\n"
	"\t\t\t--) ((i++)) ;;\n"
	"\t\t\t-*|=|'') continue ;;\n"
	"\t\t\t*) [ \"${COMP_WORDS[i-1]}\" = = ] && continue ;;\n"
	"\t\t\tesac\n"
	"\t\t\t[ \"$i\" -le \"$COMP_CWORD\" ] || break\n"
	"\t\t\tif declare -F _command_offset >/dev/null; then\n"
	"\t\t\t\t_command_offset \"$i\"\n"
	"\t\t\telse\n"
	"\t\t\t\tCOMPREPLY=($(compgen -A command -A file -- \"$cur\"))\n"
	"\t\t\tfi\n"
	"\t\t\treturn\n"
	"\t\tdone\n"
	"\tfi\n"
	"\t# \"=\" is a word of its own, unless the user has it otherwise.\n"
	"\tcase $cur in\n"
	"\t--*=*) option=${cur%%=*} cur=${cur#*=} ;;\n"
	"\t=) option=${COMP_WORDS[COMP_CWORD-1]} cur= ;;\n"
	"\t*) [ \"${COMP_WORDS[COMP_CWORD-1]}\" = = ] && option=${COMP_WORDS[COMP_CWORD-2]} ;;\n"
	"\tesac\n"
	"\tif [ -z \"$option\" ]; then\n"
	"\t\tcase $command in\n";

void complete_bash(void)
{
	fputs(bash_head, stdout);
	for (const struct command_def *const *c = commands_all; *c; c++) {
		putchar('\t');
		bash_command(*c);
	}
	fputs("\t\t'') words='", stdout);
	bash_first_words();
	fputs("' ;;\n\t\tesac\n"
	      "\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	      "\t\t[[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n"
	      "\t\treturn\n\tfi\n\tcase $command:$option in\n", stdout);
	bash_values(&command_umbra);
	for (const struct command_def *const *c = commands_all; *c; c++)
		bash_values(*c);
	fputs("\tesac\n"
	      "\tif [ \"$words\" = @file ]; then\n"
	      "\t\tCOMPREPLY=($(compgen -A file -- \"$cur\"))\n"
	      "\telse\n"
	      "\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	      "\tfi\n"
	      "}\n"
	      "complete -F _umbra umbra\n", stdout);
}

/* --- zsh -------------------------------------------------------------------------- */

/* Within single quotes and brackets. */
static void zsh_text(const char *text)
{
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", stdout);
		else if (*text == '\n')
			putchar(' ');
		else if (strchr("[]:\\", *text))
			printf("\\%c", *text);
		else
			putchar(*text);
	}
}

static void zsh_option(const struct option_def *def)
{
	bool optional = def->value && def->value[0] == '[';

	printf(" \\\n\t\t\t'--%s%s[", def->name, !def->value ? "" : optional ? "=-" : "=");
	zsh_text(def->text);
	putchar(']');
	if (def->value)
		fputs(optional ? "::" : ":", stdout);
	if (def->value)
		fputs("value:", stdout);
	if (def->choices)
		put_choices(def->choices, "(", ")");
	else if (is_file(def))
		fputs("_files", stdout);
	putchar('\'');
}

static void zsh_options(const struct command_def *command)
{
	fputs("_arguments", stdout);
	for (const struct option_def *def = command->options; def->id; def++)
		zsh_option(def);
	for (const struct option_def *def = options_common; def->id; def++)
		zsh_option(def);
}

void complete_zsh(void)
{
	fputs("#compdef umbra\n# zsh completion for umbra; made by 'umbra --completion=zsh'\n"
	      "_umbra()\n{\n\tif ((CURRENT == 2)); then\n\t\tlocal -a commands=(", stdout);
	for (const struct command_def *const *c = commands_all; *c; c++) {
		printf("\n\t\t\t'%s:", (*c)->name);
		zsh_text((*c)->about);
		putchar('\'');
	}
	fputs(")\n\t\t_describe command commands\n\t\t", stdout);
	zsh_options(&command_umbra);
	fputs("\n\t\treturn\n\tfi\n\tlocal command=$words[2]\n\twords=(\"${(@)words[2,-1]}\")\n"
	      "\t((CURRENT--))\n\tcase $command in\n", stdout);
	for (const struct command_def *const *c = commands_all; *c; c++) {
		printf("\t%s)\n\t\t", (*c)->name);
		zsh_options(*c);
		fputs((*c)->takes_program ? " \\\n\t\t\t'(-)1:program:_command_names -e'"
					    " \\\n\t\t\t'*::arguments:_normal' ;;\n" : " ;;\n",
		      stdout);
	}
	fputs("\tesac\n}\n_umbra \"$@\"\n", stdout);
}
