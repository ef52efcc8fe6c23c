/* SPDX-License-Identifier: MIT */
/*
 * tests/kvm_api/test_edge.c - calls of the client on its own memory: which of them are
 * invalidations, and that no thread waits for one that waits for another thread.
 */
#include "tests/kvm_api/api_vm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvm/process.h"
#include "mem/reservation.h"
#include "sync/atomic.h"
#include "tests/uffd.h"

#define PAGE 4096ull
#define N_PAGES 64u
#define AREA_GPA 0x2000000ull	/* in slot 1 */
#define AREA_BYTES (N_PAGES * PAGE)

static struct api_vm vm;
static uint8_t *area;

static void map_area(int flags, int fd)
{
	area = umbra_mmap_memory(NULL, AREA_BYTES, PROT_READ | PROT_WRITE, flags, fd, 0);
	assert_ptr_not_equal(area, MAP_FAILED);
	assert_int_equal(api_set_region(&vm, 1, KVM_MEM_LOG_DIRTY_PAGES, AREA_GPA, AREA_BYTES,
					area), 0);
}

static int set_up(void **state)
{
	(void)state;
	api_vm_create(&vm);
	map_area(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	api_vm_destroy(&vm);
	umbra_munmap(area, AREA_BYTES);
	return 0;
}

static void add_invalidations(void *ctx, struct cds_list_head *vms)
{
	uint64_t *sum = ctx;
	struct vm *v;

	cds_list_for_each_entry(v, vms, node) {
		sum[0] += atomic64_load_relaxed(&v->mmu.stats[VM_STAT_mmu_notifier_invalidations]);
		sum[1] += atomic64_load_relaxed(&v->mmu.stats[VM_STAT_mmu_notifier_overlaps]);
		sum[2] += atomic64_load_relaxed(&v->mmu.stats[VM_STAT_mmu_zapped]);
	}
}

struct counts {
	uint64_t invalidations, overlaps, zapped;
};

static struct counts since(const struct counts *before)
{
	uint64_t sum[3] = { 0 };

	process_with_vms(add_invalidations, sum);
	if (!before)
		return (struct counts){ sum[0], sum[1], sum[2] };
	return (struct counts){ sum[0] - before->invalidations, sum[1] - before->overlaps,
				sum[2] - before->zapped };
}

/* The guest writes a word to each page of the area. */
static void fill(uint64_t value)
{
	struct kvm_regs regs;

	api_load_guest(&vm, fill);
	api_vcpu_reset(&vm.vcpu);
	regs = api_regs(&vm.vcpu);
	regs.rax = value;
	regs.rdi = AREA_GPA;
	regs.rcx = N_PAGES;
	api_set_regs(&vm.vcpu, &regs);
	assert_int_equal(api_run(&vm.vcpu), 0);
	assert_int_equal(vm.vcpu.run->exit_reason, KVM_EXIT_HLT);
}

static long load(unsigned int page, uint64_t *value)
{
	struct kvm_regs regs;
	long err;

	api_load_guest(&vm, load);
	api_vcpu_reset(&vm.vcpu);
	regs = api_regs(&vm.vcpu);
	regs.rdi = AREA_GPA + page * PAGE;
	api_set_regs(&vm.vcpu, &regs);
	err = api_run(&vm.vcpu);
	*value = api_regs(&vm.vcpu).rax;
	return err;
}

/* --- what is an invalidation ---------------------------------------------------- */

static void advice_that_takes_nothing_away_is_no_invalidation(void **state)
{
	static const int harmless[] = {
		MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTFORK,
		MADV_DOFORK, MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_HUGEPAGE, MADV_NOHUGEPAGE,
		MADV_DONTDUMP, MADV_DODUMP, MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_COLD,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE, 25 /* MADV_COLLAPSE */,
	};
	static const int harmful[] = {
		MADV_DONTNEED, MADV_FREE, MADV_PAGEOUT, MADV_REMOVE, 12345,
	};
	struct counts before;
	uint64_t value;

	(void)state;
	fill(7);
	before = since(NULL);
	for (size_t i = 0; i < sizeof(harmless) / sizeof(*harmless); i++)
		umbra_madvise(area, AREA_BYTES, harmless[i]);
	assert_int_equal(umbra_mprotect(area, AREA_BYTES, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(since(&before).invalidations, 0);
	assert_int_equal(load(3, &value), 0);
	assert_int_equal(value, 7);
	for (size_t i = 0; i < sizeof(harmful) / sizeof(*harmful); i++) {
		before = since(NULL);
		umbra_madvise(area, AREA_BYTES, harmful[i]);
		assert_int_equal(since(&before).overlaps, 1);
	}
}

static void calls_on_memory_that_no_slot_has_drop_nothing(void **state)
{
	void *other = mmap(NULL, AREA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	struct counts before, after;

	(void)state;
	fill(1);
	before = since(NULL);
	assert_int_equal(umbra_mprotect(other, AREA_BYTES, PROT_READ), 0);
	assert_int_equal(umbra_madvise(other, AREA_BYTES, MADV_DONTNEED), 0);
	assert_int_equal(umbra_munmap(other, AREA_BYTES), 0);
	after = since(&before);
	assert_int_equal(after.invalidations, 3);
	assert_int_equal(after.overlaps, 0);
	assert_int_equal(after.zapped, 0);
}

static void every_call_that_takes_rights_or_pages_withdraws_the_range(void **state)
{
	struct iovec part = { .iov_base = area, .iov_len = 2 * PAGE };
	struct counts before;
	long pidfd = syscall(SYS_pidfd_open, getpid(), 0);
	uint64_t value;

	(void)state;
	fill(1);
	before = since(NULL);
	assert_int_equal(umbra_mprotect(area, PAGE, PROT_READ), 0);
	assert_int_equal(since(&before).zapped, 1);
	umbra_pkey_mprotect(area + PAGE, PAGE, PROT_READ, -1);
	assert_int_equal(since(&before).zapped, 2);
	assert_int_equal(umbra_mprotect(area, 2 * PAGE, PROT_READ | PROT_WRITE), 0);
	/* Whether or not the kernel knows it for one's own process. */
	fill(1);
	before = since(NULL);
	umbra_process_madvise((int)pidfd, &part, 1, MADV_PAGEOUT, 0);
	assert_int_equal(since(&before).overlaps, 1);
	umbra_process_madvise((int)pidfd, &part, 1, MADV_COLD, 0);
	assert_int_equal(since(&before).overlaps, 1);
	assert_int_equal(umbra_process_madvise((int)pidfd, (void *)8, 1, MADV_DONTNEED, 0), -1);
	umbra_remap_file_pages(area, PAGE, 0, 0, 0);
	assert_int_equal(since(&before).overlaps, 2);
	/* A file keeps its place where there is something, and takes it if asked. */
	assert_ptr_equal(umbra_mmap_memory(area, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS |
					   MAP_FIXED_NOREPLACE, -1, 0), MAP_FAILED);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(since(&before).overlaps, 2);
	assert_int_equal(load(5, &value), 0);
	assert_int_equal(value, 1);
	close((int)pidfd);
}

/* Of a process that has the same addresses; it ends with its pipe. */
static pid_t start_another(int *pipe_end)
{
	int ends[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (!pid) {
		syscall(SYS_close, ends[1]);
		_exit(read(ends[0], &byte, 1) != 0);
	}
	close(ends[0]);
	*pipe_end = ends[1];
	return pid;
}

static void advice_to_another_process_is_none_of_ours(void **state)
{
	void *ours = reservation_get(PAGE);
	struct iovec parts[] = {
		{ .iov_base = area, .iov_len = PAGE },
		{ .iov_base = ours, .iov_len = PAGE },
	};
	struct counts before = since(NULL);
	int pipe_end, pidfd;
	pid_t pid;

	(void)state;
	pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (pidfd < 0 || access("/proc/self/fdinfo", F_OK))
		skip();
	assert_int_equal(umbra_process_madvise(pidfd, parts, 2, MADV_PAGEOUT, 0), -1);
	assert_int_equal(errno, ENOMEM);
	close(pidfd);
	pid = start_another(&pipe_end);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	errno = 0;
	umbra_process_madvise(pidfd, parts, 2, MADV_PAGEOUT, 0);
	assert_int_not_equal(errno, ENOMEM);
	assert_int_equal(since(&before).invalidations, 0);
	close(pidfd);
	close(pipe_end);
	waitpid(pid, NULL, 0);
	reservation_put(ours, PAGE);
}

static void a_segment_that_is_detached_or_put_over_memory_is_withdrawn(void **state)
{
	int id = shmget(IPC_PRIVATE, 4 * PAGE, IPC_CREAT | 0600);
	struct counts before;
	uint64_t value;

	(void)state;
	if (id < 0)
		skip();
	fill(1);
	before = since(NULL);
	assert_ptr_equal(umbra_shmat(id, area, SHM_REMAP), area);
	shmctl(id, IPC_RMID, NULL);
	assert_int_equal(since(&before).zapped, 4);
	assert_int_equal(load(0, &value), 0);
	assert_int_equal(value, 0);
	fill(2);
	before = since(NULL);
	assert_int_equal(umbra_shmdt(area), 0);
	assert_int_equal(since(&before).zapped, 4);
	assert_int_equal(load(0, &value), -EFAULT);
	assert_int_equal(load(4, &value), 0);
	assert_int_equal(value, 2);
}

/* --- files --------------------------------------------------------------------------- */

static int use_a_file(void)
{
	int fd = memfd_create("guest memory", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(umbra_ftruncate(fd, 2 * AREA_BYTES), 0);
	assert_int_equal(api_set_region(&vm, 1, 0, 0, 0, NULL), 0);
	umbra_munmap(area, AREA_BYTES);
	map_area(MAP_SHARED, fd);
	return fd;
}

static void a_hole_in_a_file_is_withdrawn_where_the_file_is_mapped(void **state)
{
	int fd = use_a_file(), other = memfd_create("other", MFD_CLOEXEC);
	struct counts before;
	uint64_t value;

	(void)state;
	fill(9);
	before = since(NULL);
	/* Not one that no slot shows, nor a part that none shows, nor more memory. */
	assert_int_equal(umbra_ftruncate(other, AREA_BYTES), 0);
	assert_int_equal(umbra_fallocate(other, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
					 AREA_BYTES), 0);
	assert_int_equal(umbra_fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					 AREA_BYTES, PAGE), 0);
	assert_int_equal(umbra_fallocate(fd, 0, 0, AREA_BYTES), 0);
	assert_int_equal(since(&before).invalidations, 0);

	assert_int_equal(umbra_fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 3 * PAGE,
					 2 * PAGE), 0);
	assert_int_equal(since(&before).overlaps, 1);
	assert_int_equal(since(&before).zapped, 2);
	assert_int_equal(load(3, &value), 0);
	assert_int_equal(value, 0);
	assert_int_equal(load(5, &value), 0);
	assert_int_equal(value, 9);
	close(other);
	close(fd);
}

static void a_file_cut_short_is_withdrawn_behind_its_end(void **state)
{
	int fd = use_a_file();
	char path[64];
	struct counts before;
	uint64_t value;

	(void)state;
	fill(9);
	before = since(NULL);
	assert_int_equal(umbra_ftruncate(fd, 60 * PAGE), 0);
	assert_int_equal(since(&before).zapped, 4);
	assert_int_equal(load(61, &value), -EFAULT);
	assert_int_equal(load(59, &value), 0);
	assert_int_equal(value, 9);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (umbra_truncate(path, 50 * PAGE) == 0) {
		assert_int_equal(load(55, &value), -EFAULT);
		assert_int_equal(load(49, &value), 0);
	}
	close(fd);
}

/* The file is found where it has been moved to, and not where it was. */
static void a_file_is_found_after_its_mapping_was_moved(void **state)
{
	int fd = use_a_file();
	uint8_t *to = umbra_mmap_memory(NULL, AREA_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
					-1, 0);
	struct counts before;

	(void)state;
	assert_ptr_equal(umbra_mremap(area, AREA_BYTES, AREA_BYTES,
				      MREMAP_MAYMOVE | MREMAP_FIXED, to), to);
	assert_int_equal(api_set_region(&vm, 1, 0, 0, 0, NULL), 0);
	area = to;
	assert_int_equal(api_set_region(&vm, 1, 0, AREA_GPA, AREA_BYTES, area), 0);
	fill(9);
	before = since(NULL);
	assert_int_equal(umbra_fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE,
					 PAGE), 0);
	assert_int_equal(since(&before).invalidations, 1);
	assert_int_equal(since(&before).zapped, 1);
	close(fd);
}

/* A hole in page @page of the file takes @n pages from the guest. */
static void punch(int fd, unsigned int page, unsigned int n)
{
	struct counts before;

	fill(9);
	before = since(NULL);
	assert_int_equal(umbra_fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					 page * PAGE, PAGE), 0);
	assert_int_equal(since(&before).zapped, n);
}

/* The area, of which only the first half is a mapping of the file. */
static int use_half_a_file(void)
{
	int fd = use_a_file();

	assert_int_equal(umbra_munmap(area + AREA_BYTES / 2, AREA_BYTES / 2), 0);
	return fd;
}

static void a_file_is_found_where_its_mapping_has_grown(void **state)
{
	int fd = use_half_a_file();
	uint8_t *to;

	(void)state;
	assert_ptr_equal(umbra_mremap(area, AREA_BYTES / 2, AREA_BYTES, 0, NULL), area);
	punch(fd, 1, 1);
	punch(fd, N_PAGES - 2, 1);
	/* On another place as well. */
	assert_int_equal(umbra_munmap(area + AREA_BYTES / 2, AREA_BYTES / 2), 0);
	to = umbra_mmap_memory(NULL, AREA_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_equal(umbra_mremap(area, AREA_BYTES / 2, AREA_BYTES,
				      MREMAP_MAYMOVE | MREMAP_FIXED, to), to);
	assert_int_equal(api_set_region(&vm, 1, 0, 0, 0, NULL), 0);
	area = to;
	assert_int_equal(api_set_region(&vm, 1, 0, AREA_GPA, AREA_BYTES, area), 0);
	punch(fd, 1, 1);
	punch(fd, N_PAGES - 2, 1);
	close(fd);
}

/* The list of mappings is short, and none in it that grows takes a second place. */
static void a_mapping_that_grows_often_is_one_mapping(void **state)
{
	const size_t most = 300 * PAGE;
	uint8_t *log = umbra_mmap_memory(NULL, most, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = memfd_create("a log that grows", MFD_CLOEXEC);
	int other = memfd_create("other", MFD_CLOEXEC);
	struct counts before;

	(void)state;
	assert_int_equal(umbra_munmap(log, most), 0);
	assert_ptr_equal(umbra_mmap_memory(log, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0),
			 log);
	for (size_t bytes = PAGE; bytes < most; bytes += PAGE)
		assert_ptr_equal(umbra_mremap(log, bytes, bytes + PAGE, 0, NULL), log);
	fill(9);
	before = since(NULL);
	assert_int_equal(umbra_ftruncate(other, PAGE), 0);
	assert_int_equal(since(&before).invalidations, 0);
	assert_int_equal(umbra_munmap(log, most), 0);
	close(other);
	close(fd);
}

static void a_file_is_found_where_its_memory_is_mapped_once_more(void **state)
{
	int fd = use_a_file();
	uint8_t *again = umbra_mmap_memory(NULL, AREA_BYTES, PROT_NONE,
					   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_ptr_equal(umbra_mremap(area + 8 * PAGE, 0, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
				      again), again);
	assert_int_equal(api_set_region(&vm, 2, 0, 2 * AREA_GPA, 4 * PAGE, again), 0);
	punch(fd, 9, 1);
	/* Only there. */
	assert_int_equal(api_set_region(&vm, 1, 0, 0, 0, NULL), 0);
	assert_int_equal(umbra_munmap(area, AREA_BYTES), 0);
	area = again;
	assert_int_equal(api_set_region(&vm, 2, 0, 0, 0, NULL), 0);
	assert_int_equal(api_set_region(&vm, 1, 0, AREA_GPA, 4 * PAGE, again), 0);
	for (unsigned int i = 0; i < 4; i++) {
		struct counts before;
		uint64_t value;

		assert_int_equal(load(i, &value), 0);
		before = since(NULL);
		assert_int_equal(umbra_fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
						 (8 + i) * PAGE, PAGE), 0);
		assert_int_equal(since(&before).zapped, 1);
	}
	close(fd);
}

/* --- nobody waits for an invalidation but faults ------------------------------------- */

/* cmocka's asserts are for the main thread. */
static struct atomic32 n_wrong;

static void note_ok(bool ok)
{
	if (!ok)
		atomic32_fetch_add(&n_wrong, 1);
}

static bool set_slot_2(uint64_t bytes)
{
	struct kvm_userspace_memory_region r = {
		.slot = 2,
		.guest_phys_addr = AREA_GPA + 2 * AREA_BYTES,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)area,
	};

	return umbra_set_user_memory_region(vm.fd, &r) == 0;
}

/* As a handler of userfaultfd may, while the call that it serves waits for it. */
static void make_every_call(void)
{
	uint64_t bitmap[N_PAGES / 64 + 1];
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };
	void *other = umbra_mmap_memory(NULL, PAGE, PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long fd;

	note_ok(umbra_madvise(other, PAGE, MADV_DONTNEED) == 0);
	note_ok(umbra_munmap(other, PAGE) == 0);
	note_ok(umbra_get_dirty_log(vm.fd, &log) == 0);
	fd = umbra_create_vm(vm.kvm, 0);
	note_ok(fd >= 0 && umbra_close((int)fd) == 0);
	/* Also of the range itself; not one that userfaultfd would tell of. */
	note_ok(umbra_mprotect(area + PAGE, PAGE, PROT_READ) == 0);
	note_ok(umbra_mprotect(area + PAGE, PAGE, PROT_READ | PROT_WRITE) == 0);
	note_ok(set_slot_2(AREA_BYTES) && set_slot_2(0));
}

static void *make_every_call_in_a_thread(void *arg)
{
	make_every_call();
	return arg;
}

static void wait_for_another(void *ctx)
{
	pthread_t t;

	(void)ctx;
	note_ok(pthread_create(&t, NULL, make_every_call_in_a_thread, NULL) == 0);
	pthread_join(t, NULL);
	/* And the thread itself. */
	make_every_call();
}

static void calls_of_every_kind_are_made_while_one_is_under_way(void **state)
{
	(void)state;
	fill(1);
	umbra_changing(area, AREA_BYTES, wait_for_another, NULL);
	assert_int_equal(atomic32_load_relaxed(&n_wrong), 0);
	fill(1);
}

struct waiting_vcpu {
	struct atomic32 tid, done;
	long result;
};

static void do_nothing(int sig)
{
	(void)sig;
}

static void *run_into_the_change(void *arg)
{
	struct waiting_vcpu *w = arg;

	atomic32_store_release(&w->tid, (uint32_t)gettid());
	do
		w->result = umbra_run(vm.vcpu.fd, 0);
	while (w->result == 0 && vm.vcpu.run->exit_reason != KVM_EXIT_HLT);
	atomic32_store_release(&w->done, 1);
	return NULL;
}

static void send_signals_until_it_is_out(void *ctx)
{
	struct waiting_vcpu *w = ctx;
	pthread_t t;

	pthread_create(&t, NULL, run_into_the_change, w);
	while (!atomic32_load_acquire(&w->done) &&
	       !atomic32_load_acquire(&process_changes()->n_asleep))
		sched_yield();
	/* It cannot come to its end before this function has. */
	do
		syscall(SYS_tgkill, getpid(), atomic32_load_relaxed(&w->tid), SIGUSR1);
	while (pthread_tryjoin_np(t, NULL));
}

static void start_load_without_signals(void)
{
	/* A length of 8, and no signal: its thread is made where all are held back. */
	uint32_t mask[3] = { 8 };
	struct kvm_regs regs;

	api_load_guest(&vm, load);
	regs = api_regs(&vm.vcpu);
	regs.rdi = AREA_GPA;
	api_set_regs(&vm.vcpu, &regs);
	assert_int_equal(umbra_ioctl(vm.vcpu.fd, KVM_SET_SIGNAL_MASK, (uintptr_t)mask), 0);
}

static void a_signal_gets_a_vcpu_out_that_waits_for_a_change_to_end(void **state)
{
	struct sigaction action = { .sa_handler = do_nothing }, old;
	struct waiting_vcpu w = { 0 };

	(void)state;
	sigaction(SIGUSR1, &action, &old);
	start_load_without_signals();
	umbra_changing(area, PAGE, send_signals_until_it_is_out, &w);
	assert_int_equal(w.result, -EINTR);
	sigaction(SIGUSR1, &old, NULL);
}

/* The VM of api_vm_create(): one page of it changes before the VM exists. */
static void make_a_vm_and_run_it(void *ctx)
{
	set_up(NULL);
	start_load_without_signals();
	send_signals_until_it_is_out(ctx);
}

static void a_vm_that_is_made_meanwhile_waits_for_a_change_to_end(void **state)
{
	struct sigaction action = { .sa_handler = do_nothing }, old;
	struct waiting_vcpu w = { 0 };

	(void)state;
	sigaction(SIGUSR1, &action, &old);
	/* Wherever the area will be. */
	umbra_changing((void *)PAGE, (1ull << 47) - PAGE, make_a_vm_and_run_it, &w);
	assert_int_equal(w.result, -EINTR);
	sigaction(SIGUSR1, &old, NULL);
	tear_down(NULL);
}

/* What two ranges in one call once did: take the process lock twice. */
static void *make_and_close_vms(void *arg)
{
	struct atomic32 *stop = arg;

	while (!atomic32_load_relaxed(stop)) {
		long fd = umbra_create_vm(vm.kvm, 0);

		note_ok(fd >= 0);
		if (fd >= 0)
			note_ok(umbra_close((int)fd) == 0);
	}
	return NULL;
}

static void memory_is_moved_over_other_memory_while_vms_come_and_go(void **state)
{
	struct atomic32 stop = { 0 };
	uint8_t *from = umbra_mmap_memory(NULL, AREA_BYTES, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t t;

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, make_and_close_vms, &stop), 0);
	for (int i = 0; i < 200; i++) {
		fill((uint64_t)i);
		memset(from, i + 1, AREA_BYTES);
		if (umbra_mremap(from, AREA_BYTES, AREA_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED,
				 area) != area ||
		    umbra_mmap_memory(from, AREA_BYTES, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != from) {
			note_ok(false);
			break;
		}
		note_ok(area[5 * PAGE] == (uint8_t)(i + 1));
	}
	atomic32_store_relaxed(&stop, 1);
	pthread_join(t, NULL);
	assert_int_equal(atomic32_load_relaxed(&n_wrong), 0);
	umbra_munmap(from, AREA_BYTES);
}

/* --- userfaultfd ---------------------------------------------------------------------- */

/* Over the whole area; -1 if it may not be. */
static int watch_area(uint64_t features)
{
	int fd = uffd_open(0, features);

	if (fd >= 0 && uffd_register(fd, area, AREA_BYTES, UFFDIO_REGISTER_MODE_MISSING)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

#define skip_without(fd)                                                                      \
	do {                                                                                  \
		if ((fd) < 0) {                                                               \
			print_message("[  SKIPPED ] %s: userfaultfd is not permitted here\n", \
				      __func__);                                              \
			skip();                                                               \
		}                                                                             \
	} while (0)

static void answer(int uffd, const struct uffd_msg *msg)
{
	uintptr_t page = msg->arg.pagefault.address & ~(PAGE - 1);

	if (msg->event == UFFD_EVENT_PAGEFAULT)
		note_ok(uffd_give_zeros(uffd, (void *)page, PAGE) == 0 || errno == EEXIST);
}

struct handler {
	int uffd;
	struct atomic32 stop, n_served, waits;
	pthread_t thread, other;
};

/* In a thread of its own, so that the handler may wait for one that makes the calls. */
static void *serve(void *arg)
{
	struct handler *h = arg;
	struct pollfd p = { .fd = h->uffd, .events = POLLIN };
	struct uffd_msg msg;

	while (!atomic32_load_relaxed(&h->stop)) {
		if (poll(&p, 1, 10) <= 0)
			continue;
		/* Somebody waits for the message to be read, or for the page. */
		if (atomic32_fetch_add(&h->n_served, 1) < 4)
			wait_for_another(NULL);
		if (read(h->uffd, &msg, sizeof(msg)) == sizeof(msg))
			answer(h->uffd, &msg);
	}
	return NULL;
}

static void start_handler(struct handler *h, int uffd)
{
	*h = (struct handler){ .uffd = uffd };
	assert_int_equal(pthread_create(&h->thread, NULL, serve, h), 0);
	assert_int_equal(pthread_create(&h->other, NULL, make_and_close_vms, &h->stop), 0);
}

static void stop_handler(struct handler *h)
{
	atomic32_store_relaxed(&h->stop, 1);
	pthread_join(h->thread, NULL);
	pthread_join(h->other, NULL);
	close(h->uffd);
	assert_true(atomic32_load_relaxed(&h->n_served) > 0);
	assert_int_equal(atomic32_load_relaxed(&n_wrong), 0);
}

static void memory_is_populated_by_a_handler_that_makes_calls(void **state)
{
	struct handler h;
	int uffd = watch_area(0);

	(void)state;
	skip_without(uffd);
	start_handler(&h, uffd);
	assert_int_equal(umbra_madvise(area + 2 * PAGE, 4 * PAGE, MADV_POPULATE_WRITE), 0);
	stop_handler(&h);
}

static void memory_is_given_up_to_a_handler_that_makes_calls(void **state)
{
	struct handler h;
	int uffd = watch_area(UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP |
			      UFFD_FEATURE_EVENT_REMAP);
	uint8_t *to = mmap(NULL, AREA_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	skip_without(uffd);
	/* Not of the pages that the handler itself gives up. */
	start_handler(&h, uffd);
	assert_int_equal(umbra_madvise(area + 8 * PAGE, 4 * PAGE, MADV_DONTNEED), 0);
	assert_ptr_equal(umbra_mremap(area + 16 * PAGE, 4 * PAGE, 4 * PAGE,
				      MREMAP_MAYMOVE | MREMAP_FIXED, to), to);
	assert_int_equal(umbra_munmap(area + 24 * PAGE, 4 * PAGE), 0);
	assert_ptr_equal(umbra_mmap_memory(area + 24 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 area + 24 * PAGE);
	stop_handler(&h);
	munmap(to, AREA_BYTES);
}

/* A vCPU waits for the page, and what is to provide it makes calls. */
static void a_guest_waits_for_a_handler_that_makes_calls(void **state)
{
	struct handler h;
	uint64_t value;
	int uffd = watch_area(0);

	(void)state;
	skip_without(uffd);
	start_handler(&h, uffd);
	assert_int_equal(load(7, &value), 0);
	assert_int_equal(value, 0);
	stop_handler(&h);
}

#define edge_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		edge_test(advice_that_takes_nothing_away_is_no_invalidation),
		edge_test(calls_on_memory_that_no_slot_has_drop_nothing),
		edge_test(every_call_that_takes_rights_or_pages_withdraws_the_range),
		edge_test(advice_to_another_process_is_none_of_ours),
		edge_test(a_segment_that_is_detached_or_put_over_memory_is_withdrawn),
		edge_test(a_hole_in_a_file_is_withdrawn_where_the_file_is_mapped),
		edge_test(a_file_cut_short_is_withdrawn_behind_its_end),
		edge_test(a_file_is_found_after_its_mapping_was_moved),
		edge_test(a_file_is_found_where_its_mapping_has_grown),
		edge_test(a_mapping_that_grows_often_is_one_mapping),
		edge_test(a_file_is_found_where_its_memory_is_mapped_once_more),
		cmocka_unit_test(a_vm_that_is_made_meanwhile_waits_for_a_change_to_end),
		edge_test(calls_of_every_kind_are_made_while_one_is_under_way),
		edge_test(a_signal_gets_a_vcpu_out_that_waits_for_a_change_to_end),
		edge_test(memory_is_moved_over_other_memory_while_vms_come_and_go),
		edge_test(memory_is_populated_by_a_handler_that_makes_calls),
		edge_test(memory_is_given_up_to_a_handler_that_makes_calls),
		edge_test(a_guest_waits_for_a_handler_that_makes_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
