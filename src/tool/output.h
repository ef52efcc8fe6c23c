/* SPDX-License-Identifier: MIT */
/* tool/output.h - what a command of umbra's says, and whether it could be written. */
#ifndef TOOL_OUTPUT_H
#define TOOL_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

#define EXIT_USAGE 2

/* One line to standard error, with "umbra: " before it. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Before anything is opened: a standard descriptor that is closed shall not become
 * something else of ours.  What is put there cannot be written, and is closed again in
 * a program that is executed.
 */
void output_begin(void);
/* The exit status: @status, or a failure if standard output could not be written. */
int output_end(int status);

/* Closes @out: 0, or a negative errno if not all that went there is written. */
int output_close(FILE *out);

/* May lines be rewritten in place on @out? */
bool output_is_screen(FILE *out);
/* And have colours? */
bool output_has_colour(FILE *out);

#endif
