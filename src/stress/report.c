/* SPDX-License-Identifier: MIT */
/* stress/report.c - the output of umbra stress: events, violations, progress, the summary. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tool/output.h"
#include "stress/stress.h"

#define EVENTS_SHOWN 12u

const char *const stress_op_names[N_OPS] = {
	[OP_READ] = "read", [OP_WRITE] = "write", [OP_TABLES] = "tables", [OP_LAZY] = "lazy",
	[OP_SHARED] = "shared", [OP_LOCK] = "lock", [OP_MMIO] = "mmio", [OP_SLOT] = "slot",
	[OP_UNMAP] = "unmap", [OP_PUNCH] = "punch", [OP_MOVE] = "move",
	[OP_HARVEST] = "harvest", [OP_LOGGING] = "logging", [OP_SLOTS] = "slots",
	[OP_AGE] = "age", [OP_LIMIT] = "limit",
};

const char *const stress_log_names[] = {
	[LOG_BITMAP] = "bitmap", [LOG_MANUAL] = "manual", [LOG_RING] = "ring",
};

static const char *const oracle_names[] = {
	[ORACLE_FREED] = "freed page",
	[ORACLE_DIRTY] = "lost dirty page",
	[ORACLE_STALE] = "stale permission",
	[ORACLE_MMIO] = "MMIO/RAM confusion",
	[ORACLE_MEMORY] = "memory safety",
	[ORACLE_LIVENESS] = "liveness",
};

uint64_t stress_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void stress_event(struct worker *w, const char *what, uint64_t a, uint64_t b)
{
	uint64_t n = w->n_events;
	struct event *e = &w->events[n % N_EVENTS];

	__atomic_store_n(&e->time, stress_now_ns() - w->s->start_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&e->what, what, __ATOMIC_RELAXED);
	__atomic_store_n(&e->a, a, __ATOMIC_RELAXED);
	__atomic_store_n(&e->b, b, __ATOMIC_RELAXED);
	store_shared(&w->n_events, n + 1);
}

void stress_begin_op(struct worker *w)
{
	__atomic_store_n(&w->busy_since, stress_now_ns(), __ATOMIC_RELAXED);
}

void stress_end_op(struct worker *w, enum stress_op op)
{
	count_shared(&w->done[op]);
	__atomic_store_n(&w->busy_since, 0, __ATOMIC_RELAXED);
}

static void print_events(const struct worker *w)
{
	uint64_t n = load_shared(&w->n_events), first = n > EVENTS_SHOWN ? n - EVENTS_SHOWN : 0;

	if (!n)
		return;
	fprintf(stderr, "%s:\n", w->name);
	for (; first < n; first++) {
		const struct event *e = &w->events[first % N_EVENTS];

		fprintf(stderr, "  %11.6f s  %-18s %#14llx %#18llx\n",
			(double)__atomic_load_n(&e->time, __ATOMIC_RELAXED) / 1e9,
			__atomic_load_n(&e->what, __ATOMIC_RELAXED),
			(unsigned long long)__atomic_load_n(&e->a, __ATOMIC_RELAXED),
			(unsigned long long)__atomic_load_n(&e->b, __ATOMIC_RELAXED));
	}
}

static void print_all_events(const struct stress *s)
{
	fprintf(stderr, "The last events of each thread:\n");
	for (unsigned int i = 0; i < s->n_vcpus; i++)
		print_events(&s->guests[i].w);
	for (unsigned int i = 0; i < N_HOSTS; i++)
		print_events(&s->hosts[i]);
	print_events(&s->main);
}

static void print_again(const struct stress *s)
{
	fprintf(stderr, "Again: umbra stress --mmu=%s --vcpus=%u --seed=%llu",
		s->mode == UMBRA_MMU_SHADOW ? "shadow" : "tdp", s->n_vcpus,
		(unsigned long long)s->seed);
	for (unsigned int i = 0, n = 0, all = 0; i < N_OPS; i++) {
		for (unsigned int j = 0; !i && j < N_OPS; j++)
			all += s->enabled[j];
		if (all == N_OPS)
			break;
		if (i == 0)
			fputs(" --only=", stderr);
		if (s->enabled[i])
			fprintf(stderr, "%s%s", n++ ? "," : "", stress_op_names[i]);
	}
	fputc('\n', stderr);
}

static void print_counts(const struct stress *s)
{
	printf("  \"operations\": {");
	for (unsigned int op = 0; op < N_OPS; op++) {
		uint64_t n = 0;

		for (unsigned int i = 0; i < s->n_vcpus; i++)
			n += __atomic_load_n(&s->guests[i].w.done[op], __ATOMIC_RELAXED);
		for (unsigned int i = 0; i < N_HOSTS; i++)
			n += __atomic_load_n(&s->hosts[i].done[op], __ATOMIC_RELAXED);
		printf("%s\"%s\": %llu", op ? ", " : "", stress_op_names[op],
		       (unsigned long long)n);
	}
	printf("},\n");
}

static uint64_t accesses(const struct stress *s)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < s->n_vcpus; i++)
		n += __atomic_load_n(&s->guests[i].n_accesses, __ATOMIC_RELAXED);
	return n;
}

static void print_stats(const struct stress *s)
{
	unsigned int n;
	const struct umbra_stat *list = umbra_stats(&n);
	uint64_t value;

	printf("  \"stats\": {");
	for (unsigned int i = 0; i < n; i++) {
		if (umbra_mmu_stat(s->mmu, list[i].name, &value))
			continue;
		printf("%s\n    \"%s\": %llu", i ? "," : "", list[i].name,
		       (unsigned long long)value);
	}
	printf("\n  }\n}\n");
}

static void print_head(const struct stress *s)
{
	printf("{\n  \"seed\": %llu,\n  \"mmu\": \"%s\",\n  \"vcpus\": %u,\n  \"log\": \"%s\",\n"
	       "  \"flush\": \"%s\",\n  \"seconds\": %.1f,\n  \"accesses\": %llu,\n"
	       "  \"checkpoints\": %llu,\n  \"pages_harvested\": %llu,\n",
	       (unsigned long long)s->seed, s->mode == UMBRA_MMU_SHADOW ? "shadow" : "tdp",
	       s->n_vcpus, stress_log_names[s->log],
	       s->policy == UMBRA_FLUSH_IF_WRITABLE ? "writable" : "mmu-writable",
	       (double)(stress_now_ns() - s->start_ns) / 1e9, (unsigned long long)accesses(s),
	       (unsigned long long)__atomic_load_n(&s->n_checkpoints, __ATOMIC_RELAXED),
	       (unsigned long long)__atomic_load_n(&s->n_harvested, __ATOMIC_RELAXED));
	print_counts(s);
}

void stress_summary(struct stress *s)
{
	print_head(s);
	printf("  \"hit\": null,\n");
	print_stats(s);
	fflush(stdout);
}

static void print_progress(struct stress *s, const char *end)
{
	double seconds = (double)(stress_now_ns() - s->start_ns) / 1e9;

	fprintf(stderr, "%s%s: %5.1f s, %7.2f million accesses, %llu checkpoints, "
		"%llu pages harvested%s", output_is_screen(stderr) ? "\r" : "",
		s->mode == UMBRA_MMU_SHADOW ? "shadow" : "tdp", seconds,
		(double)accesses(s) / 1e6,
		(unsigned long long)__atomic_load_n(&s->n_checkpoints, __ATOMIC_RELAXED),
		(unsigned long long)__atomic_load_n(&s->n_harvested, __ATOMIC_RELAXED),
		end);
}

void stress_progress(struct stress *s)
{
	print_progress(s, output_is_screen(stderr) ? " " : "\n");
}

void stress_last_progress(struct stress *s)
{
	print_progress(s, "\n");
}

/* Only the first counts; other threads wait for the end. */
static void be_the_first(struct stress *s)
{
	if (!__atomic_exchange_n(&s->hit, true, __ATOMIC_SEQ_CST))
		return;
	for (;;)
		pause();
}

static void report_violation(struct worker *w, enum stress_oracle oracle, const char *what)
{
	struct stress *s = w->s;

	if (output_is_screen(stderr))
		fputc('\n', stderr);
	complain("%s, found by %s after %.1f s:\n  %s", oracle_names[oracle], w->name,
		 (double)(stress_now_ns() - s->start_ns) / 1e9, what);
	print_again(s);
	print_all_events(s);
	print_head(s);
	printf("  \"hit\": {\"oracle\": \"%s\", \"thread\": \"%s\", \"what\": \"%s\"}\n}\n",
	       oracle_names[oracle], w->name, what);
	fflush(stdout);
}

void stress_hit(struct worker *w, enum stress_oracle oracle, const char *format, ...)
{
	char what[256];
	va_list args;

	be_the_first(w->s);
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	report_violation(w, oracle, what);
	_exit(1);
}

/* --- crashes ------------------------------------------------------------------ */

static struct stress *crashing;

/* The process ends anyway, so printing from a signal handler is worth the risk. */
static void on_crash(int sig)
{
	signal(sig, SIG_DFL);
	alarm(10);
	be_the_first(crashing);
	report_violation(&crashing->main, ORACLE_MEMORY,
	       sig == SIGABRT ? "an assertion, or a sanitizer, has ended the process" :
				"an access has crashed");
	raise(sig);
}

void stress_watch_for_crashes(struct stress *s)
{
	crashing = s;
	signal(SIGABRT, on_crash);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	/* A sanitizer prints more, and ends with SIGABRT. */
	signal(SIGSEGV, on_crash);
	signal(SIGBUS, on_crash);
#endif
}
