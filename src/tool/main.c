/* SPDX-License-Identifier: MIT */
/* tool/main.c - the umbra command. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <umbra/umbra.h>

#include "tool/tool.h"

static const char help[] =
	"Usage: umbra run [OPTION]... [-- PROGRAM [ARG]...]\n"
	"       umbra stress [OPTION]...\n"
	"       umbra check [OPTION]...\n"
	"       umbra --help | --version\n"
	"\n"
	"run     runs a program written for /dev/kvm on a machine that has no usable one;\n"
	"        without a program, a small guest of its own\n"
	"stress  tries the MMU with hostile timing, and checks every access\n"
	"check   runs the MMU's code in every order, and shows what a broken rule breaks\n"
	"\n"
	"'umbra COMMAND --help' lists a command's options.\n";

void complain(const char *format, ...)
{
	va_list args;

	fputs("umbra: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fputs(help, stderr);
		return 2;
	}
	if (strcmp(argv[1], "--help") == 0) {
		fputs(help, stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("umbra " UMBRA_VERSION);
		return 0;
	}
	if (strcmp(argv[1], "run") == 0)
		return run_command(argc - 1, argv + 1);
	if (strcmp(argv[1], "stress") == 0)
		return stress_command(argc - 1, argv + 1);
	if (strcmp(argv[1], "check") == 0)
		return check_command(argc - 1, argv + 1);
	complain("no such command: %s (try 'umbra --help')", argv[1]);
	return 2;
}
