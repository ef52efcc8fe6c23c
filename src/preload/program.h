/* SPDX-License-Identifier: MIT */
/*
 * preload/program.h - can a library be preloaded into this program?
 *
 * Asked before it starts: the dynamic loader ignores LD_PRELOAD without a word, and the
 * program would look for a /dev/kvm that is not there, or find the kernel's.  `umbra run`
 * asks for its program, and the library for each that its process executes.
 */
#ifndef PRELOAD_PROGRAM_H
#define PRELOAD_PROGRAM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define PRELOAD_NAME "libumbra-preload.so"
/* "FD:DEVICE:INODE" of a socket to whoever wants to know that the library is in. */
#define REPORT_VARIABLE "UMBRA_REPORT"

enum program_kind {
	PROGRAM_FITS,
	PROGRAM_UNREACHABLE,	/* it runs, but without a preloaded library */
	PROGRAM_SHELL_TEXT,	/* no format that the kernel knows: shells take it for a script */
	PROGRAM_BROKEN,		/* it does not run */
};

struct program {
	enum program_kind kind;
	char why[PATH_MAX + 128];	/* what is wrong; "" if it fits */
};

void program_inspect(const char *path, struct program *p);

/* The first @name on PATH, as execvp(3) would find it; a name with a slash is itself. */
bool program_find(const char *name, char *path, size_t bytes);

#endif
