/* SPDX-License-Identifier: MIT */
/*
 * tests/kvm_api/test_asleep.c - a vCPU that sleeps in a page fault of the host's, in guest mode,
 * delays no call.  Its page was taken away behind Umbra's back, and only a userfaultfd
 * handler, which is this thread, can give it back.
 */
#include "tests/kvm_api/api_vm.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/uffd.h"

#define N_PAGES 8
#define AREA_GPA 0x2000000ull
#define AREA_BYTES (N_PAGES * 4096ull)

static struct api_vm vm;
static struct api_vcpu reader;
static pthread_t thread;
static uint8_t *area;
static int uffd;

static void do_nothing(int sig)
{
	(void)sig;
}

static void *run_reader(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&reader.run->immediate_exit, __ATOMIC_RELAXED))
		umbra_run(reader.fd, 0);
	return NULL;
}

static uint64_t rounds(void)
{
	return __atomic_load_n((uint64_t *)area, __ATOMIC_RELAXED);
}

static int set_up(void **state)
{
	struct sigaction action = { .sa_handler = do_nothing };
	struct kvm_regs regs;

	(void)state;
	sigaction(SIGUSR1, &action, NULL);
	uffd = uffd_open(UFFD_USER_MODE_ONLY, 0);
	api_vm_create(&vm);
	area = mmap(NULL, AREA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(area, MAP_FAILED);
	memset(area, 0, AREA_BYTES);
	assert_int_equal(api_set_region(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, AREA_GPA, AREA_BYTES,
					area), 0);
	api_vcpu_create(&vm, 1, &reader);
	memcpy(vm.memory + API_CODE, guest_writer, (size_t)(guest_writer_end - guest_writer));
	regs = api_regs(&reader);
	regs.rip = API_CODE;
	regs.rdi = AREA_GPA;
	regs.rcx = N_PAGES;
	api_set_regs(&reader, &regs);
	assert_int_equal(pthread_create(&thread, NULL, run_reader, NULL), 0);
	return 0;
}

/* What sleeps is given an empty page, as often as it takes. */
static int tear_down(void **state)
{
	(void)state;
	__atomic_store_n(&reader.run->immediate_exit, 1, __ATOMIC_RELAXED);
	if (uffd >= 0)
		close(uffd);
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	api_vcpu_destroy(&vm, &reader);
	api_vm_destroy(&vm);
	syscall(SYS_munmap, area, AREA_BYTES);
	return 0;
}

/* With ThreadSanitizer a flush waits until the vCPU has left guest mode. */
#ifdef __SANITIZE_THREAD__
#define IS_WAITED_FOR true
#else
#define IS_WAITED_FOR false
#endif

/* The guest writes to the page again and again; from here on it has none.  Comes back
 * when the vCPU is in the fault. */
static void put_to_sleep(unsigned int page)
{
	uint8_t *at = area + page * 4096ull;
	uint64_t seen = rounds();

	while (rounds() == seen)
		;
	assert_int_equal(uffd_register(uffd, at, 4096, UFFDIO_REGISTER_MODE_MISSING), 0);
	/* Past the library, as another process would punch a hole. */
	assert_int_equal(syscall(SYS_madvise, at, 4096, MADV_DONTNEED), 0);
	uffd_wait(uffd);
}

#define NEEDS_UFFD()                           \
	do {                                   \
		(void)state;                   \
		if (uffd < 0 || IS_WAITED_FOR) \
			skip();                \
	} while (0)

static void the_dirty_log_is_given(void **state)
{
	uint64_t bitmap = 0;
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = &bitmap };

	NEEDS_UFFD();
	put_to_sleep(3);
	assert_int_equal(umbra_get_dirty_log(vm.fd, &log), 0);
	assert_int_not_equal(bitmap, 0);
	assert_int_equal(umbra_get_dirty_log(vm.fd, &log), 0);
}

static void its_page_and_others_are_unmapped_and_protected(void **state)
{
	NEEDS_UFFD();
	put_to_sleep(2);
	assert_int_equal(umbra_mprotect(area + 4096, 4096, PROT_READ), 0);
	assert_int_equal(umbra_mprotect(area + 2 * 4096, 4096, PROT_READ), 0);
	assert_int_equal(umbra_munmap(area + 2 * 4096, 4096), 0);
	assert_int_equal(umbra_munmap(area + 4 * 4096, 4096), 0);
}

static void its_slot_is_deleted(void **state)
{
	NEEDS_UFFD();
	put_to_sleep(5);
	assert_int_equal(api_set_region(&vm, 1, 0, AREA_GPA, 0, NULL), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_dirty_log_is_given),
		TEST(its_page_and_others_are_unmapped_and_protected),
		TEST(its_slot_is_deleted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
