/* SPDX-License-Identifier: MIT */
#include "check/generate/scenario.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "check/generate/world.h"

/* The threads are the same functions for all: this is what they do (scenario_select()). */
static const struct generated *now(void)
{
	return scenario_selected->generated;
}

static void do_one(struct operation o)
{
	switch (operation_actor(o)) {
	case ACTOR_VCPU:
		guest_do(o);
		break;
	case ACTOR_CLIENT:
		client_do(o);
		break;
	case ACTOR_HOST:
		host_do(o);
		break;
	}
}

static bool has_thread(const struct generated *g, unsigned int n)
{
	for (unsigned int t = 0; t < g->n_threads; t++)
		for (unsigned int i = 0; i < g->thread[t].n; i++)
			if (operation_actor(g->thread[t].op[i]) == ACTOR_VCPU &&
			    g->thread[t].op[i].vcpu == n)
				return true;
	return false;
}

/* All but the one whose operation it is: nobody runs beside it who could answer a flush. */
static void stop_others(struct operation o)
{
	for (unsigned int n = 0; n < vm->n_vcpus; n++)
		if (operation_actor(o) != ACTOR_VCPU || o.vcpu != n)
			vcpu_stop(n);
}

static void setup(void)
{
	const struct generated *g = now();

	world_make(g);
	for (unsigned int i = 0; i < g->n_setup; i++) {
		stop_others(g->setup[i]);
		do_one(g->setup[i]);
	}
	/* Who has no thread is not in the guest. */
	for (unsigned int n = 0; n < vm->n_vcpus; n++)
		if (!has_thread(g, n))
			vcpu_stop(n);
}

/* A vCPU's thread makes calls when it has left the guest. */
static void thread(void)
{
	const struct generated_thread *t = &now()->thread[sched_self()];
	int vcpu = -1;

	for (unsigned int i = 0; i < t->n; i++) {
		struct operation o = t->op[i];

		if (operation_actor(o) == ACTOR_VCPU)
			vcpu = o.vcpu;
		else if (vcpu >= 0)
			vcpu_stop((unsigned int)vcpu);
		do_one(o);
	}
	if (vcpu >= 0)
		vcpu_stop((unsigned int)vcpu);
}

static void finish(void)
{
	world_finish(now());
}

/* --- as a scenario ---------------------------------------------------------------- */

/* After what it does first. */
static const char *name_of(const struct generated_thread *t, unsigned int i)
{
	static const char *const vcpus[] = { "vCPU 0", "vCPU 1", "vCPU 2" };
	static const char *const clients[] = { "client", "client B", "client C", "client D" };
	static const char *const hosts[] = { "host", "host B", "host C", "host D" };

	for (unsigned int k = 0; k < t->n; k++)
		if (operation_actor(t->op[k]) == ACTOR_VCPU)
			return vcpus[t->op[k].vcpu];
	return operation_actor(t->op[0]) == ACTOR_CLIENT ? clients[i] : hosts[i];
}

void generated_fill(const struct generated *g, struct scenario *s)
{
	unsigned int n[2] = { 0 };

	s->generated = g;
	s->program = (struct program){
		.name = s->name, .setup = setup, .n_threads = g->n_threads, .finish = finish,
	};
	for (unsigned int t = 0; t < g->n_threads; t++) {
		bool host = operation_actor(g->thread[t].op[0]) == ACTOR_HOST;

		s->program.thread[t].fn = thread;
		s->program.thread[t].name = name_of(&g->thread[t], n[host]);
		n[host] += strchr("ch", s->program.thread[t].name[0]) != NULL;
	}
}

static const struct generated *parsed(const char *text)
{
	struct generated *g = malloc(sizeof(*g));

	if (g && program_parse(text, g))
		return g;
	free(g);
	return NULL;
}

const struct scenario *generated_scenario(const char *text)
{
	const struct generated *g = parsed(text);
	struct scenario *s = g ? calloc(1, sizeof(*s)) : NULL;

	if (!s)
		return NULL;
	snprintf(s->name, sizeof(s->name), "%s", text);
	s->about = "a generated scenario";
	generated_fill(g, s);
	return s;
}

void generated_register(struct scenario *s, const char *id, const char *text)
{
	const struct generated *g = parsed(text);

	bug_on(!g);
	scenario_register(s, id);
	generated_fill(g, s);
}

void generated_print(FILE *out, const char *text, enum mmu_mode mode, const char *sentence,
		     unsigned int preemptions)
{
	fprintf(out, "GENERATED(name,\n\t\"%s\",\n\t.about = \"%s\",\n\t.modes = %s,\n"
		"\t.bound = %d)\n", text, sentence, mode == MMU_TDP ? "TDP_ONLY" : "SHADOW_ONLY",
		(int)preemptions - DEFAULT_BOUND);
}
