/* SPDX-License-Identifier: MIT */
/* bench/shadow.c - what shadow paging costs. */
#include <stdio.h>
#include <umbra/umbra.h>

#include "bench/bench.h"
#include "kvm/vm.h"

#define DATA_BYTES (64ull << 20)
#define DATA_PAGES (DATA_BYTES >> 12)

struct job {
	struct bench_vm *vm;
	const uint8_t *code, *end;
	uint64_t rounds;
};

#define JOB(vm, name, rounds) &(struct job){ vm, bench_##name, bench_##name##_end, rounds }

/* ns a round. */
static double guest_loop(void *ctx)
{
	const struct job *j = ctx;
	double start;

	bench_prepare(j->vm, j->vm->vcpu, j->code, j->end, BENCH_DATA, j->rounds);
	start = bench_now_ns();
	bench_run(j->vm);
	return (bench_now_ns() - start) / (double)j->rounds;
}

static void set_slot(struct bench_vm *vm, uint64_t bytes, uint32_t flags)
{
	struct kvm_userspace_memory_region region = {
		.flags = flags,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)vm->memory,
	};
	long err = umbra_set_user_memory_region(vm->fd, &region);

	if (err)
		bench_die("KVM_SET_USER_MEMORY_REGION", err);
}

/* No translation is left, but every page is there. */
static double fault_once(void *ctx)
{
	struct bench_vm *vm = ctx;
	double start;

	set_slot(vm, 0, 0);
	set_slot(vm, vm->bytes, 0);
	bench_prepare(vm, vm->vcpu, bench_touch_write, bench_touch_write_end, BENCH_DATA,
		      DATA_PAGES);
	start = bench_now_ns();
	bench_run(vm);
	return (bench_now_ns() - start) / DATA_PAGES;
}

/* Remote flushes for each 1000 changes of the guest's tables, while its memory is logged
 * and harvested ten times. */
static double churn_once(void *ctx)
{
	static uint64_t bitmap[(BENCH_DATA + DATA_BYTES) >> 12 >> 6];
	struct kvm_dirty_log log = { .dirty_bitmap = bitmap };
	struct bench_vm *vm = ctx;
	struct atomic64 *flushes = &bench_mmu(vm)->stats[VM_STAT_remote_tlb_flush];
	const uint64_t rounds = 20000;
	uint64_t before;

	set_slot(vm, vm->bytes, KVM_MEM_LOG_DIRTY_PAGES);
	before = atomic64_load_relaxed(flushes);
	for (int i = 0; i < 10; i++) {
		long err;

		bench_prepare(vm, vm->vcpu, bench_churn, bench_churn_end, 0, rounds / 10);
		bench_run(vm);
		err = umbra_get_dirty_log(vm->fd, &log);
		if (err)
			bench_die("KVM_GET_DIRTY_LOG", err);
	}
	return (double)(atomic64_load_relaxed(flushes) - before) * 1000 / (double)rounds;
}

static void measure_churn(const char *name, int policy)
{
	struct bench_vm vm;

	umbra_set_flush_policy(policy);
	bench_vm_create(&vm, DATA_BYTES);
	umbra_set_flush_policy(UMBRA_FLUSH_IF_MMU_WRITABLE);
	measure(name, "flushes", churn_once, &vm);
	bench_vm_destroy(&vm);
}

void measure_shadow(const struct figure *minor_fault)
{
	const struct figure *fault;
	struct bench_vm vm;

	umbra_set_mmu(UMBRA_MMU_SHADOW);
	bench_vm_create(&vm, DATA_BYTES);
	fault = measure("shadow fault, host page present", "ns", fault_once, &vm);
	measure("shadow: write to a lowest-level table (unsync)", "ns", guest_loop,
		JOB(&vm, write_table, 1000000));
	measure("shadow: write to a directory (tracked), INVLPG, use", "ns", guest_loop,
		JOB(&vm, write_directory, 20000));
	measure("shadow: CR3 switch, root at hand", "ns", guest_loop, JOB(&vm, two_roots, 100000));
	measure("shadow: CR3 switch, root looked up", "ns", guest_loop,
		JOB(&vm, eight_roots, 100000));
	measure("shadow: INVLPG", "ns", guest_loop, JOB(&vm, invlpg, 1000000));
	bench_vm_destroy(&vm);
	measure_churn("shadow: flushes per 1000 table changes, by MMU-writable",
		      UMBRA_FLUSH_IF_MMU_WRITABLE);
	measure_churn("shadow: flushes per 1000 table changes, by writable",
		      UMBRA_FLUSH_IF_WRITABLE);
	umbra_set_mmu(UMBRA_MMU_TDP);
	ratio_add("shadow fault / kernel's minor fault", fault, minor_fault, 0);
}
