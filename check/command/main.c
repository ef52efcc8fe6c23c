/* SPDX-License-Identifier: MIT */
#include "check/command/main.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check/command/job.h"
#include "check/command/patched.h"
#include "check/command/report.h"
#include "check/command/result.h"
#include "check/engine/rules.h"
#include "check/generate/scenario.h"
#include "tool/options.h"
#include "tool/output.h"

/* Of the programs that are generated. */
#define GENERATED_BOUND 2

enum what { CHECK, GENERATE, MUTATION, MUTANTS, LIST, REPLAY, MERGE };

static struct {
	enum what what;
	const struct mutation *mutation;
	struct run_id replay;
	const char *only;
	unsigned int modes;	/* bits by enum mmu_mode */
	int bound;		/* -1: the scenario's */
	double seconds;
	bool random;
	uint64_t seed;
	enum memory_model memory;
	unsigned int jobs;
	unsigned int shard, shards;
	bool generate;
	unsigned int size;	/* of generated programs; 0: any */
	const char *json, *html;
	bool all;
} options = {
	.modes = 3,
	.bound = -1,
	.memory = MEMORY_WEAK,
	.shards = 1,
};

static _Noreturn void refuse(const char *what, const char *value)
{
	complain("%s: %s (try 'umbra check --help')", what, value);
	exit(EXIT_USAGE);
}

/* --- what is asked ------------------------------------------------------------- */

static uint64_t number(const char *text, uint64_t most)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (!isdigit((unsigned char)*text) || *end || n > most)
		refuse("not a number that can be used", text);
	return n;
}

static void take_mutation(const char *name, bool rule)
{
	options.what = MUTATION;
	options.mutation = mutation_find(name);
	if (!options.mutation || mutation_is_rule(options.mutation) != rule)
		refuse(rule ? "no such rule (see --list)" : "no such mutant (see --list)", name);
}

static void take_shard(const char *text)
{
	if (sscanf(text, "%u/%u", &options.shard, &options.shards) != 2 || !options.shard ||
	    options.shard > options.shards)
		refuse("a shard is I/N, with I from 1 to N", text);
	options.shard--;
}

static void take_replay(const char *token)
{
	options.what = REPLAY;
	if (!token_parse(token, &options.replay))
		refuse("not a token of this version", token);
}

/* What is done, and to what. */
static bool take_task(enum option_id id, const char *value)
{
	switch (id) {
	case OPTION_WITHOUT:
	case OPTION_MUTANT:
		take_mutation(value, id == OPTION_WITHOUT);
		return true;
	case OPTION_MUTANTS:
		options.what = MUTANTS;
		return true;
	case OPTION_POWER:
		options.what = MUTANTS;
		options.generate = true;
		return true;
	case OPTION_GENERATE:
		if (options.what == CHECK)
			options.what = GENERATE;
		options.generate = true;
		return true;
	case OPTION_LIST:
		options.what = LIST;
		return true;
	case OPTION_REPLAY:
		take_replay(value);
		return true;
	case OPTION_MERGE:
		options.what = MERGE;
		return true;
	default:
		return false;
	}
}

/* How it is shown. */
static bool take_output(enum option_id id, const char *value)
{
	switch (id) {
	case OPTION_JSON:
		options.json = value ? value : "-";
		return true;
	case OPTION_HTML:
		options.html = value;
		return true;
	case OPTION_ALL:
		options.all = true;
		return true;
	default:
		return false;
	}
}

/* The words stand in the order of their choices (tool/commands.c). */
static bool take(void *ctx, enum option_id id, const char *value)
{
	(void)ctx;
	if (take_task(id, value) || take_output(id, value))
		return true;
	switch (id) {
	case OPTION_SIZE:
		options.size = (unsigned int)number(value, 6);
		return true;
	case OPTION_ONLY:
		options.only = value;
		return true;
	case OPTION_MODE:
		options.modes = (unsigned int)options_choice("tdp|shadow|both", value) + 1;
		return true;
	case OPTION_BOUND:
		options.bound = (int)number(value, 14);
		return true;
	case OPTION_SECONDS:
		options.seconds = (double)number(value, 1000000);
		return true;
	case OPTION_RANDOM:
		options.random = true;
		return true;
	case OPTION_SEED:
		options.seed = number(value, UINT64_MAX);
		return true;
	case OPTION_MEMORY:
		options.memory = (enum memory_model)options_choice("sc|tso|weak", value);
		return true;
	case OPTION_JOBS:
		options.jobs = (unsigned int)number(value, 64);
		return true;
	case OPTION_SHARD:
		take_shard(value);
		return true;
	case OPTION_BLIND:
		oracle_is_blind = true;
		return true;
	default:
		return false;
	}
}

/* --- the jobs ------------------------------------------------------------------- */

static bool is_wanted(const char *name)
{
	return !options.only || strstr(name, options.only);
}

static void fill_job(struct job *job, const struct scenario *s, enum mmu_mode mode,
		     const struct mutation *m, unsigned int index)
{
	int bound = options.bound >= 0 ? options.bound :
					 DEFAULT_BOUND + (s && !m ? s->bound : 0);

	job->id = (struct run_id){
		.scenario = s, .mode = mode, .memory = options.memory, .mutation = m,
	};
	job->options = (struct explore_options){
		.bound = (unsigned int)(bound > 0 ? bound : 0),
		.seconds = options.seconds,
		.random = options.random,
		.seed = options.seed + index,
	};
	if (options.random && options.seconds <= 0)
		job->options.seconds = 10;
	if (m && options.seconds <= 0)
		job->options.seconds = 60;
	job->mine = index % options.shards == options.shard;
	job->generate = options.generate;
	job->parts = 1;
	job->modes = options.modes;
	job->size = options.size;
}

static double wall_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Of those that are there, or one that is said in full. */
static const struct scenario *find_scenario(const char *name)
{
	const struct scenario *s = scenario_find(name);

	return s ? s : generated_scenario(name);
}

static unsigned int make_jobs_of(const struct scenario *s, struct job *jobs, unsigned int n)
{
	for (enum mmu_mode mode = MMU_TDP; mode <= MMU_SHADOW; mode++) {
		if (!(options.modes & 1u << mode) || (s->modes && !(s->modes & 1u << mode)))
			continue;
		fill_job(&jobs[n], s, mode, NULL, n);
		n++;
	}
	return n;
}

static unsigned int make_scenario_jobs(struct job *jobs)
{
	const struct scenario *said = options.only ? generated_scenario(options.only) : NULL;
	unsigned int n = 0;

	if (said)
		return make_jobs_of(said, jobs, 0);

	for (unsigned int i = 0; i < n_scenarios; i++)
		if (is_wanted(scenarios[i]->name))
			n = make_jobs_of(scenarios[i], jobs, n);
	return n;
}

static unsigned int make_mutant_jobs(struct job *jobs)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < mutations_count(); i++) {
		if (!is_wanted(mutation_at(i)->name))
			continue;
		fill_job(&jobs[n], NULL, MMU_TDP, mutation_at(i), n);
		n++;
	}
	return n;
}

static FILE *lines;	/* where people look: not where JSON goes */

static const char *mode_name(enum mmu_mode mode)
{
	return mode == MMU_SHADOW ? "shadow" : "tdp";
}

static void scenario_finished(const struct job *job)
{
	const struct exploration *e = &job->e;
	char token[TOKEN_BYTES];

	fprintf(lines, "%-28s %-7s %9llu schedules %9llu states %7.2f s  %s",
		job->id.scenario->name, mode_name(job->id.mode), (unsigned long long)e->runs,
		(unsigned long long)e->states,
		e->seconds, e->failed ? "FAILS" : e->complete ? "complete" : "out of time");
	if (!e->failed) {
		fprintf(lines, " to bound %u\n", e->bound);
		return;
	}
	fprintf(lines, ": %s\n", e->result.sentence);
	token_print(&job->failing, token, sizeof(token));
	fprintf(lines, "    umbra check --replay %s\n", token);
}

static void mutant_finished(const struct job *job)
{
	const struct exploration *e = &job->e;
	const struct mutation *m = job->id.mutation;

	if (!e->failed) {
		fprintf(lines, "%-34s not found in %.1f s: %s\n", m->name, e->seconds,
			job->lost ? "ITS PROCESS HAS FAILED" :
			m->survives ? m->survives :
			job->generate ? "BY HAND IT IS" : "NOBODY KNOWS WHY");
		return;
	}
	fprintf(lines, "%-34s %-28s %-7s %u preemption%s %8llu schedules %6.2f s  %s\n", m->name,
		job->failing.scenario->name, mode_name(job->failing.mode), e->preemptions,
		e->preemptions == 1 ? " " : "s", (unsigned long long)e->runs, e->seconds,
		verdict_name(e->result.verdict));
}

static _Noreturn void cannot_write(const char *file, int err)
{
	complain("%s: %s", file, strerror(-err));
	exit(EXIT_USAGE);
}

static void write_json(const char *what, const struct job *jobs, unsigned int n)
{
	FILE *out = stdout;
	int err;

	if (!options.json)
		return;
	if (strcmp(options.json, "-") && !(out = fopen(options.json, "we")))
		cannot_write(options.json, -errno);
	result_write(out, what, jobs, n, options.shard, options.shards);
	err = out == stdout ? 0 : output_close(out);
	if (err)
		cannot_write(options.json, err);
}

static void write_html(const struct told_run *told, const struct job *jobs, unsigned int n)
{
	int err = options.html ? report_html(options.html, told, jobs, n) : 0;

	if (err)
		cannot_write(options.html, err);
}

static void tell(const struct run_id *id, const struct job *jobs, unsigned int n)
{
	struct told_run told = { 0 };

	report_run(id, &told);
	report_text(lines, &told, options.all);
	write_html(&told, jobs, n);
}

static int check_all(void)
{
	struct job *jobs = jobs_make(2 * n_scenarios);
	unsigned int n = make_scenario_jobs(jobs), n_failed = 0, n_mine = 0, n_complete = 0;
	unsigned int n_done = 0;
	const struct job *first = NULL;
	double start = wall_clock();
	uint64_t runs = 0;

	if (!n)
		refuse("no scenario has this in its name", options.only);
	jobs_run(jobs, n, options.jobs, scenario_finished, output_is_screen(stderr));
	for (unsigned int i = 0; i < n; i++) {
		n_mine += jobs[i].mine;
		if (!jobs[i].mine)
			continue;
		runs += jobs[i].e.runs;
		n_complete += jobs[i].e.complete;
		n_done += jobs[i].done;
		n_failed += jobs[i].e.failed || (!jobs[i].done && !jobs_interrupted());
		if (jobs[i].e.failed && !first)
			first = &jobs[i];
	}
	if (jobs_interrupted())
		fprintf(lines, "interrupted: %u of ", n_done);
	fprintf(lines, "%u explorations, %u complete, %u failed; %llu schedules in %.1f s\n",
		n_mine, n_complete, n_failed, (unsigned long long)runs, wall_clock() - start);
	if (first)
		tell(&first->failing, jobs, n);
	else
		write_html(NULL, jobs, n);
	write_json("default", jobs, n);
	return n_failed != 0;
}

/* A job for each process: none is a scenario's. */
static unsigned int make_generate_jobs(struct job *jobs)
{
	unsigned int n = options.jobs ? options.jobs : 1;

	for (unsigned int i = 0; i < n; i++) {
		fill_job(&jobs[i], NULL, MMU_TDP, NULL, 0);
		if (options.bound < 0)
			jobs[i].options.bound = GENERATED_BOUND;
		if (options.seconds <= 0 && !options.size)
			jobs[i].options.seconds = 60;
		jobs[i].mine = true;
		jobs[i].part = options.shard * n + i;
		jobs[i].parts = options.shards * n;
	}
	return n;
}

static void part_finished(const struct job *job)
{
	(void)job;
}

static void tell_how_to_keep(const struct job *job)
{
	if (!*job->generated)
		return;
	fprintf(lines, "\nTo keep it, in check/scenarios/generated.c:\n\n");
	generated_print(lines, job->generated, job->failing.mode, job->e.result.sentence,
			job->e.preemptions);
}

static int check_generated(void)
{
	struct job *jobs = jobs_make(options.jobs + 1);
	unsigned int n = make_generate_jobs(jobs);
	uint64_t runs = 0, programs = 0, complete = 0;
	const struct job *failed = NULL;
	double start = wall_clock();

	jobs_run(jobs, n, n, part_finished, output_is_screen(stderr));
	for (unsigned int i = 0; i < n; i++) {
		runs += jobs[i].e.runs;
		programs += jobs[i].programs;
		complete += jobs[i].complete;
		if (jobs[i].done && jobs[i].e.failed && !failed)
			failed = &jobs[i];
	}
	fprintf(lines, "%llu generated scenarios, %llu complete to bound %u; %llu schedules in "
		"%.1f s%s\n", (unsigned long long)programs, (unsigned long long)complete,
		jobs[0].options.bound, (unsigned long long)runs, wall_clock() - start,
		jobs_interrupted() ? "; interrupted" : "");
	if (failed) {
		tell(&failed->failing, jobs, 0);
		tell_how_to_keep(failed);
	}
	write_json("generate", jobs, n);
	return failed != NULL;
}

struct tally {
	unsigned int mine, done, found, explained;
	unsigned int of_kind[2], found_of_kind[2];	/* bugs, rules */
	unsigned int by_hand, found_by_hand;	/* that scenarios written by hand find */
	double slowest, seconds;
};

static void count(struct tally *t, const struct job *job)
{
	const struct mutation *m = job->id.mutation;
	bool rule = mutation_is_rule(m), found = job->e.failed;

	if (!job->mine)
		return;
	t->mine++;
	t->done += job->done;
	t->found += found;
	t->of_kind[rule]++;
	t->found_of_kind[rule] += found;
	t->explained += job->done && !job->lost && !found && m->survives;
	t->by_hand += !m->survives;
	t->found_by_hand += !m->survives && found;
	t->seconds += job->e.seconds;
	if (found && job->e.seconds > t->slowest)
		t->slowest = job->e.seconds;
}

static int check_mutants(void)
{
	struct job *jobs = jobs_make(mutations_count());
	unsigned int n = make_mutant_jobs(jobs);
	struct tally t = { 0 };

	if (!n)
		refuse("no rule or mutant has this in its name", options.only);
	jobs_run(jobs, n, options.jobs, mutant_finished, output_is_screen(stderr));
	for (unsigned int i = 0; i < n; i++)
		count(&t, &jobs[i]);
	if (jobs_interrupted())
		fprintf(lines, "interrupted: %u of %u done; ", t.done, t.mine);
	fprintf(lines, "%u of %u rules and %u of %u bugs of the past: ", t.found_of_kind[1],
		t.of_kind[1], t.found_of_kind[0], t.of_kind[0]);
	fprintf(lines, "%u of %u found (the slowest in %.1f s), %u not, for a reason, %u not\n",
		t.found, t.mine, t.slowest, t.explained, t.done - t.found - t.explained);
	if (options.generate)
		fprintf(lines, "by generated scenarios alone %u of the %u that are found by those "
			"written by hand, in %.0f s of processor time\n",
			t.found_by_hand, t.by_hand, t.seconds);
	write_html(NULL, jobs, n);
	write_json("mutants", jobs, n);
	return t.found + t.explained != t.mine;
}

static int check_mutation(void)
{
	struct job *job = jobs_make(1);
	const struct mutation *m = options.mutation;
	const struct scenario *s;
	enum mmu_mode mode;

	s = options.only ? find_scenario(options.only) : NULL;
	mode = MMU_TDP;
	if (options.modes == SHADOW_ONLY || (s && s->modes == SHADOW_ONLY))
		mode = MMU_SHADOW;
	fill_job(job, s, mode, m, 0);
	job->mine = true;
	fprintf(lines, "%s\n    %s%s.\n", m->name, mutation_is_rule(m) ? "switched off: " : "",
		m->sentence);
	if (m->from)
		fprintf(lines, "    %s\n", m->from);
	jobs_run(job, 1, 1, mutant_finished, output_is_screen(stderr));
	write_json("mutants", job, 1);
	if (job->e.failed) {
		tell(&job->failing, job, 1);
		tell_how_to_keep(job);
	}
	return !job->e.failed;
}

static int list_all(void)
{
	puts("Scenarios:");
	for (unsigned int i = 0; i < n_scenarios; i++)
		printf("  %-28s %s\n", scenarios[i]->name, scenarios[i]->about);
	puts("\nRules (--without):");
	for (unsigned int i = 0; i < mutations_count(); i++)
		if (mutation_is_rule(mutation_at(i)))
			printf("  %-34s %s\n", mutation_at(i)->name, mutation_at(i)->sentence);
	puts("\nBugs of the past (--mutant):");
	for (unsigned int i = 0; i < mutations_count(); i++)
		if (!mutation_is_rule(mutation_at(i)))
			printf("  %-34s %s [%s]\n", mutation_at(i)->name, mutation_at(i)->sentence,
			       mutation_at(i)->from);
	return 0;
}

static int replay_one(void)
{
	struct told_run told = { 0 };

	report_run(&options.replay, &told);
	report_text(lines, &told, options.all);
	write_html(&told, NULL, 0);
	return told.result.verdict != VERDICT_HOLDS;
}

static int check(char **argv, int n)
{
	switch (options.what) {
	case CHECK:
		return check_all();
	case GENERATE:
		return check_generated();
	case MUTATION:
		return check_mutation();
	case MUTANTS:
		return check_mutants();
	case LIST:
		return list_all();
	case REPLAY:
		return replay_one();
	case MERGE:
		return result_merge(stdout, argv, n);
	}
	return EXIT_USAGE;
}

static const struct mutation *wanted_mutation(void)
{
	return options.what == MUTATION ? options.mutation :
	       options.what == REPLAY ? options.replay.mutation : NULL;
}

int check_main(int argc, char **argv)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int status;

	output_begin();
	rules_reset();
	options.jobs = cpus > 0 ? (unsigned int)cpus : 1;
	status = options_parse(&command_check, argc, argv, take, NULL);
	if (status >= 0)
		return output_end(status);
	if (optind < argc && options.what != MERGE)
		refuse("what is this", argv[optind]);
	if (patched_is_elsewhere(wanted_mutation()))
		return output_end(patched_become(wanted_mutation(), argv));
	lines = options.json && strcmp(options.json, "-") == 0 ? stderr : stdout;
	status = check(argv + optind, argc - optind);
	return output_end(jobs_interrupted() ? 128 + jobs_interrupted() : status);
}
