/* SPDX-License-Identifier: MIT */
/* check/command/html.c - a run, or the results of many, as one page without anything outside it. */
#include <errno.h>
#include <string.h>

#include "check/command/job.h"
#include "check/command/report.h"
#include "check/engine/timeline.h"
#include "tool/output.h"

static const char style[] =
	"<style>\n"
	":root{--paper:#fbfaf7;--ink:#22252b;--soft:#6d7380;--line:#dedad0;--card:#fff;"
	"--note:#1f5fa8;--word:#8a5a00;--bad:#b3261e;--good:#2a7a3f}\n"
	"@media(prefers-color-scheme:dark){:root{--paper:#15171c;--ink:#e4e4e0;--soft:#9299a6;"
	"--line:#30343d;--card:#1d2027;--note:#8ab8f2;--word:#e0b060;--bad:#ff8a80;"
	"--good:#86d39a}}\n"
	"body{margin:0;background:var(--paper);color:var(--ink);"
	"font:15px/1.5 system-ui,sans-serif}\n"
	"main{max-width:1280px;margin:0 auto;padding:2rem 1.25rem 5rem}\n"
	"h1{font-size:1.6rem;margin:0 0 .2rem}h2{font-size:1.1rem;margin:2.2rem 0 .6rem}\n"
	".about{color:var(--soft);margin:0 0 1rem}\n"
	".verdict{border-left:5px solid var(--bad);background:var(--card);padding:.8rem 1rem;"
	"border-radius:4px;font-size:1.05rem}\n"
	".verdict b{color:var(--bad)}.holds{border-color:var(--good)}\n"
	"table{border-collapse:collapse;width:100%}\n"
	".run{table-layout:fixed;background:var(--card)}\n"
	".run th{position:sticky;top:0;background:var(--card);text-align:left;padding:.5rem .6rem;"
	"border-bottom:2px solid var(--line);z-index:1}\n"
	".run td{vertical-align:top;padding:.12rem .6rem;border-left:1px solid var(--line);"
	"font:12.5px/1.45 ui-monospace,monospace;overflow-wrap:anywhere}\n"
	".run td:first-child,.run th:first-child{width:4.2rem;color:var(--soft);border-left:0;"
	"text-align:right;font-weight:normal}\n"
	".run tr:hover td{background:color-mix(in srgb,var(--note) 9%,transparent)}\n"
	".turn td{border-top:1px solid var(--line);padding-top:.45rem}\n"
	".note{color:var(--note)}.word{color:var(--word)}.read,.lock{color:var(--soft)}\n"
	".end td{background:color-mix(in srgb,var(--bad) 14%,transparent)}\n"
	"body:not(.details) .fine{display:none}\n"
	"pre{background:var(--card);padding:.8rem 1rem;border-radius:4px;overflow-x:auto;"
	"border:1px solid var(--line);font:12.5px/1.5 ui-monospace,monospace;white-space:pre-wrap;"
	"overflow-wrap:anywhere}\n"
	".list td,.list th{padding:.3rem .6rem;border-bottom:1px solid var(--line);"
	"text-align:left}\n"
	".list td.n{text-align:right;font-variant-numeric:tabular-nums}\n"
	".ok{color:var(--good)}.bad{color:var(--bad)}\n"
	"label{cursor:pointer}\n"
	"</style>\n";

static void put(FILE *out, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '&':
			fputs("&amp;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		default:
			fputc(*text, out);
		}
	}
}

static bool is_fine(const struct event *e)
{
	return e->kind == EVENT_READ || e->kind == EVENT_LOCK;
}

static void put_events(FILE *out, const struct told_run *told)
{
	static const char *const kinds[] = { "note", "word", "read", "lock", "note" };
	unsigned int n = told->id.scenario->program.n_threads;
	int last = -1;

	for (unsigned int i = 0; i < told->n_events; i++) {
		const struct event *e = &told->events[i];
		bool end = i + 1 == told->n_events && told->result.verdict != VERDICT_HOLDS;

		if (e->thread < 0)
			continue;
		fprintf(out, "<tr class=\"%s%s%s\"><td>%llu</td>", e->thread != last ? "turn " : "",
			is_fine(e) && !end ? "fine " : "", end ? "end" : "",
			(unsigned long long)e->tick);
		for (unsigned int t = 0; t < n; t++) {
			fprintf(out, "<td class=\"%s\">",
				(int)t == e->thread ? kinds[e->kind] : "");
			if ((int)t == e->thread)
				put(out, e->text);
			fputs("</td>", out);
		}
		fputs("</tr>\n", out);
		last = e->thread;
	}
}

static void put_run(FILE *out, const struct told_run *told)
{
	const struct scenario *s = told->id.scenario;
	const struct mutation *m = told->id.mutation;
	bool holds = told->result.verdict == VERDICT_HOLDS;
	char token[TOKEN_BYTES];

	fprintf(out, "<h1>%s%s%s</h1>\n<p class=\"about\">", s->name,
		m ? mutation_is_rule(m) ? " without " : " with " : "", m ? m->name : "");
	put(out, s->about);
	if (m) {
		fputs(". ", out);
		fputs(mutation_is_rule(m) ? "The rule: " : "The bug: ", out);
		put(out, m->sentence);
	}
	fprintf(out, ".</p>\n<p class=\"verdict%s\"><b>%s</b> ", holds ? " holds" : "",
		holds ? "Nothing went wrong." : verdict_name(told->result.verdict));
	put(out, told->result.sentence);
	fputs("</p>\n<h2>What happened</h2>\n<p><label><input type=\"checkbox\" id=\"details\"> "
	      "show every read and lock</label></p>\n<table class=\"run\"><thead><tr><th>step</th>",
	      out);
	for (unsigned int t = 0; t < s->program.n_threads; t++) {
		fputs("<th>", out);
		put(out, s->program.thread[t].name);
		fputs("</th>", out);
	}
	fputs("</tr></thead><tbody>\n", out);
	put_events(out, told);
	fputs("</tbody></table>\n", out);
	if (!holds) {
		fputs("<h2>What TLBs, tables and the debt held then</h2>\n<pre>", out);
		put(out, told->state);
		fputs("</pre>\n", out);
	}
	token_print(&told->id, token, sizeof(token));
	fputs("<h2>The same run again</h2>\n<pre>umbra check --replay ", out);
	put(out, token);
	fputs("</pre>\n<script>document.getElementById('details').onchange=function(e){"
	      "document.body.classList.toggle('details',e.target.checked)}</script>\n", out);
}

static void put_jobs(FILE *out, const struct job *jobs, unsigned int n)
{
	fprintf(out, "<h2>%s</h2>\n<table class=\"list\"><thead><tr><th>name</th><th>mode</th>"
		"<th>schedules</th><th>states</th><th>seconds</th><th>result</th></tr></thead>"
		"<tbody>\n", jobs[0].id.scenario ? "Scenarios" : "Rules and bugs");
	for (unsigned int i = 0; i < n; i++) {
		const struct job *j = &jobs[i];
		const struct run_id *id = j->e.failed ? &j->failing : &j->id;
		bool good = j->id.scenario ? !j->e.failed : j->e.failed;

		if (!j->mine)
			continue;
		fprintf(out, "<tr><td>%s</td><td>%s</td><td class=\"n\">%llu</td>"
			"<td class=\"n\">%llu</td><td class=\"n\">%.2f</td><td class=\"%s\">",
			j->id.scenario ? j->id.scenario->name : j->id.mutation->name,
			id->mode == MMU_SHADOW ? "shadow" : "tdp", (unsigned long long)j->e.runs,
			(unsigned long long)j->e.states, j->e.seconds, good ? "ok" : "bad");
		if (j->id.scenario && !j->e.failed)
			fprintf(out, "%s bound %u", j->e.complete ? "complete to" : "bounded in",
				j->e.bound);
		else if (j->e.failed)
			put(out, j->id.scenario ? j->e.result.sentence : id->scenario->name);
		else
			put(out, j->id.mutation->survives ? j->id.mutation->survives : "not found");
		fputs("</td></tr>\n", out);
	}
	fputs("</tbody></table>\n", out);
}

int report_html(const char *path, const struct told_run *told, const struct job *jobs,
		unsigned int n_jobs)
{
	FILE *out = fopen(path, "w");

	if (!out)
		return -errno;
	fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>umbra check", out);
	if (told)
		fprintf(out, ": %s", told->id.scenario->name);
	fprintf(out, "</title>\n%s</head>\n<body><main>\n", style);
	if (told)
		put_run(out, told);
	else
		fputs("<h1>umbra check</h1>\n", out);
	if (n_jobs > 1)
		put_jobs(out, jobs, n_jobs);
	fputs("</main></body></html>\n", out);
	return output_close(out);
}
