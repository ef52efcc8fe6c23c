/* SPDX-License-Identifier: MIT */
/*
 * tests/preload/test_memory.c - calls that take memory away from the guest are seen, by
 * whatever name or number the program makes them: its VM's statistics count them.
 */
#include "tests/preload/client.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/pagemap.h"
#include "tests/uffd.h"

#define PAGE 4096ul
#define N_PAGES 16ul
#define AREA_BYTES (N_PAGES * PAGE)
#define AREA_GPA 0x30000000u

static struct client client;
static uint8_t *area;

static void set_slot(uint32_t id, uint32_t gpa, uint64_t bytes, void *memory)
{
	struct kvm_userspace_memory_region r = {
		.slot = id,
		.guest_phys_addr = gpa,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)memory,
	};

	assert_int_equal(ioctl(client.vm, KVM_SET_USER_MEMORY_REGION, &r), 0);
}

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(client_create(&client), 0);
	area = mmap(NULL, AREA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(area, MAP_FAILED);
	set_slot(2, AREA_GPA, AREA_BYTES, area);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	client_destroy(&client);
	munmap(area, AREA_BYTES);
	return 0;
}

/* How many calls have met a slot. */
static uint64_t n_met(void)
{
	struct kvm_stats_header head;
	uint64_t value = ~0ull;
	char text[256];
	int fd = ioctl(client.vm, KVM_GET_STATS_FD, NULL);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &head, sizeof(head), 0), sizeof(head));
	for (uint32_t i = 0; i < head.num_desc; i++) {
		size_t bytes = sizeof(struct kvm_stats_desc) + head.name_size;
		struct kvm_stats_desc *desc = (void *)text;

		assert_true(bytes <= sizeof(text));
		assert_int_equal(pread(fd, text, bytes, (off_t)(head.desc_offset + i * bytes)),
				 bytes);
		if (strcmp(text + sizeof(*desc), "mmu_notifier_overlaps") == 0)
			assert_int_equal(pread(fd, &value, sizeof(value),
					       (off_t)(head.data_offset + desc->offset)),
					 sizeof(value));
	}
	close(fd);
	assert_true(value != ~0ull);
	return value;
}

static uint64_t met_before;

#define assert_seen(call, n)                                     \
	do {                                                     \
		met_before = n_met();                            \
		call;                                            \
		assert_int_equal(n_met() - met_before, n);       \
	} while (0)

/* As before the call that took it away. */
static void put_back(void)
{
	assert_ptr_equal(mmap(area, AREA_BYTES, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), area);
}

static void guest_writes(uint32_t gpa, uint64_t n)
{
	assert_int_equal(client_load_array(&client, code_fill, n, gpa), 0);
	assert_int_equal(client_run(&client), 0);
	assert_int_equal(client.run->exit_reason, KVM_EXIT_HLT);
}

static int guest_reads(uint32_t gpa, uint32_t *value)
{
	struct kvm_regs r;
	int err;

	assert_int_equal(client_load_array(&client, code_load, 0, gpa), 0);
	err = client_run(&client);
	assert_int_equal(ioctl(client.vcpu, KVM_GET_REGS, &r), 0);
	*value = (uint32_t)r.rax;
	return err;
}

static void calls_by_number_are_seen_as_by_name(void **state)
{
	const int advice = MADV_DONTNEED, anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
	void *other = mmap(NULL, AREA_BYTES, PROT_NONE, anonymous, -1, 0);
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	struct iovec part = { area, PAGE };
	uint32_t value;

	(void)state;
	guest_writes(AREA_GPA, N_PAGES);
	assert_seen(syscall(SYS_munmap, area, PAGE), 1);
	assert_int_equal(guest_reads(AREA_GPA, &value), -EFAULT);
	assert_seen(put_back(), 1);
	assert_seen(syscall(SYS_mmap, area, PAGE, PROT_NONE, anonymous | MAP_FIXED, -1, 0L), 1);
	assert_seen(syscall(SYS_mprotect, area, PAGE, PROT_READ), 1);
	assert_seen(syscall(SYS_pkey_mprotect, area, PAGE, PROT_READ | PROT_WRITE, -1), 1);
	assert_seen(syscall(SYS_madvise, area, PAGE, advice), 1);
	assert_seen(syscall(SYS_madvise, area, PAGE, MADV_NORMAL), 0);
	assert_seen(syscall(SYS_process_madvise, pidfd, &part, 1ul, MADV_PAGEOUT, 0), 1);
	assert_seen(syscall(SYS_remap_file_pages, area, PAGE, 0, 0ul, 0), 1);
	assert_seen(syscall(SYS_mremap, area, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, other),
		    1);
	put_back();
	/* What is no call on memory, or on the guest's, goes its way. */
	assert_seen(syscall(SYS_munmap, other, AREA_BYTES), 0);
	assert_int_equal(syscall(SYS_munmap, area + 1, PAGE), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(syscall(SYS_getpid), getpid());
	close(pidfd);
}

/* --- children ----------------------------------------------------------------------------- */

static pid_t clone_raw(unsigned long flags)
{
	return (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
}

static bool ends_well(pid_t child)
{
	int status;

	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

/* The first of its namespace has a VM, and then a child that is the first of another. */
static bool child_of_the_same_number_is_another(void)
{
	uint64_t before;
	pid_t child;

	if (client_create(&client))
		return false;
	set_slot(2, AREA_GPA, AREA_BYTES, area);
	before = n_met();
	child = clone_raw(CLONE_NEWPID);
	if (!child)
		_exit(getpid() != 1 || munmap(area, PAGE));
	return ends_well(child) && n_met() == before;
}

static void a_child_with_its_parents_number_is_another_process(void **state)
{
	pid_t child;

	(void)state;
#ifdef __SANITIZE_THREAD__
	/* Its own locks do not survive such a fork. */
	skip();
#endif
	child = clone_raw(CLONE_NEWUSER | CLONE_NEWPID);
	if (!child)
		_exit(!child_of_the_same_number_is_another());
	if (child < 0)
		skip();
	assert_true(ends_well(child));
}

static void segments_by_number_are_seen(void **state)
{
	int id = shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600);

	(void)state;
	if (id < 0)
		skip();
	assert_seen(syscall(SYS_shmat, id, area, SHM_REMAP), 1);
	shmctl(id, IPC_RMID, NULL);
	assert_seen(syscall(SYS_shmdt, area), 1);
	put_back();
}

/* --- files ------------------------------------------------------------------------------ */

static char path[32];

static int map_a_file(void)
{
	int fd = memfd_create("guest memory", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, AREA_BYTES), 0);
	assert_ptr_equal(mmap(area, AREA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			      0), area);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return fd;
}

static void files_by_number_are_seen(void **state)
{
	const int hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	int fd = map_a_file();

	(void)state;
	assert_seen(syscall(SYS_fallocate, fd, hole, 0l, PAGE), 1);
	assert_seen(syscall(SYS_ftruncate, fd, AREA_BYTES - PAGE), 1);
	assert_seen(syscall(SYS_truncate, path, AREA_BYTES - 2 * PAGE), 1);
	close(fd);
}

static int open_by_open(int flags)
{
	return open(path, flags, 0600);
}

static int open_by_open64(int flags)
{
	return open64(path, flags, 0600);
}

static int open_by_openat(int flags)
{
	return openat(AT_FDCWD, path, flags, 0600);
}

static int open_by_openat64(int flags)
{
	return openat64(AT_FDCWD, path, flags, 0600);
}

static int open_by_creat(int flags)
{
	return flags & O_TRUNC ? creat(path, 0600) : -1;
}

static int open_by_number(int flags)
{
	return (int)syscall(SYS_open, path, flags, 0600);
}

static int openat_by_number(int flags)
{
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0600);
}

static int creat_by_number(int flags)
{
	return flags & O_TRUNC ? (int)syscall(SYS_creat, path, 0600) : -1;
}

static int openat2_by_number(int flags)
{
	struct open_how how = { .flags = (uint64_t)flags };

	return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
}

static int open_by_stream(int flags)
{
	FILE *stream = fopen(path, flags & O_TRUNC ? "w" : "r+");
	int fd = stream ? dup(fileno(stream)) : -1;

	if (stream)
		fclose(stream);
	return fd;
}

static int open_by_reopening(int flags)
{
	FILE *stream = freopen(path, flags & O_TRUNC ? "w" : "r+", fopen("/", "r"));
	int fd = stream ? dup(fileno(stream)) : -1;

	if (stream)
		fclose(stream);
	return fd;
}

static int (*const ways[])(int flags) = {
	open_by_open, open_by_open64, open_by_openat, open_by_openat64, open_by_creat,
	open_by_number, openat_by_number, creat_by_number, openat2_by_number, open_by_stream,
	open_by_reopening,
};

static void a_file_that_is_emptied_as_it_is_opened_is_withdrawn(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		int fd = map_a_file(), other;
		uint32_t value;

		guest_writes(AREA_GPA, N_PAGES);
		assert_seen(close(ways[i](O_RDWR)), 0);
		assert_int_equal(guest_reads(AREA_GPA + PAGE, &value), 0);
		assert_seen(other = ways[i](O_RDWR | O_TRUNC), 1);
		assert_true(other >= 0);
		assert_int_equal(guest_reads(AREA_GPA + PAGE, &value), -EFAULT);
		close(other);
		close(fd);
	}
	/* An open that fails is no harm. */
	snprintf(path, sizeof(path), "/nowhere/at/all");
	assert_seen(assert_int_equal(open(path, O_RDWR | O_TRUNC), -1), 0);
	assert_int_equal(errno, ENOENT);
}

static void fill_list_of_mappings(int fd)
{
	for (int i = 0; i < 257; i++)
		assert_ptr_not_equal(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0), MAP_FAILED);
}

static void open_and_close(const char *name, int flags)
{
	int fd = open(name, flags);

	assert_true(fd >= 0);
	close(fd);
}

/* Nor for as long as one waits for the other end of a pipe.  The last test: once there were
 * more mappings than are written down, a file may be mapped anywhere. */
static void what_is_no_file_has_no_pages_to_take_away(void **state)
{
	int fd = map_a_file();

	(void)state;
	fill_list_of_mappings(fd);
	assert_seen(open_and_close(path, O_RDWR | O_TRUNC), 1);
	assert_seen(open_and_close("/dev/null", O_WRONLY | O_TRUNC), 0);
	close(fd);
}

/* --- the heap ---------------------------------------------------------------------------- */

#define HEAP_GPA 0x38000000u

static uint8_t *raise_heap(void)
{
	uintptr_t end = (uintptr_t)sbrk(0), start = (end + PAGE - 1) & ~(PAGE - 1);

	if (brk((void *)(start + AREA_BYTES)))
		skip();
	set_slot(3, HEAP_GPA, AREA_BYTES, (void *)start);
	guest_writes(HEAP_GPA, N_PAGES);
	return (uint8_t *)start;
}

static void memory_at_the_end_of_the_heap_is_withdrawn(void **state)
{
	uint8_t *heap = raise_heap();
	uint32_t value;

	(void)state;
	assert_seen(assert_int_equal(brk(heap + AREA_BYTES - PAGE), 0), 1);
	assert_int_equal(guest_reads(HEAP_GPA + AREA_BYTES - PAGE, &value), -EFAULT);
	assert_int_equal(guest_reads(HEAP_GPA, &value), 0);
	assert_seen(assert_ptr_equal(sbrk(-(intptr_t)PAGE), heap + AREA_BYTES - PAGE), 1);
	assert_ptr_equal(sbrk(0), heap + AREA_BYTES - 2 * PAGE);
	assert_int_equal(guest_reads(HEAP_GPA + AREA_BYTES - 2 * PAGE, &value), -EFAULT);
	assert_seen(assert_int_equal(syscall(SYS_brk, heap + PAGE), (long)(heap + PAGE)), 1);
	assert_int_equal(guest_reads(HEAP_GPA + PAGE, &value), -EFAULT);
	assert_int_equal(guest_reads(HEAP_GPA, &value), 0);
	/* More takes nothing away. */
	assert_seen(syscall(SYS_brk, heap + AREA_BYTES - 2 * PAGE), 0);
	assert_seen(assert_int_equal(brk(heap + AREA_BYTES), 0), 0);
	set_slot(3, HEAP_GPA, 0, heap);
	assert_int_equal(brk(heap), 0);
}

/* --- by ioctl ---------------------------------------------------------------------------- */

/* Newer than the headers of some systems: userfaultfd.rst. */
struct move {
	uint64_t dst, src, len, mode;
	int64_t moved;
};
#define MOVE _IOWR(UFFDIO, 0x05, struct move)

static int watch_area(uint64_t features, uint64_t mode)
{
	int fd = uffd_open(0, features);

	if (fd >= 0)
		assert_seen(assert_int_equal(uffd_register(fd, area, AREA_BYTES, mode), 0), 1);
	return fd;
}

#define skip_without(fd, what)                                                            \
	do {                                                                              \
		if ((fd) < 0) {                                                           \
			print_message("[  SKIPPED ] %s: no %s here\n", __func__, what);   \
			skip();                                                           \
		}                                                                         \
	} while (0)

/* From other memory of the guest to some that has not been touched. */
static void pages_that_are_moved_are_withdrawn_at_both_ends(void **state)
{
	int uffd = watch_area(UFFD_FEATURE_MOVE, UFFDIO_REGISTER_MODE_MISSING);
	struct move move = {
		.dst = (uintptr_t)area, .src = (uintptr_t)client.memory, .len = PAGE,
	};
	uint32_t value;

	(void)state;
	skip_without(uffd, "UFFDIO_MOVE");
	*(volatile uint32_t *)client.memory = 0x12345678;
	assert_seen(assert_int_equal(ioctl(uffd, MOVE, &move), 0), 2);
	assert_int_equal(guest_reads(AREA_GPA, &value), 0);
	assert_int_equal(value, 0x12345678);
	close(uffd);
}

static void pages_that_are_protected_are_withdrawn(void **state)
{
	int uffd = watch_area(UFFD_FEATURE_PAGEFAULT_FLAG_WP, UFFDIO_REGISTER_MODE_WP);
	struct uffdio_writeprotect wp = {
		.range = { .start = (uintptr_t)area, .len = AREA_BYTES },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	(void)state;
	skip_without(uffd, "write protection by userfaultfd");
	guest_writes(AREA_GPA, N_PAGES);
	assert_seen(assert_int_equal(ioctl(uffd, UFFDIO_WRITEPROTECT, &wp), 0), 1);
	wp.mode = 0;
	assert_seen(assert_int_equal(ioctl(uffd, UFFDIO_WRITEPROTECT, &wp), 0), 0);
	close(uffd);
}

/* Which pages have been written, and protects them again. */
static void what_a_scan_protects_is_withdrawn(void **state)
{
	int uffd = watch_area(UFFD_FEATURE_WP_ASYNC, UFFDIO_REGISTER_MODE_WP);
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	struct pagemap_region region = { 0 };
	struct pagemap_scan scan = {
		.size = sizeof(scan),
		.flags = PAGEMAP_SCAN_PROTECTS | PAGEMAP_SCAN_CHECKS,
		.start = (uintptr_t)area,
		.end = (uintptr_t)area + AREA_BYTES,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
		.category_mask = PAGEMAP_IS_WRITTEN,
		.return_mask = PAGEMAP_IS_WRITTEN,
	};

	(void)state;
	skip_without(uffd, "asynchronous write protection");
	guest_writes(AREA_GPA, N_PAGES);
	met_before = n_met();
	if (ioctl(pagemap, PAGEMAP_SCAN_CALL, &scan) < 0 && errno == ENOTTY) {
		print_message("[  SKIPPED ] %s: no PAGEMAP_SCAN here\n", __func__);
		skip();
	}
	assert_int_equal(n_met() - met_before, 1);
	guest_writes(AREA_GPA + 3 * PAGE, 1);
	assert_seen(assert_int_equal(ioctl(pagemap, PAGEMAP_SCAN_CALL, &scan), 1), 1);
	assert_ptr_equal(region.start, area + 3 * PAGE);
	assert_ptr_equal(region.end, area + 4 * PAGE);
	/* To look takes nothing away. */
	scan.flags = 0;
	assert_seen(assert_int_equal(ioctl(pagemap, PAGEMAP_SCAN_CALL, &scan), 0), 0);
	close(pagemap);
	close(uffd);
}

#define memory_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		memory_test(calls_by_number_are_seen_as_by_name),
		memory_test(a_child_with_its_parents_number_is_another_process),
		memory_test(segments_by_number_are_seen),
		memory_test(files_by_number_are_seen),
		memory_test(a_file_that_is_emptied_as_it_is_opened_is_withdrawn),
		memory_test(memory_at_the_end_of_the_heap_is_withdrawn),
		memory_test(pages_that_are_moved_are_withdrawn_at_both_ends),
		memory_test(pages_that_are_protected_are_withdrawn),
		memory_test(what_a_scan_protects_is_withdrawn),
		memory_test(what_is_no_file_has_no_pages_to_take_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
