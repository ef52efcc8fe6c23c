/* SPDX-License-Identifier: MIT */
/*
 * preload/program.h - tests whether a library can be preloaded into a program.
 *
 * Used before it starts: the dynamic loader may ignore LD_PRELOAD silently, and the program would
 * find no /dev/kvm, or the kernel's.  `umbra run` tests its program, and the library each program
 * that its process executes.
 */
#ifndef PRELOAD_PROGRAM_H
#define PRELOAD_PROGRAM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define PRELOAD_NAME "libumbra-preload.so"
/* "FD:DEVICE:INODE" of the socket on which to report that the library is loaded. */
#define REPORT_VARIABLE "UMBRA_REPORT"

enum program_kind {
	PROGRAM_FITS,
	PROGRAM_UNREACHABLE,	/* it runs, but without a preloaded library */
	PROGRAM_SHELL_TEXT,	/* unknown format: shells treat it as a script */
	PROGRAM_BROKEN,		/* it cannot run */
};

struct program {
	enum program_kind kind;
	char why[PATH_MAX + 128];	/* the reason; "" if it can be preloaded */
};

void program_inspect(const char *path, struct program *p);

/* The first @name on PATH, as execvp(3) would find it; a name with a slash is itself. */
bool program_find(const char *name, char *path, size_t bytes);

#endif
