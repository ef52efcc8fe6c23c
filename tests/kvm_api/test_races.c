/* SPDX-License-Identifier: MIT */
/*
 * tests/kvm_api/test_races.c - running vCPUs, and a host that changes everything under
 * them: bounded by what the guest gets done, not by time.
 */
#include "tests/kvm_api/api_vm.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sync/atomic.h"

#define N_PAGES 256
#define AREA_GPA 0x2000000ull /* in a slot of its own */
#define ROUNDS 200

struct racing_vcpu {
	struct api_vcpu vcpu;
	pthread_t thread;
	bool running;
	struct atomic64 efaults, mmios, others;
};

static struct api_vm vm;
static struct racing_vcpu writer, reader;
static uint8_t *area;
static struct atomic32 stop;

#define both(count) \
	(atomic64_load_relaxed(&writer.count) + atomic64_load_relaxed(&reader.count))

static void *race(void *arg)
{
	struct racing_vcpu *r = arg;

	while (!atomic32_load_relaxed(&stop)) {
		long result = umbra_run(r->vcpu.fd, 0);

		if (result == -EFAULT) {
			atomic64_fetch_add(&r->efaults, 1);
		} else if (result == 0 && r->vcpu.run->exit_reason == KVM_EXIT_MMIO) {
			atomic64_fetch_add(&r->mmios, 1);
			memset(r->vcpu.run->mmio.data, 0, 8);
		} else if (result != -EINTR) {
			atomic64_fetch_add(&r->others, 1);
		}
	}
	return NULL;
}

static void do_nothing(int sig)
{
	(void)sig;
}

static void stop_one(struct racing_vcpu *r)
{
	if (!r->running)
		return;
	r->running = false;
	__atomic_store_n(&r->vcpu.run->immediate_exit, 1, __ATOMIC_RELAXED);
	/* A plain signal, without effect but that KVM_RUN returns. */
	pthread_kill(r->thread, SIGUSR1);
	pthread_join(r->thread, NULL);
	api_vcpu_destroy(&vm, &r->vcpu);
}

static void start_one(struct racing_vcpu *r, unsigned int id, const uint8_t *code,
		      const uint8_t *end, uint64_t at)
{
	struct kvm_regs regs;

	memset(r, 0, sizeof(*r));
	api_vcpu_create(&vm, id, &r->vcpu);
	memcpy(vm.memory + at, code, (size_t)(end - code));
	regs = api_regs(&r->vcpu);
	regs.rip = at;
	regs.rdi = AREA_GPA;
	regs.rcx = N_PAGES;
	api_set_regs(&r->vcpu, &regs);
	assert_int_equal(pthread_create(&r->thread, NULL, race, r), 0);
	r->running = true;
}

static void map_area(int flags)
{
	area = mmap(area, N_PAGES * 4096, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS | flags, -1, 0);
	assert_ptr_not_equal(area, MAP_FAILED);
}

static int set_up(void **state)
{
	(void)state;
	atomic32_store_relaxed(&stop, 0);
	area = NULL;
	api_vm_create(&vm);
	map_area(0);
	assert_int_equal(api_set_region(&vm, 1, 0, AREA_GPA, N_PAGES * 4096, area), 0);
	start_one(&writer, 1, guest_writer, guest_writer_end, API_CODE);
	start_one(&reader, 2, guest_reader, guest_reader_end, API_CODE + 0x1000);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	atomic32_store_relaxed(&stop, 1);
	stop_one(&writer);
	stop_one(&reader);
	api_vm_destroy(&vm);
	syscall(SYS_munmap, area, N_PAGES * 4096);
	return 0;
}

static uint64_t word(unsigned int page)
{
	return *(volatile uint64_t *)(area + page * 4096ull);
}

/* The guest has written to @page since its word was @seen. */
static void wait_for_write(unsigned int page, uint64_t seen)
{
	while (word(page) == seen)
		;
}

/* What is taken from the guest it has not, and what it is given back it uses. */
static void memory_unmapped_and_mapped_again(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		void *again;

		wait_for_write(N_PAGES / 2, word(N_PAGES / 2));
		again = umbra_mmap_memory(area + 64 * 4096, 64 * 4096, PROT_NONE,
					  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		assert_ptr_not_equal(again, MAP_FAILED);
		again = umbra_mmap_memory(area + 64 * 4096, 64 * 4096, PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		assert_ptr_not_equal(again, MAP_FAILED);
		/* All new: nothing of before may show, and the guest writes on. */
		wait_for_write(64, 0);
	}
	assert_int_equal(both(others), 0);
	assert_int_equal(both(mmios), 0);
}

/* Likewise by calls that we do not see. */
static void memory_replaced_by_raw_system_calls(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		assert_int_equal(syscall(SYS_mprotect, area, 8 * 4096, PROT_NONE), 0);
		assert_int_equal(syscall(SYS_mprotect, area, 8 * 4096, PROT_READ), 0);
		assert_int_equal(syscall(SYS_mprotect, area, 8 * 4096, PROT_READ | PROT_WRITE), 0);
		wait_for_write(3, word(3));
	}
	assert_int_equal(both(others), 0);
}

/* A page is in the log or it is as it was copied: the rule of every live migration. */
static void the_dirty_log_misses_nothing(void **state)
{
	uint64_t bitmap[N_PAGES / 64], copy[N_PAGES], n_dirty = 0;
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };

	(void)state;
	assert_int_equal(api_set_region(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, AREA_GPA, N_PAGES * 4096,
					area),
			 0);
	for (unsigned int page = 0; page < N_PAGES; page++)
		copy[page] = word(page);
	for (int round = 0; round < ROUNDS; round++) {
		wait_for_write(0, word(0));
		assert_int_equal(umbra_get_dirty_log(vm.fd, &log), 0);
		for (unsigned int page = 0; page < N_PAGES; page++) {
			if (!(bitmap[page / 64] >> (page % 64) & 1))
				continue;
			copy[page] = word(page);
			n_dirty++;
		}
	}
	atomic32_store_relaxed(&stop, 1);
	stop_one(&writer);
	assert_int_equal(umbra_get_dirty_log(vm.fd, &log), 0);
	for (unsigned int page = 0; page < N_PAGES; page++)
		if (!(bitmap[page / 64] >> (page % 64) & 1))
			assert_int_equal(copy[page], word(page));
	assert_true(n_dirty > N_PAGES);
}

static void logging_toggled_while_it_is_read(void **state)
{
	uint64_t bitmap[N_PAGES / 64];
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		uint32_t flags = round % 2 ? 0 : KVM_MEM_LOG_DIRTY_PAGES;

		assert_int_equal(api_set_region(&vm, 1, flags, AREA_GPA, N_PAGES * 4096, area), 0);
		assert_int_equal(umbra_get_dirty_log(vm.fd, &log), flags ? 0 : -ENOENT);
	}
	assert_int_equal(both(others), 0);
	assert_int_equal(both(mmios), 0);
}

/* Where the slot is not, the guest gets MMIO; where it is, memory. */
static void a_slot_deleted_and_made_again(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		assert_int_equal(api_set_region(&vm, 1, 0, AREA_GPA, 0, area), 0);
		assert_int_equal(api_set_region(&vm, 1, 0, AREA_GPA, N_PAGES * 4096, area), 0);
		if (round % 16 == 0)
			wait_for_write(N_PAGES - 1, word(N_PAGES - 1));
	}
	assert_int_equal(both(others), 0);
	assert_int_equal(both(efaults), 0);
}

/* Deleted for good: after the call has returned the guest reaches it no more. */
static void a_deleted_slot_is_out_of_reach(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS / 4; round++) {
		uint64_t before[N_PAGES];
		uint64_t mmios = atomic64_load_relaxed(&writer.mmios);

		wait_for_write(1, word(1));
		assert_int_equal(api_set_region(&vm, 1, 0, AREA_GPA, 0, area), 0);
		for (unsigned int page = 0; page < N_PAGES; page++)
			before[page] = word(page);
		while (atomic64_load_relaxed(&writer.mmios) < mmios + 2 * N_PAGES)
			;
		for (unsigned int page = 0; page < N_PAGES; page++)
			assert_int_equal(word(page), before[page]);
		assert_int_equal(api_set_region(&vm, 1, 0, AREA_GPA, N_PAGES * 4096, area), 0);
	}
	assert_int_equal(both(others), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(memory_unmapped_and_mapped_again),
		TEST(memory_replaced_by_raw_system_calls),
		TEST(the_dirty_log_misses_nothing),
		TEST(logging_toggled_while_it_is_read),
		TEST(a_slot_deleted_and_made_again),
		TEST(a_deleted_slot_is_out_of_reach),
	};
	struct sigaction action = { .sa_handler = do_nothing };

	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
