/* SPDX-License-Identifier: MIT */
#include "check/command/result.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tool/output.h"

static const char *mode_name(enum mmu_mode mode)
{
	return mode == MMU_SHADOW ? "shadow" : "tdp";
}

static json_t *failure(const struct job *job)
{
	char token[TOKEN_BYTES];

	token_print(&job->failing, token, sizeof(token));
	return json_pack("{s:s, s:s, s:s, s:s, s:i, s:s}", "verdict",
			 verdict_name(job->e.result.verdict), "sentence", job->e.result.sentence,
			 "scenario", job->failing.scenario->name, "mode",
			 mode_name(job->failing.mode), "preemptions", (int)job->e.preemptions,
			 "token", token);
}

static json_t *one(const struct job *job)
{
	json_t *o = json_pack("{s:I, s:I, s:b, s:i, s:f}", "schedules", (json_int_t)job->e.runs,
			      "states", (json_int_t)job->e.states, "complete",
			      (int)job->e.complete, "bound", (int)job->e.bound, "seconds",
			      job->e.seconds);

	if (job->id.scenario) {
		json_object_set_new(o, "scenario", json_string(job->id.scenario->name));
		json_object_set_new(o, "mode", json_string(mode_name(job->id.mode)));
	}
	if (job->id.mutation) {
		json_object_set_new(o, "mutation", json_string(job->id.mutation->name));
		if (!job->e.failed && job->id.mutation->survives)
			json_object_set_new(o, "reason", json_string(job->id.mutation->survives));
	}
	if (job->generate)
		json_object_set_new(o, "programs", json_integer((json_int_t)job->programs));
	json_object_set_new(o, "failed", json_boolean(job->e.failed));
	if (job->e.failed)
		json_object_set_new(o, "failure", failure(job));
	return o;
}

void result_write(FILE *out, const char *what, const struct job *jobs, unsigned int n,
		  unsigned int shard, unsigned int shards)
{
	json_t *list = json_array(), *all;

	for (unsigned int i = 0; i < n; i++) {
		json_t *o;

		/* What an interrupt has left undone is missing when parts are joined. */
		if (!jobs[i].mine || !jobs[i].done)
			continue;
		o = one(&jobs[i]);
		json_object_set_new(o, "index", json_integer(i));
		json_array_append_new(list, o);
	}
	all = json_pack("{s:s, s:i, s:i, s:i, s:o}", "what", what, "jobs", (int)n, "shard",
			(int)shard, "shards", (int)shards, "results", list);
	json_dumpf(all, out, JSON_INDENT(1));
	fputc('\n', out);
	json_decref(all);
}

/* --- reading ------------------------------------------------------------------- */

static const char *text_of(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static bool read_failure(json_t *f, struct job *job)
{
	struct exploration *e = &job->e;

	for (e->result.verdict = VERDICT_HOLDS; e->result.verdict < VERDICT_WRONG;
	     e->result.verdict++)
		if (strcmp(verdict_name(e->result.verdict), text_of(f, "verdict")) == 0)
			break;
	snprintf(e->result.sentence, sizeof(e->result.sentence), "%s", text_of(f, "sentence"));
	e->preemptions = (unsigned int)json_integer_value(json_object_get(f, "preemptions"));
	return token_parse(text_of(f, "token"), &job->failing);
}

bool result_read(FILE *in, struct job *job)
{
	json_t *all = json_loadf(in, 0, NULL);
	json_t *o = json_array_get(json_object_get(all, "results"), 0);
	struct exploration *e = &job->e;
	bool ok = o != NULL;

	e->runs = (uint64_t)json_integer_value(json_object_get(o, "schedules"));
	job->programs = (uint64_t)json_integer_value(json_object_get(o, "programs"));
	e->states = (uint64_t)json_integer_value(json_object_get(o, "states"));
	e->complete = json_is_true(json_object_get(o, "complete"));
	e->bound = (unsigned int)json_integer_value(json_object_get(o, "bound"));
	e->seconds = json_number_value(json_object_get(o, "seconds"));
	e->failed = json_is_true(json_object_get(o, "failed"));
	if (e->failed)
		ok = e->failed = read_failure(json_object_get(o, "failure"), job);
	json_decref(all);
	return ok;
}

/* --- merging ------------------------------------------------------------------- */

static int index_order(const void *a, const void *b)
{
	json_int_t i = json_integer_value(json_object_get(*(json_t *const *)a, "index"));
	json_int_t k = json_integer_value(json_object_get(*(json_t *const *)b, "index"));

	return (i > k) - (i < k);
}

static void print_merged(FILE *out, json_t *o, bool mutants)
{
	bool failed = json_is_true(json_object_get(o, "failed"));
	json_t *f = json_object_get(o, "failure");

	fprintf(out, "%-34s %-7s %10lld schedules  %s\n",
		text_of(o, mutants ? "mutation" : "scenario"), text_of(failed ? f : o, "mode"),
		(long long)json_integer_value(json_object_get(o, "schedules")),
		failed ? mutants ? text_of(f, "scenario") : text_of(f, "sentence") :
		mutants ? text_of(o, "reason") :
		json_is_true(json_object_get(o, "complete")) ? "complete" : "bounded by time");
	if (failed && !mutants)
		fprintf(out, "    umbra check --replay %s\n", text_of(f, "token"));
}

static bool is_bad(json_t *o, bool mutants)
{
	bool failed = json_is_true(json_object_get(o, "failed"));

	return mutants ? !failed && !*text_of(o, "reason") : failed;
}

int result_merge(FILE *out, char **paths, int n)
{
	json_t *list[4096], *keep = json_array();
	unsigned int n_list = 0, n_bad = 0;
	json_int_t expected = 0;
	bool mutants = false;

	for (int i = 0; i < n; i++) {
		json_error_t error;
		json_t *file = json_load_file(paths[i], 0, &error), *o;
		size_t k;

		if (!file || !json_is_array(json_object_get(file, "results"))) {
			complain("%s: %s", paths[i],
				 file ? "not a result of umbra check" : error.text);
			return EXIT_USAGE;
		}
		json_array_append_new(keep, file);
		expected = json_integer_value(json_object_get(file, "jobs"));
		mutants = strcmp(text_of(file, "what"), "mutants") == 0;
		json_array_foreach(json_object_get(file, "results"), k, o)
			if (n_list < ARRAY_SIZE(list))
				list[n_list++] = o;
	}
	qsort(list, n_list, sizeof(list[0]), index_order);
	for (unsigned int i = 0; i < n_list; i++) {
		print_merged(out, list[i], mutants);
		n_bad += is_bad(list[i], mutants);
	}
	fprintf(out, "%u of %lld done, %u %s\n", n_list, (long long)expected, n_bad,
		mutants ? "not killed" : "failed");
	json_decref(keep);
	return n_bad || n_list != expected;
}
