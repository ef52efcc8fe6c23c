/* SPDX-License-Identifier: MIT */
/* check/command/result.h - results as JSON, and parts of one joined again. */
#ifndef CHECK_COMMAND_RESULT_H
#define CHECK_COMMAND_RESULT_H

#include <stdio.h>

#include "check/command/job.h"

/* "default" or "mutants": what was asked. */
void result_write(FILE *out, const char *what, const struct job *jobs, unsigned int n,
		  unsigned int shard, unsigned int shards);
/* What came of the only job of @in goes to @job.  False: nothing did. */
bool result_read(FILE *in, struct job *job);
/* Joins what the shards have written.  Exit status: 0 if all are there and hold (or are
 * killed), 1 if not, 2 if a file cannot be understood. */
int result_merge(FILE *out, char **paths, int n);

#endif
