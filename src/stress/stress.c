/* SPDX-License-Identifier: MIT */
/* stress/stress.c - umbra stress: options, life of a run, and the watch over it. */
#include "stress/stress.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool/output.h"
#include "tool/tool.h"

#define STUCK_NS 10000000000ull
#define WATCH_US 250000u
#define PROGRESS_NS 1000000000ull
#define PROGRESS_NS_IN_FILE 10000000000ull

/* --- options ------------------------------------------------------------------ */

static bool parse_seconds(const char *text, double *seconds)
{
	char *end;

	*seconds = strtod(text, &end);
	if (*text >= '0' && *text <= '9' && !*end && *seconds > 0 && *seconds <= 1e7)
		return true;
	complain("--seconds=%s: a number above 0 is needed", text);
	return false;
}

static bool enable(bool *enabled, const char *name, size_t bytes)
{
	for (unsigned int op = 0; op < N_OPS; op++) {
		if (strlen(stress_op_names[op]) == bytes &&
		    memcmp(stress_op_names[op], name, bytes) == 0) {
			enabled[op] = true;
			return true;
		}
	}
	complain("--only: no such operation: %.*s", (int)bytes, name);
	return false;
}

static bool parse_only(const char *text, bool *enabled)
{
	bool any = false;

	memset(enabled, 0, N_OPS * sizeof(*enabled));
	for (const char *at = text; *at; at += *at == ',') {
		size_t bytes = strcspn(at, ",");

		if (!enable(enabled, at, bytes))
			return false;
		at += bytes;
	}
	for (unsigned int op = 0; op < N_GUEST_OPS; op++)
		any |= enabled[op];
	if (!any)
		complain("--only=%s: at least one operation of guests' is needed", text);
	return any;
}

static bool take_option(void *ctx, enum option_id id, const char *value)
{
	struct stress *s = ctx;
	uint64_t number = 0;
	bool ok;

	switch (id) {
	case OPTION_SECONDS:
		return parse_seconds(value, &s->seconds);
	case OPTION_VCPUS:
		ok = options_number("vcpus", value, 1, MAX_VCPUS, &number);
		s->n_vcpus = (unsigned int)number;
		return ok;
	case OPTION_MMU:
		s->mode = strcmp(value, "shadow") ? UMBRA_MMU_TDP : UMBRA_MMU_SHADOW;
		return true;
	case OPTION_SEED:
		return options_number("seed", value, 0, UINT64_MAX, &s->seed);
	case OPTION_ONLY:
		return parse_only(value, s->enabled);
	default:
		return false;
	}
}

/* --- a run -------------------------------------------------------------------- */

/* Spreads a seed over all bits; never 0. */
static uint64_t spread(uint64_t x)
{
	for (int i = 0; i < 3; i++) {
		x = (x + 0x9e3779b97f4a7c15ull) * 0xd1342543de82ef95ull;
		x ^= x >> 29;
	}
	return x | 1;
}

static void init_worker(struct stress *s, struct worker *w, uint64_t number)
{
	w->s = s;
	w->random = spread(s->seed ^ spread(number));
}

static void init(struct stress *s)
{
	uint64_t choice = spread(s->seed);

	s->log = (enum stress_log)((choice >> 8) % 3);
	s->policy = choice >> 32 & 1 ? UMBRA_FLUSH_IF_WRITABLE : UMBRA_FLUSH_IF_MMU_WRITABLE;
	for (unsigned int i = 0; i < s->n_vcpus; i++) {
		struct guest *g = &s->guests[i];

		g->id = i;
		init_worker(s, &g->w, i);
		snprintf(g->w.name, sizeof(g->w.name), "vCPU %u", i);
	}
	for (unsigned int i = 0; i < N_HOSTS; i++)
		init_worker(s, &s->hosts[i], 100 + i);
	init_worker(s, &s->main, 200);
	snprintf(s->main.name, sizeof(s->main.name), "checkpoint");
	stress_choose(s);
	pthread_mutex_init(&s->pages_lock[0], NULL);
	pthread_mutex_init(&s->pages_lock[1], NULL);
	pthread_mutex_init(&s->log_lock, NULL);
}

/* Readers arrive in a stream: a checkpoint must get its turn. */
static void init_world_lock(struct stress *s)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&s->world, &attr);
	pthread_rwlockattr_destroy(&attr);
}

static void watch_worker(struct worker *w)
{
	uint64_t since = __atomic_load_n(&w->busy_since, __ATOMIC_RELAXED);
	uint64_t now = stress_now_ns();

	if (since && now > since && now - since > STUCK_NS)
		stress_hit(w, ORACLE_LIVENESS, "%s has been in one operation for %.1f s", w->name,
			   (double)(now - since) / 1e9);
}

static void *watch_main(void *arg)
{
	struct stress *s = arg;

	while (!stress_stopped(s)) {
		usleep(WATCH_US);
		for (unsigned int i = 0; i < s->n_vcpus; i++)
			watch_worker(&s->guests[i].w);
		for (unsigned int i = 0; i < N_HOSTS; i++)
			watch_worker(&s->hosts[i]);
		watch_worker(&s->main);
	}
	return NULL;
}

static bool start_threads(struct stress *s, pthread_t *watch)
{
	if (pthread_create(watch, NULL, watch_main, s) || !stress_start_hosts(s))
		return false;
	for (unsigned int i = 0; i < s->n_vcpus; i++)
		if (pthread_create(&s->guests[i].w.thread, NULL, stress_guest_main, &s->guests[i]))
			return false;
	return true;
}

/* The signal.  An atomic: the handler runs on any thread. */
static int interrupted;

/* Once: a second signal kills. */
static void on_interrupt(int sig)
{
	__atomic_store_n(&interrupted, sig, __ATOMIC_RELAXED);
}

static int interruption(void)
{
	return __atomic_load_n(&interrupted, __ATOMIC_RELAXED);
}

static void watch_for_interrupts(void)
{
	const struct sigaction action = {
		.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND,
	};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static void run_for_its_time(struct stress *s)
{
	uint64_t every = output_is_screen(stderr) ? PROGRESS_NS : PROGRESS_NS_IN_FILE;
	uint64_t end = s->start_ns + (uint64_t)(s->seconds * 1e9), shown = s->start_ns;

	for (uint64_t now = s->start_ns; now < end && !interruption(); now = stress_now_ns()) {
		usleep((useconds_t)(10000 + stress_random(&s->main) % 40000));
		stress_checkpoint(s);
		if (now - shown >= every) {
			stress_progress(s);
			shown = now;
		}
	}
}

static int run_world(struct stress *s)
{
	pthread_t watch;

	init_world_lock(s);
	init(s);
	/* Before the library takes over SIGSEGV and SIGBUS: it passes them on to us. */
	stress_watch_for_crashes(s);
	s->start_ns = stress_now_ns();
	if (!stress_world_create(s))
		return 1;
	watch_for_interrupts();
	complain("seed %llu, %u vCPUs, log: %s", (unsigned long long)s->seed, s->n_vcpus,
		 stress_log_names[s->log]);
	if (!start_threads(s, &watch)) {
		complain("cannot start the threads");
		return 1;
	}
	run_for_its_time(s);
	__atomic_store_n(&s->stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < s->n_vcpus; i++)
		pthread_join(s->guests[i].w.thread, NULL);
	stress_join_hosts(s);
	pthread_join(watch, NULL);
	stress_checkpoint(s);
	stress_last_progress(s);
	stress_summary(s);
	stress_world_destroy(s);
	return interruption() ? 128 + interruption() : 0;
}

int stress_command(int argc, char **argv)
{
	static struct stress stress;
	int status;

	stress.seconds = 10;
	stress.n_vcpus = 4;
	stress.seed = spread(stress_now_ns() ^ (uint64_t)getpid()) >> 32;
	memset(stress.enabled, true, sizeof(stress.enabled));
	status = options_parse(&command_stress, argc, argv, take_option, &stress);
	return status >= 0 ? status : run_world(&stress);
}
