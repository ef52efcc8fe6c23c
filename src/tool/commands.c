/* SPDX-License-Identifier: MIT */
/* tool/commands.c - the commands and their options: the one place where they are listed. */
#include "tool/options.h"

#define MMU_OPTION                                                                            \
	{ OPTION_MMU, "mmu", "tdp|shadow", "tdp|shadow",                                      \
	  "how guest memory is virtualized: by two-dimensional paging\n(the default), or by " \
	  "shadow paging" }

#define RUN_OPTIONS                                                                           \
	MMU_OPTION,                                                                           \
	{ OPTION_FLUSH, "flush", "mmu-writable|writable", "mmu-writable|writable",            \
	  "which change of a translation requires a TLB flush at once:\n"                      \
	  "when it is no longer MMU-writable (the default), or writable" },                   \
	{ OPTION_STATS, "stats", "[FILE]", NULL,                                              \
	  "write every counter as a line of JSON at the end, to FILE or\n"                    \
	  "to standard error" },                                                              \
	{ OPTION_LOG, "log", "LEVEL", "none|error|warning|info|debug",                        \
	  "what to log on standard error: none, error, warning\n"                             \
	  "(the default), info (refused calls) or debug (every call)" }

static const struct option_def umbra_options[] = {
	{ OPTION_COMPLETION, "completion", "bash|zsh", "bash|zsh",
	  "write the completion script for a shell" },
	{ 0 },
};

const struct command_def command_umbra = {
	.usage = "run [OPTION]... [--] PROGRAM [ARG]...\n"
		 "boot [OPTION]...\n"
		 "demo [OPTION]...\n"
		 "stress [OPTION]...\n"
		 "check [OPTION]...\n"
		 "--help | --version | --completion=SHELL",
	.text = "KVM, its MMU first of all, in user space.",
	.options = umbra_options,
	.more = "'umbra COMMAND --help' lists a command's options.",
	.takes_program = true,
};

static const struct option_def run_options[] = { RUN_OPTIONS, { 0 } };

const struct command_def command_run = {
	.name = "run",
	.about = "runs a program written for /dev/kvm where there is no usable one",
	.usage = "[OPTION]... [--] PROGRAM [ARG]...",
	.text = "Starts PROGRAM with /dev/kvm provided in software; the exit status is PROGRAM's.",
	.options = run_options,
	.takes_program = true,
};

static const struct option_def boot_options[] = {
	{ OPTION_KERNEL, "kernel", "FILE", NULL,
	  "a bzImage, or a kernel in ELF (PVH) or for Multiboot\n"
	  "(default: the newest in /boot)" },
	{ OPTION_INITRD, "initrd", "FILE", NULL,
	  "its initrd, or the only module (default, if the kernel is\n"
	  "too: a shell of busybox, or what was installed with the\n"
	  "kernel if there is a disk)" },
	{ OPTION_APPEND, "append", "TEXT", NULL,
	  "for the end of the kernel's command line" },
	{ OPTION_CPUS, "cpus", "N", NULL, "the number of processors, 1 to 254 (default 1)" },
	{ OPTION_MEMORY, "memory", "N", NULL, "MiB of memory (default 256)" },
	{ OPTION_DISK, "disk", "FILE", NULL, "the content of a virtio disk" },
	RUN_OPTIONS,
	{ 0 },
};

const struct command_def command_boot = {
	.name = "boot",
	.about = "boots a kernel, with the terminal as its serial line",
	.usage = "[OPTION]...",
	.text = "Boots a kernel on a machine of its own: a serial line, which is the terminal,\n"
		"and a disk.  Ctrl-A x ends it at once, Ctrl-A Ctrl-A is one Ctrl-A.",
	.options = boot_options,
	.more = "Exits with 0 if the guest switches the machine off, with 1 if it resets it.",
};

const struct command_def command_demo = {
	.name = "demo",
	.about = "runs a small built-in guest, and checks its memory",
	.usage = "[OPTION]...",
	.text = "Runs a guest of two vCPUs while its host copies its memory live, moves a slot,\n"
		"revokes memory and gives it back; and checks that nothing was lost.",
	.options = run_options,
};

static const struct option_def stress_options[] = {
	{ OPTION_SECONDS, "seconds", "N", NULL, "how long to run (default 10)" },
	{ OPTION_VCPUS, "vcpus", "N", NULL, "the number of vCPUs, 1 to 32 (default 4)" },
	MMU_OPTION,
	{ OPTION_SEED, "seed", "N", NULL, "seed of all random choices (default: a new one)" },
	{ OPTION_ONLY, "only", "OP,...", NULL,
	  "only these operations; guests': read, write, tables,\n"
	  "lazy, shared, lock, mmio, slot; the host's: unmap, punch,\n"
	  "move, harvest, logging, slots, age, limit" },
	{ 0 },
};

const struct command_def command_stress = {
	.name = "stress",
	.about = "exercises the MMU with hostile timing, and checks every access",
	.usage = "[OPTION]...",
	.text = "Lets vCPUs use and change their memory while other threads revoke it, move it,\n"
		"copy it using the dirty log, and change slots and limits; and checks every\n"
		"access.  The first wrong one ends the run.",
	.options = stress_options,
};

static const struct option_def check_options[] = {
	{ OPTION_WITHOUT, "without", "RULE", NULL,
	  "switch a coherence rule off and show what breaks" },
	{ OPTION_MUTANT, "mutant", "NAME", NULL, "the same for a bug of the past" },
	{ OPTION_MUTANTS, "mutants", NULL, NULL,
	  "try all rules and bugs: which are found, by what, how fast" },
	{ OPTION_GENERATE, "generate", NULL, NULL,
	  "generated scenarios instead of those written by hand: all\n"
	  "small ones, then by chance; also for a rule or a mutant" },
	{ OPTION_SIZE, "size", "N", NULL,
	  "all generated scenarios of up to N operations, and no more" },
	{ OPTION_POWER, "power", NULL, NULL,
	  "try all rules and bugs by generated scenarios alone" },
	{ OPTION_LIST, "list", NULL, NULL, "list scenarios, rules and mutants" },
	{ OPTION_REPLAY, "replay", "TOKEN", NULL, "replay one run and show it" },
	{ OPTION_ONLY, "only", "TEXT", NULL,
	  "only scenarios (or mutants) whose names contain TEXT" },
	{ OPTION_MODE, "mode", "MODE", "tdp|shadow|both", "tdp, shadow or both (the default)" },
	{ OPTION_BOUND, "bound", "N", NULL,
	  "at most N preemptions; the default depends on the scenario" },
	{ OPTION_SECONDS, "seconds", "N", NULL, "CPU time limit for each scenario or mutant" },
	{ OPTION_RANDOM, "random", NULL, NULL,
	  "choose runs, or what is generated, at random, not in order" },
	{ OPTION_SEED, "seed", "N", NULL, "seed of the random choices" },
	{ OPTION_MEMORY, "memory", "MODEL", "sc|tso|weak", "sc, tso or weak (the default)" },
	{ OPTION_JOBS, "jobs", "N", NULL, "number of processes" },
	{ OPTION_SHARD, "shard", "I/N", NULL, "only the I-th of N parts" },
	{ OPTION_MERGE, "merge", NULL, NULL, "merge the --json files of all shards" },
	{ OPTION_JSON, "json", "[FILE]", NULL, "write the results as JSON" },
	{ OPTION_HTML, "html", "FILE", NULL, "write the results, or the failing run, as a page" },
	{ OPTION_ALL, "all", NULL, NULL, "also show reads and locks in a run" },
	{ OPTION_BLIND, "blind", NULL, NULL, "switch the oracles off: nothing must be found" },
	{ 0 },
};

const struct command_def command_check = {
	.name = "check",
	.about = "runs the MMU through every interleaving, and shows what a rule prevents",
	.usage = "[OPTION]...\n"
		 "--without=RULE | --mutant=NAME [OPTION]...\n"
		 "--generate | --power [OPTION]...\n"
		 "--mutants | --list | --replay=TOKEN | --merge FILE...",
	.text = "Runs the MMU's own code through every interleaving of its threads, up to a\n"
		"number of preemptions, and checks that a guest cannot see what it must not.",
	.options = check_options,
	.takes_files = true,
	.more = "Exits with 0 if no check fails (or, with --mutants, if all are found), else 1.",
};

const struct command_def *const commands_all[] = {
	&command_run, &command_boot, &command_demo, &command_stress, &command_check, NULL,
};
