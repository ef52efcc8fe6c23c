/* SPDX-License-Identifier: MIT */
/*
 * bench/bench.h - what is measured, and how it is kept.
 *
 * A figure is the median of several runs; beside it stand the lowest and highest.
 * One that is compared with the host kernel's own means is given as a ratio to
 * what that needed in the same run.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_RUNS 7

struct figure {
	const char *name, *unit;
	double low, median, high;
	bool known;		/* it could be measured here */
};

/* Adds a figure to the report; returns it for later reference. */
const struct figure *figure_add(const char *name, const char *unit, const double *values, int n);
const struct figure *figure_unknown(const char *name, const char *unit);
/* @bar: what the ratio must not exceed; 0: only for information. */
void ratio_add(const char *name, const struct figure *of, const struct figure *to, double bar);
/* A figure that must not be lower, or higher, than @bar. */
void bar_add(const struct figure *f, double bar, bool at_least);

/* The report; false if a bar was missed. */
bool report(const char *json_file);

/* Measures @once BENCH_RUNS times after a warm-up. */
const struct figure *measure(const char *name, const char *unit, double (*once)(void *ctx),
			     void *ctx);
double bench_now_ns(void);

/* A VM with memory that the host has touched; guest code in 64-bit mode. */
struct bench_vm {
	int kvm, fd, vcpu;
	struct kvm_run *run;
	uint8_t *memory;
	size_t bytes;
};

#define BENCH_DATA (16ull << 20)	/* where a guest's data begins */

void bench_vm_create(struct bench_vm *vm, size_t data_bytes);
void bench_vm_destroy(struct bench_vm *vm);
int bench_vcpu_create(struct bench_vm *vm, unsigned int id, struct kvm_run **run);
/* Sets registers for code loaded at its place: RDI = @rdi, RCX = @rcx. */
void bench_prepare(struct bench_vm *vm, int vcpu, const uint8_t *code, const uint8_t *end,
		   uint64_t rdi, uint64_t rcx);
/* Runs it to its next exit; the reason. */
uint32_t bench_enter(struct bench_vm *vm);
/* Runs it to its HLT. */
void bench_run(struct bench_vm *vm);
void bench_die(const char *what, long result);

#define BENCH_GUEST(name) extern const uint8_t bench_##name[], bench_##name##_end[]
BENCH_GUEST(integer);
BENCH_GUEST(memory);
BENCH_GUEST(loads);
BENCH_GUEST(stores);
BENCH_GUEST(touch_read);
BENCH_GUEST(touch_write);
BENCH_GUEST(out);
BENCH_GUEST(spin);
BENCH_GUEST(write_table);
BENCH_GUEST(write_directory);
BENCH_GUEST(two_roots);
BENCH_GUEST(eight_roots);
BENCH_GUEST(invlpg);
BENCH_GUEST(mmio_one);
BENCH_GUEST(mmio_many);
BENCH_GUEST(churn);

struct mmu;
struct mmu *bench_mmu(struct bench_vm *vm);

/* bench/shadow.c, bench/scaling.c: what shadow paging costs; what does not depend on how
 * much there is. */
void measure_shadow(const struct figure *minor_fault);
void measure_scaling(void);
/* bench/remote.c: flushing vCPUs that do not run. */
void measure_remote(void);
/* bench/edge.c: threads that change mappings, beside the others. */
void measure_edge(void);

/* bench/kernel.c: what the host kernel needs for the same jobs, a page. */
const struct figure *kernel_minor_fault(void);
const struct figure *kernel_mprotect_tracking(void);
const struct figure *kernel_uffd_wp_sync(void);
const struct figure *kernel_uffd_wp_async(void);

#endif
