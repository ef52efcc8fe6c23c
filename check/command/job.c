/* SPDX-License-Identifier: MIT */
#include "check/command/job.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check/command/patched.h"
#include "check/generate/hunt.h"
#include "check/generate/scenario.h"
#include "tool/output.h"

#define MAX_WORKERS 64

struct job *jobs_make(unsigned int n)
{
	void *p = mmap(NULL, n * sizeof(struct job) + sizeof(uint32_t),
		       PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		complain("no memory for the results: %s", strerror(errno));
		exit(EXIT_USAGE);
	}
	return p;
}

static void note_progress(void *ctx, uint64_t runs, unsigned int bound)
{
	struct job *job = ctx;

	job->runs_so_far = runs;
	job->bound_so_far = bound;
}

/* One scenario; true if it failed. */
static bool explore_one(struct job *job, const struct run_id *id, double seconds)
{
	struct explore_options o = job->options;
	struct program p = run_prepare(id);
	struct exploration e;

	o.seconds = seconds;
	o.progress = note_progress;
	o.progress_ctx = job;
	explore(&p, &o, &e);
	e.runs += job->e.runs;
	e.states += job->e.states;
	e.seconds += job->e.seconds;
	if (e.failed) {
		shrink(&p, &e);
		job->failing = *id;
		job->failing.token = e.token;
	}
	job->e = e;
	return e.failed;
}

static bool is_listed(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = list; at && (at = strstr(at, name)); at += n)
		if ((at == list || at[-1] == ' ') && (!at[n] || at[n] == ' '))
			return true;
	return false;
}

static double time_left(const struct job *job, double start)
{
	double left = job->options.seconds - (explore_now() - start);

	if (job->options.seconds <= 0)
		return 0;
	return left > 0.001 ? left : 0.001;
}

/* Every scenario of the list, or none of it, in both modes, with one bound. */
static bool try_scenarios(struct job *job, bool likely, unsigned int bound, double start)
{
	for (unsigned int i = 0; i < n_scenarios; i++) {
		const struct scenario *s = scenarios[i];

		for (enum mmu_mode mode = MMU_TDP; mode <= MMU_SHADOW; mode++) {
			struct run_id id = job->id;

			if ((s->modes && !(s->modes & 1u << mode)) ||
			    is_listed(job->id.mutation->scenarios, s->name) != likely)
				continue;
			id.scenario = s;
			id.mode = mode;
			job->options.first_bound = job->options.bound = bound;
			if (explore_one(job, &id, time_left(job, start)))
				return true;
		}
	}
	return false;
}

/* The likely scenarios first, and bound by bound: so what kills is found with the fewest
 * preemptions, and soon. */
static void find_killer(struct job *job)
{
	unsigned int most = job->options.bound;
	double start = explore_now();

	for (unsigned int bound = 0; bound <= most; bound++)
		if (try_scenarios(job, true, bound, start))
			return;
	for (unsigned int bound = 0; bound <= 1; bound++)
		if (try_scenarios(job, false, bound, start))
			return;
}

/* --- by generated programs ------------------------------------------------------ */

/* With several jobs for one hunt: what one has found ends the others. */
struct pack {
	struct job *job;
	const struct job *all;
	unsigned int n;
};

static bool others_go_on(void *ctx, const struct hunt *h)
{
	struct pack *p = ctx;

	p->job->runs_so_far = h->runs;
	p->job->bound_so_far = h->bound;
	for (unsigned int i = 0; i < p->n; i++)
		if (p->all[i].id.mutation == p->job->id.mutation &&
		    __atomic_load_n(&p->all[i].e.failed, __ATOMIC_ACQUIRE))
			return false;
	return true;
}

/* An address in this process says nothing to the one that reports. */
static void note_generated(struct job *job)
{
	const struct scenario *s = job->failing.scenario;

	if (job->e.failed && s->generated && !scenario_find(s->name))
		strcpy(job->generated, job->failing.scenario->name);
}

static void recover_generated(struct job *job)
{
	if (*job->generated)
		job->failing.scenario = generated_scenario(job->generated);
}

static void hunt_generated(struct job *job, const struct job *all, unsigned int n)
{
	struct pack pack = { job, all, n };
	struct hunt h = {
		.part = job->part, .parts = job->parts, .size = job->size, .modes = job->modes,
		.memory = job->id.memory, .bound = job->options.bound,
		.seconds = job->options.seconds, .seed = job->options.seed,
		.only_chance = job->options.random, .in_turns = job->id.mutation && !job->size,
		.go_on = others_go_on, .ctx = &pack,
	};
	char text[PROGRAM_BYTES];

	mutation_apply(job->id.mutation);
	/* What is known to survive is hunted all the same, but not for long. */
	if (job->id.mutation && job->id.mutation->survives)
		h.seconds /= 4;
	hunt(&h);
	job->programs = h.programs;
	job->complete = h.complete;
	if (h.failed && program_print(&h.program, text)) {
		job->failing = job->id;
		job->failing.scenario = generated_scenario(text);
		job->failing.mode = h.mode;
		job->failing.token = h.e.token;
	}
	h.e.runs = h.runs;
	h.e.seconds = h.used;
	h.e.complete = h.complete == h.programs && !h.failed;
	job->e = h.e;
}

static void work(struct job *jobs, unsigned int n, uint32_t *next)
{
	for (;;) {
		uint32_t i = __atomic_fetch_add(next, 1, __ATOMIC_SEQ_CST);

		if (i >= n)
			return;
		if (!jobs[i].mine)
			continue;
		if (jobs[i].id.scenario)
			explore_one(&jobs[i], &jobs[i].id, jobs[i].options.seconds);
		else if (patched_is_elsewhere(jobs[i].id.mutation))
			jobs[i].lost = !patched_run(&jobs[i]);
		else if (jobs[i].generate)
			hunt_generated(&jobs[i], jobs, n);
		else
			find_killer(&jobs[i]);
		note_generated(&jobs[i]);
		__atomic_store_n(&jobs[i].done, true, __ATOMIC_RELEASE);
	}
}

static void show(const struct job *jobs, unsigned int n)
{
	unsigned int done = 0, mine = 0;
	const struct job *busy = NULL;
	const char *what;

	for (unsigned int i = 0; i < n; i++) {
		mine += jobs[i].mine;
		done += jobs[i].mine && __atomic_load_n(&jobs[i].done, __ATOMIC_ACQUIRE);
		if (jobs[i].mine && !jobs[i].done && jobs[i].runs_so_far)
			busy = &jobs[i];
	}
	if (!busy)
		return;
	what = busy->id.scenario ? busy->id.scenario->name :
	       busy->id.mutation ? busy->id.mutation->name : "generated scenarios";
	fprintf(stderr, "\r%u of %u; %.40s: %llu schedules, bound %u \033[K", done, mine, what,
		(unsigned long long)busy->runs_so_far, busy->bound_so_far);
}

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
	interrupted = sig;
}

int jobs_interrupted(void)
{
	return interrupted;
}

/* The first signal; whoever sends another means it. */
static void watch_for_interrupts(void)
{
	const struct sigaction action = {
		.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND,
	};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

/* A worker is nothing without whoever asked for its work. */
static void begin_worker(void)
{
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static unsigned int report_finished(struct job *jobs, unsigned int n, unsigned int next,
				    void (*finished)(const struct job *job), bool show_progress)
{
	for (; next < n; next++) {
		if (!jobs[next].mine)
			continue;
		if (!__atomic_load_n(&jobs[next].done, __ATOMIC_ACQUIRE)) {
			if (interrupted)
				continue;
			break;
		}
		if (show_progress)
			fputs("\r\033[K", stderr);
		recover_generated(&jobs[next]);
		finished(&jobs[next]);
		fflush(stdout);
	}
	return next;
}

void jobs_run(struct job *jobs, unsigned int n, unsigned int n_workers,
	      void (*finished)(const struct job *job), bool show_progress)
{
	uint32_t *next = (uint32_t *)(jobs + n);
	unsigned int reported = 0, running = 0, started = 0;
	pid_t workers[MAX_WORKERS];

	fflush(NULL);
	watch_for_interrupts();
	for (unsigned int i = 0; i < n_workers && i < MAX_WORKERS; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			begin_worker();
			work(jobs, n, next);
			_exit(0);
		}
		if (pid > 0)
			workers[started++] = pid;
	}
	running = started;
	if (!running)
		work(jobs, n, next);
	while (running) {
		for (unsigned int i = 0; interrupted && i < started; i++)
			kill(workers[i], SIGKILL);
		while (running && waitpid(-1, NULL, WNOHANG) > 0)
			running--;
		if (interrupted && running)
			continue;
		reported = report_finished(jobs, n, reported, finished, show_progress);
		if (show_progress && running)
			show(jobs, n);
		if (running)
			poll(NULL, 0, 40);
	}
	report_finished(jobs, n, reported, finished, show_progress);
	if (show_progress)
		fputs("\r\033[K", stderr);
}
