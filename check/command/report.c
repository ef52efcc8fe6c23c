/* SPDX-License-Identifier: MIT */
#include "check/command/report.h"

#include <stdlib.h>
#include <string.h>

#include "check/engine/memory.h"
#include "check/engine/timeline.h"

void report_run(const struct run_id *id, struct told_run *told)
{
	struct program p = run_prepare(id);

	told->id = *id;
	/* Words that one thread alone uses are not worth telling: the first time tells
	 * which those are. */
	memory_forget();
	replay(&p, &id->token, &told->result);
	timeline_on = true;
	replay(&p, &id->token, &told->result);
	if (told->result.verdict != VERDICT_HOLDS && vm)
		machine_show();
	timeline_on = false;
	told->events = timeline_events(&told->n_events);
	told->state = timeline_state();
	mutation_apply(NULL);
}

static unsigned int terminal_columns(void)
{
	const char *columns = getenv("COLUMNS");
	int n = columns ? atoi(columns) : 0;

	return n >= 60 && n <= 400 ? (unsigned int)n : 118;
}

/* How much of @text fits: to the last blank, if there is one. */
static unsigned int fit(const char *text, unsigned int width)
{
	unsigned int n = (unsigned int)strlen(text), at = width;

	if (n <= width)
		return n;
	while (at > width / 2 && text[at] != ' ')
		at--;
	return at > width / 2 ? at : width;
}

static void print_event(FILE *out, const struct event *e, unsigned int width)
{
	const char *rest = e->text;
	bool first = true;

	while (*rest) {
		unsigned int n = fit(rest, width - (first ? 0 : 2));

		if (first)
			fprintf(out, "%6llu ", (unsigned long long)e->tick);
		else
			fprintf(out, "%7s", "");
		for (int t = 0; t < e->thread; t++)
			fprintf(out, "%-*s|", (int)width, "");
		fprintf(out, "%s%.*s\n", first ? "" : "  ", (int)n, rest);
		rest += n;
		while (*rest == ' ')
			rest++;
		first = false;
	}
}

static void print_heads(FILE *out, unsigned int n, unsigned int width, const struct program *p)
{
	fprintf(out, "%6s ", "step");
	for (unsigned int t = 0; t < n; t++)
		fprintf(out, "%-*.*s%s", (int)width, (int)width, p->thread[t].name,
			t + 1 < n ? "|" : "\n");
	fprintf(out, "%7s", "");
	for (unsigned int i = 0; i < n * (width + 1); i++)
		fputc('-', out);
	fputc('\n', out);
}

void report_text(FILE *out, const struct told_run *told, bool all)
{
	const struct program *p = &told->id.scenario->program;
	unsigned int width = (terminal_columns() - 7) / p->n_threads - 1;
	char token[TOKEN_BYTES];
	int last = -2;

	fprintf(out, "\n%s\n\n", told->id.scenario->about);
	print_heads(out, p->n_threads, width, p);
	for (unsigned int i = 0; i < told->n_events; i++) {
		const struct event *e = &told->events[i];

		if (e->thread < 0 || (!all && (e->kind == EVENT_READ || e->kind == EVENT_LOCK)))
			continue;
		/* Where somebody else goes on the eye should stop. */
		if (last >= 0 && e->thread != last)
			fputc('\n', out);
		last = e->thread;
		print_event(out, e, width);
	}
	if (told->result.verdict == VERDICT_HOLDS) {
		fprintf(out, "\nNothing went wrong in this run.\n");
	} else {
		fprintf(out, "\nAt that moment:\n%s\n", told->state);
		fprintf(out, "%s: %s.\n", verdict_name(told->result.verdict),
			told->result.sentence);
	}
	token_print(&told->id, token, sizeof(token));
	fprintf(out, "\numbra check --replay %s\n", token);
}
