/* SPDX-License-Identifier: MIT */
/* check/command/report.h - a failing run, told to a person. */
#ifndef CHECK_COMMAND_REPORT_H
#define CHECK_COMMAND_REPORT_H

#include <stdio.h>

#include "check/command/token.h"

/* Makes the run again, with its timeline. */
struct told_run {
	struct run_id id;
	struct run_result result;
	unsigned int preemptions;
	const struct event *events;
	unsigned int n_events;
	const char *state;
};
void report_run(const struct run_id *id, struct told_run *told);

/* In columns for the terminal; @all: reads and locks too. */
void report_text(FILE *out, const struct told_run *told, bool all);
/* As one page; NULL: without a run.  0 or -errno. */
struct job;
int report_html(const char *path, const struct told_run *told, const struct job *jobs,
		unsigned int n_jobs);

#endif
