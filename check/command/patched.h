/* SPDX-License-Identifier: MIT */
/*
 * check/command/patched.h - mutations that no switch expresses.
 *
 * Each is a patch (check/mutants), of which the build makes a shared object with the files
 * that it touches.  Preloaded into the other umbra-check, all of whose functions can be
 * replaced, it is the checker of that mutation and of no other.
 */
#ifndef CHECK_COMMAND_PATCHED_H
#define CHECK_COMMAND_PATCHED_H

#include "check/command/job.h"

/* The patch that this process runs with; "": none. */
extern const char patched_as[];

/* Is @m (NULL: no mutation) for another process to run? */
bool patched_is_elsewhere(const struct mutation *m);

/* Becomes the checker of @m, with these arguments.  Returns only if it cannot: the exit
 * status. */
int patched_become(const struct mutation *m, char **argv);

/* Looks for what kills the job's mutation in a process of its own.  False: it has failed. */
bool patched_run(struct job *job);

#endif
