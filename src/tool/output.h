/* SPDX-License-Identifier: MIT */
/* tool/output.h - output of umbra's commands, with errors noticed. */
#ifndef TOOL_OUTPUT_H
#define TOOL_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

#define EXIT_USAGE 2

/* One line to standard error, with "umbra: " before it. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Before anything is opened: a closed standard descriptor must not be reused for another file of
 * ours.  Opens there a file that cannot be written, and that is closed in an executed program.
 */
void output_begin(void);
/* The exit status: @status, or a failure if standard output could not be written. */
int output_end(int status);

/* Closes @out: 0, or a negative errno if not everything was written. */
int output_close(FILE *out);

/* True if lines can be rewritten in place on @out. */
bool output_is_screen(FILE *out);
/* And have colours? */
bool output_has_colour(FILE *out);

#endif
