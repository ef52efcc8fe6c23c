/* SPDX-License-Identifier: MIT */
#include "check/command/patched.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check/command/result.h"
#include "tool/output.h"
#include "tool/self.h"

#define CANNOT_RUN 126

/* As seen from umbra-check: where they are built, and where they are installed. */
static const char *const folders[] = { "check/mutants", "umbra-mutants" };

bool patched_is_elsewhere(const struct mutation *m)
{
	return m && m->patch && strcmp(m->patch, patched_as);
}

/* The other umbra-check, and the object that makes it the checker of a patch. */
struct patched {
	char program[PATH_MAX], object[PATH_MAX];
};

static bool find(const char *patch, struct patched *p)
{
	char self[PATH_MAX];
	bool known = self_directory(self);

	for (unsigned int i = 0; known && i < ARRAY_SIZE(folders); i++) {
		size_t n = (size_t)snprintf(p->object, PATH_MAX, "%s/%s/%s.so", self, folders[i],
					    patch);
		size_t n_program = (size_t)snprintf(p->program, PATH_MAX, "%s/%s/umbra-check",
						    self, folders[i]);

		if (n < PATH_MAX && n_program < PATH_MAX && access(p->program, X_OK) == 0 &&
		    access(p->object, R_OK) == 0)
			return true;
	}
	complain("%s.so is not where umbra-check has its mutants", patch);
	return false;
}

static void become(const struct patched *p, char **argv)
{
	setenv("LD_PRELOAD", p->object, true);
	execv(p->program, argv);
}

int patched_become(const struct mutation *m, char **argv)
{
	struct patched p;

	if (!find(m->patch, &p))
		return CANNOT_RUN;
	become(&p, argv);
	complain("%s: %s", p.program, strerror(errno));
	return CANNOT_RUN;
}

/* With the arguments by which a user would ask for the job. */
static void become_job(const struct patched *p, const struct job *job)
{
	static const char *const memories[] = {
		[MEMORY_SC] = "sc", [MEMORY_TSO] = "tso", [MEMORY_WEAK] = "weak",
	};
	const struct mutation *m = job->id.mutation;
	const struct explore_options *o = &job->options;
	char name[100], bound[40], seconds[40], seed[40], memory[40];
	char *argv[12] = { "umbra check", name, bound, seconds, seed, memory, "--json" };
	unsigned int n = 7;

	snprintf(name, sizeof(name), "--%s=%s", mutation_is_rule(m) ? "without" : "mutant",
		 m->name);
	snprintf(bound, sizeof(bound), "--bound=%u", o->bound);
	snprintf(seconds, sizeof(seconds), "--seconds=%.0f", o->seconds);
	snprintf(seed, sizeof(seed), "--seed=%llu", (unsigned long long)o->seed);
	snprintf(memory, sizeof(memory), "--memory=%s", memories[job->id.memory]);
	if (o->random)
		argv[n++] = "--random";
	if (job->generate)
		argv[n++] = "--generate";
	if (oracle_is_blind)
		argv[n++] = "--blind";
	become(p, argv);
}

/* The run that it shows on standard error is of no interest. */
static _Noreturn void run_child(const struct patched *p, const struct job *job, int out)
{
	int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

	dup2(out, STDOUT_FILENO);
	dup2(nowhere, STDERR_FILENO);
	become_job(p, job);
	_exit(CANNOT_RUN);
}

bool patched_run(struct job *job)
{
	struct patched p;
	bool ok = false;
	int pipes[2];
	FILE *in;
	pid_t pid;

	if (!find(job->id.mutation->patch, &p) || pipe2(pipes, O_CLOEXEC))
		return false;
	pid = fork();
	if (pid == 0)
		run_child(&p, job, pipes[1]);
	close(pipes[1]);
	in = fdopen(pipes[0], "r");
	if (pid > 0) {
		ok = in && result_read(in, job);
		waitpid(pid, NULL, 0);
	}
	if (in)
		fclose(in);
	return ok;
}
