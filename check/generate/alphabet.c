/* SPDX-License-Identifier: MIT */
#include "check/generate/alphabet.h"

#include <string.h>

#include "base/bug.h"
#include "base/compiler.h"
#include "check/world/scenario.h"

/* As the words of programs are.  Letters of the vCPUs are vCPU 0's. */
static const struct {
	const char *world;
	const char *setups[ALPHABET_SETUPS];
	const char *vcpu, *others;
} texts[] = {
	/* The host takes memory back. */
	{ "flat",
	  { "", "v0.read2", "v0.write1,v0.write2" },
	  "v0.read1,v0.write1,v0.read2",
	  "host.unmap1,host.unmap2,host.unmap1to2,host.replace1,host.readonly1,host.nested1to2" },
	{ "alias",
	  { "", "v0.write1,v0.write2" },
	  "v0.read1,v0.read9,v0.write9",
	  "host.unmap1,host.readonly1,host.migrate1,client.delete2" },
	{ "full",
	  { "v0.read1,v0.exit", "v0.write1" },
	  "v0.read1,v0.write2",
	  "client.delete0,host.sweep1,host.unmap1,client.create0" },
	{ "waits",
	  { "v0.write1,v0.exit", "v0.write1" },
	  "v0.read1,v0.write1,v0.exit",
	  "host.unmap1,host.replace1,host.flush" },
	{ "forgets",
	  { "v0.write1" },
	  "v0.read1,v0.write1",
	  "host.unmap1,host.migrate1,client.log0" },
	/* ... and asks what is used. */
	{ "flat",
	  { "v0.read1,v0.read2", "v0.read1,v0.read2,v0.read3,v0.exit" },
	  "v0.read1,v0.write1",
	  "host.young1,host.old1,host.old1to3,host.oldflush1,host.unmap2" },
	/* Logs. */
	{ "log",
	  { "", "v0.write1", "v0.write1,v0.exit,client.get0" },
	  "v0.read1,v0.write1,v0.write2",
	  "client.get0,client.nolog0,client.log0,host.replace1,host.migrate1" },
	{ "flat",
	  { "", "v0.write1" },
	  "v0.read1,v0.write1,v0.write2",
	  "client.log0,client.nolog0,client.get0" },
	{ "log,manual",
	  { "", "v0.write1" },
	  "v0.write1,v0.write2",
	  "client.get0,client.clear0" },
	{ "log,ring",
	  { "", "v0.write1,v1.write3", "v0.write1" },
	  "v0.read1,v0.write1,v0.write2",
	  "client.reap0,client.reap1,client.nolog0,client.log0" },
	{ "log,ring,smallring",
	  { "", "v0.write1" },
	  "v0.write1,v0.write2,v0.write3",
	  "client.reap0" },
	{ "log,awaited",
	  { "", "v0.write1" },
	  "v0.write1",
	  "client.getawaited0,host.unmap2,host.provide13" },
	/* Large pages. */
	{ "huge",
	  { "", "v0.write1" },
	  "v0.write1,v0.write2,v0.read3",
	  "client.log0,client.nolog0,client.get0,host.unmap3,client.delete0" },
	{ "log,huge",
	  { "v0.write1,v0.exit", "v0.write1" },
	  "v0.write1,v0.write2",
	  "client.log0,client.nolog0,client.get0" },
	{ "huge,manual,initial",
	  { "v0.write1", "" },
	  "v0.write2,v0.write1",
	  "client.log0,client.clear0,client.nolog0" },
	/* Slots. */
	{ "slot",
	  { "", "v0.read4", "v0.write4,v0.read5,v0.read1" },
	  "v0.read4,v0.write4,v0.read8",
	  "client.delete1,client.create1,client.other1,client.move1,host.unmap4" },
	{ "flat",
	  { "", "v0.read1,v0.read2,v0.read3,v0.exit" },
	  "v0.read1,v0.write1",
	  "client.delete0,client.create0,client.other0,host.unmap1,host.unmap2" },
	{ "flat",
	  { "", "v0.read4", "client.ro1,v0.read4" },
	  "v0.read4,v0.write4,v0.execute4",
	  "client.ro1,client.delete1,client.create1,host.unmap4" },
	{ "flat",
	  { "", "v0.read4", "v0.read4,client.churn5", "client.churn5" },
	  "v0.read4,v0.write4",
	  "client.create1,client.delete1,client.churn7,client.churn8,host.unmap4" },
	/* A vCPU that has nothing to do. */
	{ "halt",
	  { "", "v0.write1,v0.exit" },
	  "v0.halt,v0.pause,v0.startup,v0.read1",
	  "client.irq0,client.irq1,client.init,client.sipi,client.kick,host.unmap1" },
	/* The guest's tables: their last level. */
	{ "paged",
	  { "v0.read2,v0.exit,v1.exit", "v0.read2,v1.read11",
	    "v0.read2,v0.exit,v1.read11,v1.fill7,v1.exit" },
	  "v0.read2,v0.write2,v0.map2to3,v0.protect2,v0.invlpg2,v0.load8",
	  "host.unmap2,host.unmap3" },
	{ "paged,log",
	  { "v0.read11,v0.fill7,v0.exit,v1.write2,v1.exit", "v1.write2", "" },
	  "v0.read3,v0.write2,v0.clean2,v0.protect2,v0.invlpg2,v0.load8",
	  "client.get0" },
	{ "paged",
	  { "v0.read11,v0.fill7,v0.exit,v1.write2,v1.exit" },
	  "v0.write2,v0.clean2,v0.age2,v0.load8",
	  "client.log0,client.get0,host.unmap2" },
	{ "paged,log,ring",
	  { "v0.read11,v0.fill7,v0.exit,v1.write2,v1.exit" },
	  "v0.write2,v0.clean2,v0.load8",
	  "client.reap0,client.reap1" },
	{ "paged,alias",
	  { "", "v0.read2,v0.read11,v0.read15,v1.read15" },
	  "v0.read2,v0.map2to3,v0.invlpg2,v0.load8",
	  "host.unmap2" },
	{ "paged",
	  { "v0.age2,v0.invlpg2,v0.read2,v0.exit", "v0.age2,v0.invlpg2" },
	  "v0.read2,v0.write2,v0.map2to3",
	  "host.migrate11,host.refill11,host.migrate10,host.refill8,host.unmap2" },
	/* ... what they allow. */
	{ "paged",
	  { "v0.write2,v1.write2", "v0.supervisor2,v0.invlpg2,v0.write2,v1.cpl3",
	    "v0.read11,v0.fill7,v1.noexec2,v1.read2,v0.cpl3" },
	  "v0.write2,v0.execute2,v0.supervisor2,v0.noexec2,v0.protect2,v0.fill2,v0.invlpg2,"
	  "v0.cpl0,v0.cpl3,v0.wp0,v0.wp1",
	  "host.unmap2" },
	/* ... and above. */
	{ "paged",
	  { "", "v0.read512,v1.read512,v0.read10",
	    "v0.read512,v0.read12,v0.fill514,v0.link0,v0.invlpg512,v1.load8" },
	  "v0.read512,v0.map512to3,v0.link0,v0.link12,v0.link14,v0.invlpg512",
	  "host.unmap2" },
	{ "paged",
	  { "", "v0.large,v0.invlpg514,v0.write514" },
	  "v0.read514,v0.write514,v0.large,v0.largero,v0.invlpg514",
	  "host.unmap2" },
	{ "paged",
	  { "", "v0.read2,v0.load13,v0.read2,v1.read11,v1.fill7" },
	  "v0.read2,v0.map2to3,v0.load8,v0.load13",
	  "host.unmap2" },
	{ "paged",
	  { "v0.read2", "" },
	  "v0.read2,v0.load8,v0.load16,v0.sregs8,v0.sregs16",
	  "host.unmap2" },
	{ "paged,slot",
	  { "v0.read2", "", "v0.read512" },
	  "v0.read512,v0.read2",
	  "client.delete1,client.other1,client.create1,host.unmap2" },
	/* A page that becomes a table. */
	{ "paged,log",
	  { "v0.fill514", "v0.fill514,v1.fill514" },
	  "v0.map512to3,v0.invlpg512,v0.read512,v0.load8",
	  "client.get0" },
	{ "paged",
	  { "v0.read11,v0.fill7,v0.exit,v1.fill514,v1.exit,v0.map12to4" },
	  "v0.invlpg12,v0.read512,v0.map512to3,v0.load8",
	  "host.unmap2" },
	{ "paged,limit",
	  { "v0.read2" },
	  "v0.read2,v0.map2to3,v0.invlpg2,v0.load13,v0.read512",
	  "host.unmap2,client.limit9" },
};

static struct alphabet table[ARRAY_SIZE(texts)];

/* All texts are made into values by the words of a program with one thread. */
static unsigned int parse(const char *text, struct operation *o, unsigned int most)
{
	char copy[PROGRAM_BYTES], *rest = copy, *word;
	unsigned int n = 0;

	bug_on(strlen(text) >= sizeof(copy));
	strcpy(copy, text);
	while (*text && (word = strsep(&rest, ",")))
		bug_on(n == most || !operation_parse(word, &o[n++]));
	return n;
}

static void fill(unsigned int i)
{
	struct alphabet *a = &table[i];

	bug_on(!program_parse_options(texts[i].world, &a->options));
	for (; a->n_setups < ALPHABET_SETUPS && texts[i].setups[a->n_setups]; a->n_setups++)
		a->setup[a->n_setups].n = (uint8_t)parse(texts[i].setups[a->n_setups],
							 a->setup[a->n_setups].op, PROGRAM_SETUP);
	a->n_vcpu = parse(texts[i].vcpu, a->vcpu, ALPHABET_LETTERS);
	a->n_others = parse(texts[i].others, a->others, ALPHABET_LETTERS);
}

const struct alphabet *alphabets(unsigned int *n)
{
	if (!table[0].n_setups)
		for (unsigned int i = 0; i < ARRAY_SIZE(texts); i++)
			fill(i);
	*n = ARRAY_SIZE(texts);
	return table;
}
