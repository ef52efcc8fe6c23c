/* SPDX-License-Identifier: MIT */
/* check/command/job.h - explorations, done by several processes. */
#ifndef CHECK_COMMAND_JOB_H
#define CHECK_COMMAND_JOB_H

#include "check/command/token.h"

struct job {
	/* what is asked */
	struct run_id id;		/* .scenario NULL: look for one that fails */
	struct explore_options options;
	bool mine;			/* of this shard */
	bool generate;			/* by generated programs, every so manieth of all */
	unsigned int part, parts, modes, size;
	/* what came of it */
	bool done;
	bool lost;			/* its process has failed */
	struct exploration e;
	struct run_id failing;		/* if e.failed: the shrunk run */
	char generated[SCENARIO_NAME];	/* whose program this is; "": it was written by hand */
	uint64_t programs, complete;	/* generated, and explored */
	/* meanwhile */
	uint64_t runs_so_far;
	unsigned int bound_so_far;
};

/* In memory that the workers share. */
struct job *jobs_make(unsigned int n);

/* Runs those that are mine on @n_workers processes; @finished is called in this one, in
 * the order of the list, for each that is done.  An interrupt ends it before all are. */
void jobs_run(struct job *jobs, unsigned int n, unsigned int n_workers,
	      void (*finished)(const struct job *job), bool show_progress);

/* By which signal; 0: by none. */
int jobs_interrupted(void);

#endif
