/* SPDX-License-Identifier: MIT */
/* check/main.c - umbra-check, which `umbra check` executes. */
#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check/job.h"
#include "check/report.h"
#include "check/result.h"
#include "check/rules.h"

static const char help[] =
	"Usage: umbra check [OPTION]...\n"
	"       umbra check --without=RULE | --mutant=NAME [OPTION]...\n"
	"       umbra check --mutants | --list | --replay=TOKEN | --merge FILE...\n"
	"\n"
	"Runs the MMU's own code in every order that its threads can take, up to a number of\n"
	"preemptions, and looks whether a guest could see what it must not.\n"
	"\n"
	"  --without=RULE    switch a coherence rule off and show what breaks\n"
	"  --mutant=NAME     the same for a bug of the past\n"
	"  --mutants         all rules and bugs: which are found, by what, how fast\n"
	"  --list            name scenarios, rules and mutants\n"
	"  --replay=TOKEN    make one run again and show it\n"
	"  --only=TEXT       scenarios (or mutants) with TEXT in their names\n"
	"  --mode=MODE       tdp, shadow or both (the default)\n"
	"  --bound=N         preemptions at most; the default depends on the scenario\n"
	"  --seconds=N       for each scenario or mutant at most\n"
	"  --random          by chance instead of in order\n"
	"  --seed=N          where chance begins\n"
	"  --memory=MODEL    sc, tso or weak (the default)\n"
	"  --jobs=N          processes\n"
	"  --shard=I/N       only the I-th of N parts\n"
	"  --merge           join what --shard and --json have written\n"
	"  --json[=FILE]     results as JSON\n"
	"  --html=FILE       results, or the failing run, as a page\n"
	"  --all             show reads and locks in a run, too\n"
	"  --blind           without the oracles: nothing must be found\n"
	"  --help            show this text\n"
	"\n"
	"Exits with 0 if all holds (or, with --mutants, if all are found), 1 if not.\n";

enum what { CHECK, MUTATION, MUTANTS, LIST, REPLAY, MERGE };

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
	fprintf(stderr, "umbra check: %s: %s\nTry 'umbra check --help'.\n", what, value);
	exit(2);
}

/* --- what is asked ------------------------------------------------------------- */

enum {
	OPT_WITHOUT = 256, OPT_MUTANT, OPT_MUTANTS, OPT_LIST, OPT_REPLAY, OPT_ONLY, OPT_MODE,
	OPT_BOUND, OPT_SECONDS, OPT_RANDOM, OPT_SEED, OPT_MEMORY, OPT_JOBS, OPT_SHARD, OPT_MERGE,
	OPT_JSON, OPT_HTML, OPT_ALL, OPT_BLIND, OPT_HELP,
};

static const struct option long_options[] = {
	{ "without", required_argument, NULL, OPT_WITHOUT },
	{ "mutant", required_argument, NULL, OPT_MUTANT },
	{ "mutants", no_argument, NULL, OPT_MUTANTS },
	{ "list", no_argument, NULL, OPT_LIST },
	{ "replay", required_argument, NULL, OPT_REPLAY },
	{ "only", required_argument, NULL, OPT_ONLY },
	{ "mode", required_argument, NULL, OPT_MODE },
	{ "bound", required_argument, NULL, OPT_BOUND },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "random", no_argument, NULL, OPT_RANDOM },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "jobs", required_argument, NULL, OPT_JOBS },
	{ "shard", required_argument, NULL, OPT_SHARD },
	{ "merge", no_argument, NULL, OPT_MERGE },
	{ "json", optional_argument, NULL, OPT_JSON },
	{ "html", required_argument, NULL, OPT_HTML },
	{ "all", no_argument, NULL, OPT_ALL },
	{ "blind", no_argument, NULL, OPT_BLIND },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

static uint64_t number(const char *text, uint64_t most)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (!isdigit((unsigned char)*text) || *end || n > most)
		refuse("not a number that can be used", text);
	return n;
}

static unsigned int one_of(const char *text, const char *const *names, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (strcmp(text, names[i]) == 0)
			return i;
	refuse("unknown", text);
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

static void take_option(int option, const char *value)
{
	static const char *const modes[] = { "tdp", "shadow", "both" };
	static const char *const memories[] = { "sc", "tso", "weak" };

	switch (option) {
	case OPT_WITHOUT:
	case OPT_MUTANT:
		take_mutation(value, option == OPT_WITHOUT);
		break;
	case OPT_MUTANTS:
		options.what = MUTANTS;
		break;
	case OPT_LIST:
		options.what = LIST;
		break;
	case OPT_REPLAY:
		options.what = REPLAY;
		if (!token_parse(value, &options.replay))
			refuse("not a token of this version", value);
		break;
	case OPT_ONLY:
		options.only = value;
		break;
	case OPT_MODE:
		options.modes = one_of(value, modes, ARRAY_SIZE(modes)) + 1;
		break;
	case OPT_BOUND:
		options.bound = (int)number(value, 14);
		break;
	case OPT_SECONDS:
		options.seconds = (double)number(value, 1000000);
		break;
	case OPT_RANDOM:
		options.random = true;
		break;
	case OPT_SEED:
		options.seed = number(value, UINT64_MAX);
		break;
	case OPT_MEMORY:
		options.memory = (enum memory_model)one_of(value, memories, ARRAY_SIZE(memories));
		break;
	case OPT_JOBS:
		options.jobs = (unsigned int)number(value, 64);
		break;
	case OPT_SHARD:
		take_shard(value);
		break;
	case OPT_MERGE:
		options.what = MERGE;
		break;
	case OPT_JSON:
		options.json = value ? value : "-";
		break;
	case OPT_HTML:
		options.html = value;
		break;
	case OPT_ALL:
		options.all = true;
		break;
	case OPT_BLIND:
		oracle_is_blind = true;
		break;
	case OPT_HELP:
		fputs(help, stdout);
		exit(0);
	default:
		fputs("Try 'umbra check --help'.\n", stderr);
		exit(2);
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
}

static double wall_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static unsigned int make_scenario_jobs(struct job *jobs)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < n_scenarios; i++) {
		const struct scenario *s = scenarios[i];

		for (enum mmu_mode mode = MMU_TDP; mode <= MMU_SHADOW; mode++) {
			if (!is_wanted(s->name) || !(options.modes & 1u << mode) ||
			    (s->modes && !(s->modes & 1u << mode)))
				continue;
			fill_job(&jobs[n], s, mode, NULL, n);
			n++;
		}
	}
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
			m->survives ? m->survives : "NOBODY KNOWS WHY");
		return;
	}
	fprintf(lines, "%-34s %-28s %-7s %u preemption%s %8llu schedules %6.2f s  %s\n", m->name,
		job->failing.scenario->name, mode_name(job->failing.mode), e->preemptions,
		e->preemptions == 1 ? " " : "s", (unsigned long long)e->runs, e->seconds,
		verdict_name(e->result.verdict));
}

static void write_json(const char *what, const struct job *jobs, unsigned int n)
{
	FILE *out = stdout;

	if (!options.json)
		return;
	if (strcmp(options.json, "-") && !(out = fopen(options.json, "w"))) {
		perror(options.json);
		exit(2);
	}
	result_write(out, what, jobs, n, options.shard, options.shards);
	if (out != stdout)
		fclose(out);
}

static void write_html(const struct told_run *told, const struct job *jobs, unsigned int n)
{
	int err = options.html ? report_html(options.html, told, jobs, n) : 0;

	if (err) {
		fprintf(stderr, "umbra check: %s: %s\n", options.html, strerror(-err));
		exit(2);
	}
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
	const struct job *first = NULL;
	double start = wall_clock();
	uint64_t runs = 0;

	if (!n)
		refuse("no scenario has this in its name", options.only);
	jobs_run(jobs, n, options.jobs, scenario_finished, isatty(2));
	for (unsigned int i = 0; i < n; i++) {
		n_mine += jobs[i].mine;
		if (!jobs[i].mine)
			continue;
		runs += jobs[i].e.runs;
		n_complete += jobs[i].e.complete;
		n_failed += jobs[i].e.failed || !jobs[i].done;
		if (jobs[i].e.failed && !first)
			first = &jobs[i];
	}
	fprintf(lines, "%u explorations, %u complete, %u failed; %llu schedules in %.1f s\n",
		n_mine, n_complete, n_failed, (unsigned long long)runs, wall_clock() - start);
	if (first)
		tell(&first->failing, jobs, n);
	else
		write_html(NULL, jobs, n);
	write_json("default", jobs, n);
	return n_failed != 0;
}

static int check_mutants(void)
{
	struct job *jobs = jobs_make(mutations_count());
	unsigned int n = make_mutant_jobs(jobs), found = 0, explained = 0, mine = 0;
	unsigned int of_kind[2] = { 0 }, found_of_kind[2] = { 0 };
	double slowest = 0;

	if (!n)
		refuse("no rule or mutant has this in its name", options.only);
	jobs_run(jobs, n, options.jobs, mutant_finished, isatty(2));
	for (unsigned int i = 0; i < n; i++) {
		const struct exploration *e = &jobs[i].e;

		bool is_rule = mutation_is_rule(jobs[i].id.mutation);

		mine += jobs[i].mine;
		of_kind[is_rule] += jobs[i].mine;
		found += jobs[i].mine && e->failed;
		found_of_kind[is_rule] += jobs[i].mine && e->failed;
		explained += jobs[i].mine && !e->failed && jobs[i].id.mutation->survives;
		if (e->failed && e->seconds > slowest)
			slowest = e->seconds;
	}
	fprintf(lines, "%u of %u rules and %u of %u bugs of the past: ", found_of_kind[1],
		of_kind[1], found_of_kind[0], of_kind[0]);
	fprintf(lines, "%u of %u found (the slowest in %.1f s), %u not, for a reason, %u not\n",
		found, mine, slowest, explained, mine - found - explained);
	write_html(NULL, jobs, n);
	write_json("mutants", jobs, n);
	return found + explained != mine;
}

static int check_mutation(void)
{
	struct job *job = jobs_make(1);
	const struct mutation *m = options.mutation;
	const struct scenario *s;
	enum mmu_mode mode;

	s = options.only ? scenario_find(options.only) : NULL;
	mode = MMU_TDP;
	if (options.modes == SHADOW_ONLY || (s && s->modes == SHADOW_ONLY))
		mode = MMU_SHADOW;
	fill_job(job, s, mode, m, 0);
	job->mine = true;
	fprintf(lines, "%s\n    %s%s.\n", m->name, mutation_is_rule(m) ? "switched off: " : "",
		m->sentence);
	if (m->from)
		fprintf(lines, "    %s\n", m->from);
	jobs_run(job, 1, 1, mutant_finished, isatty(2));
	write_json("mutants", job, 1);
	if (job->e.failed)
		tell(&job->failing, job, 1);
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

int main(int argc, char **argv)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int option;

	rules_reset();
	options.jobs = cpus > 0 ? (unsigned int)cpus : 1;
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		take_option(option, optarg);
	if (optind < argc && options.what != MERGE)
		refuse("what is this", argv[optind]);
	lines = options.json && strcmp(options.json, "-") == 0 ? stderr : stdout;

	switch (options.what) {
	case CHECK:
		return check_all();
	case MUTATION:
		return check_mutation();
	case MUTANTS:
		return check_mutants();
	case LIST:
		return list_all();
	case REPLAY:
		return replay_one();
	case MERGE:
		return result_merge(stdout, argv + optind, argc - optind);
	}
	return 2;
}
