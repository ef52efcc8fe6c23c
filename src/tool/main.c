/* SPDX-License-Identifier: MIT */
/* tool/main.c - the umbra command. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <umbra/umbra.h>

#include "tool/tool.h"

static const char help[] =
	"Usage: umbra run [OPTION]... [-- PROGRAM [ARG]...]\n"
	"       umbra --help | --version\n"
	"\n"
	"Runs a program written for /dev/kvm on a machine that has no usable one.\n"
	"Without a program, 'umbra run' runs a small guest of its own.\n"
	"'umbra run --help' lists the options.\n";

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
	complain("no such command: %s (try 'umbra --help')", argv[1]);
	return 2;
}
