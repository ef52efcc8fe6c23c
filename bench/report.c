/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"

struct ratio {
	const char *name;
	const struct figure *of, *to;
	double bar;
};

struct bar {
	const struct figure *f;
	double bar;
	bool at_least;
};

/* A figure is pointed to by ratios and bars: it stays where it was made. */
static struct figure **figures;
static struct ratio *ratios;
static struct bar *bars;
static size_t n_figures, n_ratios, n_bars;

/* @list with room for one more than its @n. */
static void *grow(void *list, size_t n, size_t bytes)
{
	list = reallocarray(list, n + 1, bytes);
	if (!list)
		bench_die("no memory for the report", -ENOMEM);
	return list;
}

double bench_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct figure *next_figure(const char *name, const char *unit)
{
	struct figure *f = grow(NULL, 0, sizeof(*f));

	*f = (struct figure){ .name = name, .unit = unit };
	figures = grow(figures, n_figures, sizeof(*figures));
	figures[n_figures++] = f;
	return f;
}

const struct figure *figure_add(const char *name, const char *unit, const double *values, int n)
{
	struct figure *f = next_figure(name, unit);
	double sorted[BENCH_RUNS];

	memcpy(sorted, values, (size_t)n * sizeof(*values));
	qsort(sorted, (size_t)n, sizeof(*sorted), compare);
	f->known = true;
	f->low = sorted[0];
	f->median = sorted[n / 2];
	f->high = sorted[n - 1];
	return f;
}

const struct figure *figure_unknown(const char *name, const char *unit)
{
	return next_figure(name, unit);
}

const struct figure *measure(const char *name, const char *unit, double (*once)(void *ctx),
			     void *ctx)
{
	double values[BENCH_RUNS];

	fprintf(stderr, "\r\033[K%s ...", name);
	once(ctx);
	for (int i = 0; i < BENCH_RUNS; i++)
		values[i] = once(ctx);
	fprintf(stderr, "\r\033[K");
	return figure_add(name, unit, values, BENCH_RUNS);
}

void ratio_add(const char *name, const struct figure *of, const struct figure *to, double bar)
{
	if (!of->known || !to->known)
		return;
	ratios = grow(ratios, n_ratios, sizeof(*ratios));
	ratios[n_ratios++] = (struct ratio){ name, of, to, bar };
}

void bar_add(const struct figure *f, double bar, bool at_least)
{
	bars = grow(bars, n_bars, sizeof(*bars));
	bars[n_bars++] = (struct bar){ f, bar, at_least };
}

static double ratio_of(const struct ratio *r)
{
	return r->of->median / r->to->median;
}

static bool ratio_holds(const struct ratio *r)
{
	return !r->bar || ratio_of(r) <= r->bar;
}

static bool bar_holds(const struct bar *b)
{
	return b->at_least ? b->f->median >= b->bar : b->f->median <= b->bar;
}

static void print_table(void)
{
	printf("%-52s %12s %12s %12s\n", "figure", "median", "lowest", "highest");
	for (size_t i = 0; i < n_figures; i++) {
		const struct figure *f = figures[i];

		if (f->known)
			printf("%-52s %12.2f %12.2f %12.2f  %s\n", f->name, f->median, f->low,
			       f->high, f->unit);
		else
			printf("%-52s %12s\n", f->name, "not here");
	}
	printf("\n%-52s %12s %12s\n", "compared in this run", "ratio", "bar");
	for (size_t i = 0; i < n_ratios; i++) {
		const struct ratio *r = &ratios[i];

		printf("%-52s %12.3f ", r->name, ratio_of(r));
		if (r->bar)
			printf("%12.3f  %s\n", r->bar, ratio_holds(r) ? "held" : "MISSED");
		else
			printf("%12s\n", "-");
	}
	for (size_t i = 0; i < n_bars; i++)
		printf("%-52s %12.2f %12.2f  %s\n", bars[i].f->name, bars[i].f->median, bars[i].bar,
		       bar_holds(&bars[i]) ? "held" : "MISSED");
}

static json_t *machine(void)
{
	struct utsname u;

	uname(&u);
	return json_pack("{s:s, s:s, s:i}", "kernel", u.release, "machine", u.machine, "processors",
			 (int)sysconf(_SC_NPROCESSORS_ONLN));
}

static bool write_json(const char *file)
{
	json_t *root = json_pack("{s:o, s:{}, s:{}}", "machine", machine(), "figures", "ratios");
	bool ok;

	for (size_t i = 0; i < n_figures; i++) {
		const struct figure *f = figures[i];

		json_object_set_new(json_object_get(root, "figures"), f->name,
				    f->known ? json_pack("{s:s, s:f, s:f, s:f}", "unit", f->unit,
							 "median", f->median, "lowest", f->low,
							 "highest", f->high) :
					       json_null());
	}
	for (size_t i = 0; i < n_ratios; i++)
		json_object_set_new(json_object_get(root, "ratios"), ratios[i].name,
				    json_pack("{s:f, s:f, s:b}", "ratio", ratio_of(&ratios[i]),
					      "bar", ratios[i].bar, "held",
					      ratio_holds(&ratios[i])));
	ok = json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) == 0 &&
	     (!file ||
	      json_dump_file(root, file, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) == 0);
	printf("\n\n");
	json_decref(root);
	return ok;
}

bool report(const char *json_file)
{
	bool held = write_json(json_file);

	print_table();
	for (size_t i = 0; i < n_ratios; i++)
		held &= ratio_holds(&ratios[i]);
	for (size_t i = 0; i < n_bars; i++)
		held &= bar_holds(&bars[i]);
	return held;
}
