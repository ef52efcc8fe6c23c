/* SPDX-License-Identifier: MIT */
/*
 * tests/preload/test_descriptors.c - descriptors are what is behind them, whoever closed
 * and copied them, and answer as the kernel's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define RUN_BYTES 12288

/* One of each kind. */
struct kvm {
	int system, vm, vcpu;
};

static struct kvm make(void)
{
	struct kvm k = { .system = open("/dev/kvm", O_RDWR) };

	assert_true(k.system >= 0);
	k.vm = ioctl(k.system, KVM_CREATE_VM, 0);
	assert_true(k.vm >= 0);
	k.vcpu = ioctl(k.vm, KVM_CREATE_VCPU, 0);
	assert_true(k.vcpu >= 0);
	return k;
}

static void destroy(struct kvm k)
{
	close(k.vcpu);
	close(k.vm);
	close(k.system);
}

static void close_by_stream(int fd)
{
	FILE *stream = fdopen(fd, "r+");

	assert_non_null(stream);
	assert_int_equal(fclose(stream), 0);
}

static void close_by_reopening(int fd)
{
	FILE *stream = fdopen(fd, "r+");

	stream = freopen("/", "r", stream);
	assert_non_null(stream);
	assert_int_equal(fclose(stream), 0);
}

/* By an instruction of our own. */
static long call_unseen(long number, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return result;
}

static void close_unseen(int fd)
{
	assert_int_equal(call_unseen(SYS_close, fd, 0, 0, 0), 0);
}

static void (*const closers[])(int fd) = { close_by_stream, close_by_reopening, close_unseen };

#define assert_errno(call, wanted)               \
	do {                                     \
		errno = 0;                       \
		assert_int_equal(call, -1);      \
		assert_int_equal(errno, wanted); \
	} while (0)

/* Puts a pipe where @fd was; *@other is its writing end. */
static void take_number(int fd, int *other)
{
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	if (ends[0] != fd) {
		/* Unseen, too. */
		assert_int_equal(syscall(SYS_dup3, ends[0], fd, 0), fd);
		close(ends[0]);
	}
	*other = ends[1];
}

static void is_a_pipe(int fd, int other)
{
	struct kvm_regs regs;
	struct stat st;
	char text[4];
	int waiting = 0;

	assert_errno(ioctl(fd, KVM_GET_API_VERSION, 0), ENOTTY);
	assert_errno(ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY), ENOTTY);
	assert_errno(ioctl(fd, KVM_GET_REGS, &regs), ENOTTY);
	assert_int_equal(write(other, "abc", 3), 3);
	assert_int_equal(ioctl(fd, FIONREAD, &waiting), 0);
	assert_int_equal(waiting, 3);
	assert_int_equal(read(fd, text, sizeof(text)), 3);
	assert_errno(lseek(fd, 0, SEEK_CUR), ESPIPE);
	assert_errno((int)(intptr_t)mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0), ENODEV);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
}

static void a_numbers_next_owner_answers(void **state)
{
	(void)state;
	for (size_t how = 0; how < sizeof(closers) / sizeof(*closers); how++)
		for (int kind = 0; kind < 3; kind++) {
			struct kvm k = make();
			int fds[] = { k.system, k.vm, k.vcpu }, other;

			closers[how](fds[kind]);
			take_number(fds[kind], &other);
			is_a_pipe(fds[kind], other);
			close(other);
			destroy(k);
		}
}

static void what_was_closed_unseen_is_closed(void **state)
{
	struct kvm k = make();
	struct kvm_regs regs;

	(void)state;
	close_unseen(k.vm);
	assert_errno(ioctl(k.vm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY), EBADF);
	assert_errno(close(k.vm), EBADF);
	close_unseen(k.vcpu);
	assert_errno(ioctl(k.vcpu, KVM_GET_REGS, &regs), EBADF);
	close(k.system);
}

static int copy_unseen(int fd)
{
	return (int)syscall(SYS_dup, fd);
}

static int copy_by_message(int fd)
{
	char room[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec v = { &byte, 1 };
	struct msghdr message = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = room,
				  .msg_controllen = sizeof(room) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	int ends[2], copy;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	assert_int_equal(sendmsg(ends[0], &message, 0), 1);
	assert_int_equal(recvmsg(ends[1], &message, 0), 1);
	memcpy(&copy, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(copy));
	close(ends[0]);
	close(ends[1]);
	return copy;
}

static int copy_by_dup(int fd)
{
	return dup(fd);
}

static int copy_by_dup3(int fd)
{
	return dup3(fd, 60, O_CLOEXEC);
}

static int copy_by_fcntl(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 70);
}

static void a_copy_is_what_it_copies(void **state)
{
	int (*const copiers[])(int fd) = { copy_by_dup, copy_by_dup3, copy_by_fcntl, copy_unseen,
					   copy_by_message };

	(void)state;
	for (size_t how = 0; how < sizeof(copiers) / sizeof(*copiers); how++) {
		struct kvm k = make();
		int system = copiers[how](k.system), vcpu;
		struct kvm_regs regs;

		assert_int_equal(ioctl(system, KVM_GET_API_VERSION, 0), KVM_API_VERSION);
		close(system);
		vcpu = copiers[how](k.vcpu);
		assert_int_equal(ioctl(vcpu, KVM_GET_REGS, &regs), 0);
		destroy(k);
		/* The last one keeps it. */
		assert_int_equal(ioctl(vcpu, KVM_GET_REGS, &regs), 0);
		close(vcpu);
	}
}

static void ranges_close_what_they_should(void **state)
{
	struct kvm k = make();
	unsigned int first = (unsigned int)k.system, last = (unsigned int)k.vcpu;
	int flags = fcntl(k.system, F_GETFD);

	(void)state;
	assert_false(flags & FD_CLOEXEC);
	assert_int_equal(close_range(first, last, CLOSE_RANGE_CLOEXEC), 0);
	assert_int_equal(ioctl(k.system, KVM_GET_API_VERSION, 0), KVM_API_VERSION);
	assert_true(fcntl(k.system, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(close_range(first, last, 0), 0);
	assert_errno(ioctl(k.system, KVM_GET_API_VERSION, 0), EBADF);
	k = make();
	closefrom(k.system);
	assert_errno(ioctl(k.system, KVM_GET_API_VERSION, 0), EBADF);
	assert_errno(ioctl(k.vm, KVM_CHECK_EXTENSION, 0), EBADF);
}

/* With the inode of the vCPU, and under the number that the vCPU had. */
static void statistics_are_no_vcpu(void **state)
{
	struct kvm k = make();
	int copy = dup(k.vcpu), stats;
	struct kvm_regs regs;

	(void)state;
	close_unseen(k.vcpu);
	stats = ioctl(copy, KVM_GET_STATS_FD, NULL);
	assert_int_equal(stats, k.vcpu);
	assert_errno(ioctl(stats, KVM_GET_REGS, &regs), ENOTTY);
	assert_int_equal(ioctl(copy, KVM_GET_REGS, &regs), 0);
	close(copy);
	destroy(k);
}

#define THREADS 4
#define FIRST_NUMBER 100
#define NUMBERS 8
#define STEPS 4000

static struct kvm sources;
static int plain_source;

static void step(unsigned int *seed)
{
	int number = FIRST_NUMBER + rand_r(seed) % NUMBERS, result;
	struct kvm_regs regs;
	struct stat st;
	void *map;

	errno = 0;
	switch (rand_r(seed) % 12) {
	case 0:
		dup2(sources.system, number);
		break;
	case 1:
		dup3(sources.vm, number, O_CLOEXEC);
		break;
	case 2:
		dup2(sources.vcpu, number);
		break;
	case 3:
		dup2(plain_source, number);
		break;
	case 4:
		syscall(SYS_dup3, sources.vcpu, number, 0);
		break;
	case 5:
		close(number);
		break;
	case 6:
		syscall(SYS_close, number);
		break;
	case 7:
		result = ioctl(number, KVM_GET_REGS, &regs);
		assert_true(!result || errno == EINVAL || errno == ENOTTY || errno == EBADF);
		break;
	case 8:
		result = ioctl(number, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY);
		assert_true(result == 1 || errno == EINVAL || errno == ENOTTY || errno == EBADF);
		break;
	case 9:
		map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, number, 0);
		if (map != MAP_FAILED)
			munmap(map, 4096);
		break;
	case 10:
		assert_true(fstat(number, &st) == 0 || errno == EBADF);
		break;
	case 11:
		close_range((unsigned int)number, (unsigned int)number + 1, 0);
		break;
	}
}

static void *exchange_at_random(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;

	for (int i = 0; i < STEPS; i++)
		step(&seed);
	return NULL;
}

/* Whatever they do to each other, what they exchange stays what it was. */
static void threads_may_exchange_descriptors_at_random(void **state)
{
	pthread_t threads[THREADS];
	struct kvm_regs regs;

	(void)state;
#ifdef __SANITIZE_THREAD__
	/* It takes descriptors for memory: these races are meant. */
	skip();
#endif
	sources = make();
	plain_source = memfd_create("plain", 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, exchange_at_random,
						(void *)(i + 1)), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < NUMBERS; i++)
		close(FIRST_NUMBER + i);
	assert_int_equal(ioctl(sources.vcpu, KVM_GET_REGS, &regs), 0);
	assert_errno(ioctl(plain_source, KVM_GET_REGS, &regs), ENOTTY);
	close(plain_source);
	destroy(sources);
	assert_errno(ioctl(FIRST_NUMBER, KVM_GET_REGS, &regs), EBADF);
}

static struct iovec vector(void)
{
	static char room[16];

	return (struct iovec){ room, sizeof(room) };
}

/* Each on a descriptor: what it returns, or -errno. */
#define OPERATIONS(X)                                    \
	X(read(fd, v.iov_base, v.iov_len))               \
	X(read(fd, v.iov_base, 0))                       \
	X(write(fd, v.iov_base, v.iov_len))              \
	X(pread(fd, v.iov_base, v.iov_len, 0))           \
	X(pwrite(fd, v.iov_base, v.iov_len, 0))          \
	X(readv(fd, &v, 1))                              \
	X(writev(fd, &v, 1))                             \
	X(preadv(fd, &v, 1, 0))                          \
	X(pwritev(fd, &v, 1, 0))                         \
	X(preadv2(fd, &v, 1, -1, 0))                     \
	X(pwritev2(fd, &v, 1, -1, 0))                    \
	X(lseek(fd, 5, SEEK_SET))                        \
	X(lseek(fd, 0, SEEK_END))                        \
	X(lseek(fd, 0, 77))                              \
	X(ftruncate(fd, 0))                              \
	X(ftruncate(fd, 1 << 20))                        \
	X(fallocate(fd, 0, 0, 4096))                     \
	X(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096)) \
	X(fallocate(fd, 0, -1, 4096))                    \
	X(-posix_fallocate(fd, 0, 4096))                 \
	X(fsync(fd))                                     \
	X(fdatasync(fd))                                 \
	X((intptr_t)mmap(NULL, 0, PROT_READ, MAP_SHARED, fd, 0)) \
	X(ioctl(fd, FIOCLEX))                            \
	X(fcntl(fd, F_GETFD))                            \
	X(ioctl(fd, FIONCLEX))                           \
	X(fcntl(fd, F_GETFD))                            \
	X(ioctl(fd, FIONBIO, &on))                       \
	X(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) \
	X(ioctl(fd, FIONBIO, &zero))                     \
	X(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) \
	X(ioctl(fd, FIONBIO, NULL))                      \
	X(ioctl(fd, FIOASYNC, &on))                      \
	X(ioctl(fd, FIOASYNC, &zero))                    \
	X(ioctl(fd, FIOQSIZE, v.iov_base))               \
	X(fstat(fd, &st) ? -1 : (int)(st.st_mode | st.st_rdev | (unsigned long)st.st_size))

static void each_operation(int fd, long *results, const char **names)
{
	struct iovec v = vector();
	int on = 1, zero = 0;
	struct stat st;
	size_t i = 0;
	long result;

#define DO(call)                                           \
	errno = 0;                                         \
	result = (long)(call);                             \
	names[i] = #call;                                  \
	results[i++] = result == -1 && errno ? -errno : result;
	OPERATIONS(DO)
#undef DO
}

#define COUNT(call) +1
#define N_OPERATIONS (0 OPERATIONS(COUNT))

static void compare(int fd, int oracle, bool with_positions)
{
	const char *names[N_OPERATIONS];
	long ours[N_OPERATIONS], wanted[N_OPERATIONS];

	each_operation(fd, ours, names);
	each_operation(oracle, wanted, names);
	for (size_t i = 0; i < N_OPERATIONS; i++) {
		/* What has a position but does not read says so. */
		if (with_positions && wanted[i] == -ESPIPE)
			wanted[i] = -EINVAL;
		if (with_positions && strncmp(names[i], "fstat", 5) == 0)
			continue;
		if (ours[i] != wanted[i])
			fail_msg("%s: %ld, not %ld", names[i], ours[i], wanted[i]);
	}
}

/* An epoll descriptor, too, is a file of the kernel that cannot be read or written. */
static void they_answer_as_the_kernels_own(void **state)
{
	struct kvm k = make();
	int oracle = epoll_create1(0);

	(void)state;
	assert_int_equal(fcntl(k.vm, F_SETFD, 0), 0);
	assert_int_equal(fcntl(k.vcpu, F_SETFD, 0), 0);
	compare(k.vm, oracle, false);
	compare(k.vcpu, oracle, false);
	compare(k.system, oracle, true);
	close(oracle);
	destroy(k);
}

static void unknown_requests_are_refused_as_by_kvm(void **state)
{
	struct kvm k = make();
	int waiting;

	(void)state;
	assert_errno(ioctl(k.system, FIONREAD, &waiting), EINVAL);
	assert_errno(ioctl(k.vm, FIONREAD, &waiting), ENOTTY);
	assert_errno(ioctl(k.vcpu, FIONREAD, &waiting), EINVAL);
	destroy(k);
}

static void the_device_keeps_to_how_it_was_opened(void **state)
{
	int in = open("/dev/kvm", O_RDONLY), out = open("/dev/kvm", O_WRONLY | O_NONBLOCK);
	int path = open("/dev/kvm", O_PATH);
	struct stat st;
	char byte = 0;

	(void)state;
	assert_int_equal(fcntl(in, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_errno(write(in, &byte, 1), EBADF);
	assert_errno(read(in, &byte, 1), EINVAL);
	assert_int_equal(fcntl(out, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_WRONLY | O_NONBLOCK);
	assert_errno(read(out, &byte, 1), EBADF);
	assert_errno(write(out, &byte, 1), EINVAL);
	assert_int_equal(ioctl(in, KVM_GET_API_VERSION, 0), KVM_API_VERSION);
	assert_int_equal(ioctl(out, KVM_GET_API_VERSION, 0), KVM_API_VERSION);
	assert_errno(ioctl(path, KVM_GET_API_VERSION, 0), EBADF);
	assert_errno(read(path, &byte, 1), EBADF);
	assert_int_equal(fstat(path, &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	close(in);
	close(out);
	close(path);
}

static void mappings_are_refused_as_by_kvm(void **state)
{
	struct kvm k = make();
	int exec = PROT_READ | PROT_EXEC;

	(void)state;
	assert_errno((int)(intptr_t)mmap(NULL, 4096, PROT_READ, MAP_SHARED, k.system, 0), ENODEV);
	assert_errno((int)(intptr_t)mmap(NULL, 4096, PROT_READ, MAP_SHARED, k.vm, 0), ENODEV);
	assert_errno((int)(intptr_t)mmap(NULL, 4096, exec, MAP_SHARED, k.vcpu, 0), EPERM);
	assert_errno((int)(intptr_t)mmap(NULL, 4096, PROT_READ, MAP_SHARED, k.vcpu, 8), EINVAL);
	destroy(k);
}

/* Whatever a client does to the file behind a vCPU, we do not fault. */
static void the_file_behind_a_vcpu_keeps_its_size(void **state)
{
	struct kvm k = make();
	struct kvm_regs regs;
	struct kvm_run *run = mmap(NULL, RUN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, k.vcpu, 0);

	(void)state;
	assert_ptr_not_equal(run, MAP_FAILED);
	assert_errno(syscall(SYS_ftruncate, k.vcpu, 0l), EINVAL);
	assert_errno(syscall(SYS_fallocate, k.vcpu, 0, 0l, 4096l), ENODEV);
	assert_true(call_unseen(SYS_ftruncate, k.vcpu, 0, 0, 0) < 0);
	assert_int_equal(call_unseen(SYS_fallocate, k.vcpu,
				     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1 << 20), 0);
	run->immediate_exit = 1;
	assert_errno(ioctl(k.vcpu, KVM_RUN, 0), EINTR);
	assert_int_equal(ioctl(k.vcpu, KVM_GET_REGS, &regs), 0);
	munmap(run, RUN_BYTES);
	destroy(k);
}

#define MARK 0x5a
#define ROUNDS 20000

struct exchange {
	int number, vcpu, other;
	int stop;
};

static void *exchange_thread(void *arg)
{
	struct exchange *x = arg;

	while (!__atomic_load_n(&x->stop, __ATOMIC_RELAXED)) {
		dup2(x->other, x->number);
		dup2(x->vcpu, x->number);
	}
	return NULL;
}

/* A mapping is of one file or of the other, and of its first page. */
static void a_mapping_is_of_what_the_number_was(void **state)
{
	struct kvm k = make();
	struct exchange x = { .number = 80, .vcpu = k.vcpu, .other = memfd_create("other", 0) };
	struct kvm_run *run = mmap(NULL, RUN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, k.vcpu, 0);
	uint8_t page[4096];
	pthread_t thread;

	(void)state;
	run->padding1[0] = MARK;
	for (int i = 0; i < 64; i++) {
		memset(page, i, sizeof(page));
		assert_int_equal(write(x.other, page, sizeof(page)), sizeof(page));
	}
	dup2(k.vcpu, x.number);
	assert_int_equal(pthread_create(&thread, NULL, exchange_thread, &x), 0);
	for (int i = 0; i < ROUNDS; i++) {
		const struct kvm_run *seen = mmap(NULL, 4096, PROT_READ, MAP_SHARED, x.number, 0);

		assert_true(seen == MAP_FAILED || seen->padding1[0] == MARK ||
			    seen->padding1[0] == 0);
		if (seen != MAP_FAILED)
			munmap((void *)(uintptr_t)seen, 4096);
	}
	__atomic_store_n(&x.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	munmap(run, RUN_BYTES);
	close(x.number);
	close(x.other);
	destroy(k);
}

static int use_parents(struct kvm k)
{
	struct kvm_regs regs;

	if (ioctl(k.vcpu, KVM_GET_REGS, &regs) != -1 || errno != EIO)
		return 1;
	if (ioctl(k.vcpu, KVM_RUN, 0) != -1 || errno != EIO)
		return 2;
	if (ioctl(k.vm, KVM_CREATE_VCPU, 1) != -1 || errno != EIO)
		return 3;
	return ioctl(k.system, KVM_GET_API_VERSION, 0) == KVM_API_VERSION ? 0 : 4;
}

static int make_own(void)
{
	struct kvm k = make();
	struct kvm_regs regs;
	int err = ioctl(k.vcpu, KVM_GET_REGS, &regs);

	destroy(k);
	return err;
}

static int status_of(pid_t pid)
{
	int status = -1;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void a_child_made_past_the_c_library_has_no_vm(void **state)
{
	struct kvm k = make();
	struct kvm_regs regs;
	pid_t pid;

	(void)state;
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		_exit(use_parents(k) ? 1 : make_own() ? 2 : use_parents(k) ? 3 : 0);
	assert_int_equal(status_of(pid), 0);
	assert_int_equal(ioctl(k.vcpu, KVM_GET_REGS, &regs), 0);
	destroy(k);
}

static void a_child_that_shares_memory_does_no_harm(void **state)
{
	struct kvm k;
	struct kvm_regs regs;
	int other;
	pid_t pid;

	(void)state;
#ifdef __SANITIZE_THREAD__
	/* There vfork() is fork(). */
	skip();
#endif
	k = make();
	pid = vfork();
	if (pid == 0) {
		int failed = ioctl(k.vcpu, KVM_GET_REGS, &regs);

		/* Its descriptors are its own. */
		close(k.vcpu);
		syscall(SYS_close, k.vm);
		ioctl(k.vm, KVM_CHECK_EXTENSION, 0);
		_exit(failed ? 1 : 0);
	}
	assert_int_equal(status_of(pid), 0);
	assert_int_equal(ioctl(k.vcpu, KVM_GET_REGS, &regs), 0);
	other = ioctl(k.vm, KVM_CREATE_VCPU, 1);
	assert_true(other >= 0);
	close(other);
	destroy(k);
}

static int forbid_fstat(void)
{
	const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fstat, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_newfstatat, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(code) / sizeof(*code), (struct sock_filter *)code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter);
}

static int run_restricted(void)
{
	struct kvm k = make();
	struct kvm_regs regs;

	if (forbid_fstat())
		return 77;
	return ioctl(k.vm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) != 1 ||
	       ioctl(k.vcpu, KVM_GET_REGS, &regs) || ioctl(k.vcpu, KVM_SET_REGS, &regs) ||
	       close(k.vcpu);
}

/* Nothing is verified by a call that the client has forbidden. */
static void a_client_may_restrict_its_calls(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0)
		_exit(run_restricted());
	status = status_of(pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

static const char *program;

/* /dev/kvm is not of a process, as its VMs are. */
static void the_device_survives_exec(void **state)
{
	char number[16];
	int fd = open("/dev/kvm", O_RDWR);
	pid_t pid;

	(void)state;
	snprintf(number, sizeof(number), "%d", fd);
	pid = fork();
	if (pid == 0) {
		execl(program, program, number, (char *)NULL);
		_exit(99);
	}
	assert_int_equal(status_of(pid), 0);
	close(fd);
}

/* False if we may not. */
static bool enter_jail(void)
{
	char folder[] = "/tmp/umbra-jail-XXXXXX";
	bool in;

	assert_non_null(mkdtemp(folder));
	if (geteuid() != 0 && unshare(CLONE_NEWUSER)) {
		rmdir(folder);
		return false;
	}
	in = chdir(folder) == 0 && chroot(folder) == 0;
	rmdir(in ? "/" : folder);
	return in;
}

static bool reads_from_the_start(int fd)
{
	struct kvm_stats_header header = { .num_desc = 0 };
	char id[4] = "";

	return read(fd, &header, sizeof(header)) == sizeof(header) && header.num_desc &&
	       pread(fd, id, 3, header.id_offset) == 3 && strcmp(id, "kvm") == 0 &&
	       write(fd, id, 1) == -1;
}

static int use_in_jail(void)
{
	struct kvm k;
	int first, second;

	if (!enter_jail())
		return 77;
	k = make();
	first = ioctl(k.vcpu, KVM_GET_STATS_FD, NULL);
	second = ioctl(k.vcpu, KVM_GET_STATS_FD, NULL);
	if (!reads_from_the_start(first) || !reads_from_the_start(second))
		return 1;
	first = ioctl(k.vm, KVM_GET_STATS_FD, NULL);
	if (!reads_from_the_start(first) || ftruncate(first, 0) == 0)
		return 2;
	destroy(k);
	return 0;
}

static void a_jail_without_dev_and_proc_has_it_all(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0)
		_exit(use_in_jail());
	status = status_of(pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_numbers_next_owner_answers),
		cmocka_unit_test(what_was_closed_unseen_is_closed),
		cmocka_unit_test(a_copy_is_what_it_copies),
		cmocka_unit_test(ranges_close_what_they_should),
		cmocka_unit_test(statistics_are_no_vcpu),
		cmocka_unit_test(threads_may_exchange_descriptors_at_random),
		cmocka_unit_test(they_answer_as_the_kernels_own),
		cmocka_unit_test(unknown_requests_are_refused_as_by_kvm),
		cmocka_unit_test(the_device_keeps_to_how_it_was_opened),
		cmocka_unit_test(mappings_are_refused_as_by_kvm),
		cmocka_unit_test(the_file_behind_a_vcpu_keeps_its_size),
		cmocka_unit_test(a_mapping_is_of_what_the_number_was),
		cmocka_unit_test(a_child_made_past_the_c_library_has_no_vm),
		cmocka_unit_test(a_child_that_shares_memory_does_no_harm),
		cmocka_unit_test(a_client_may_restrict_its_calls),
		cmocka_unit_test(the_device_survives_exec),
		cmocka_unit_test(a_jail_without_dev_and_proc_has_it_all),
	};

	if (argc > 1)
		return ioctl(atoi(argv[1]), KVM_GET_API_VERSION, 0) != KVM_API_VERSION;
	program = argv[0];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
