/* SPDX-License-Identifier: MIT */
/*
 * tests/preload/test_storm.c - a program that does everything at once: its vCPU runs while
 * other threads change the memory behind it by name and by number, make children in every
 * way, put up and take down ioeventfds, and send signals whose handlers call and jump out of
 * what they interrupt.  No result is awaited but that each call has one of those it may
 * have, that each child comes to its end, and that the program does.
 */
#include "tests/preload/client.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#define N_PAGES 256ul
#define AREA_BYTES (N_PAGES * PAGE)
#define AREA_GPA 0x30000000u
/* Where no mapping comes by itself: parts of it go away meanwhile. */
#define AREA_HVA 0x200000000000ul
#define N_ROUNDS 10000u
#define N_CHILDREN 80u

#define require(cond)                                                                 \
	do {                                                                          \
		if (!(cond)) {                                                        \
			fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #cond, errno); \
			_exit(1);                                                     \
		}                                                                     \
	} while (0)

/* Writes a word to each page of the area, and to the device, for ever. */
static const uint8_t code_storm[] = { 0x89, 0x07, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00, 0x81, 0xe7,
				      0xff, 0xff, 0x0f, 0x30, 0xa3, 0x00, 0x00, 0x00, 0xd0, 0xeb,
				      0xeb };

enum { RUNNER, MAPPER, LISTENER, PARENT, N_THREADS };

static struct client client;
static uint8_t *const area = (uint8_t *)AREA_HVA;
static int file;
static pthread_t threads[N_THREADS];
static volatile bool done[N_THREADS];

static __thread sigjmp_buf back;
static __thread volatile sig_atomic_t may_jump;
static __thread volatile sig_atomic_t in_handler;
static __thread uint64_t state;

/* Each thread has numbers of its own, the same each time. */
static uint64_t any(uint64_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (state >> 33) % n;
}

/* --- signals ------------------------------------------------------------ */

static void call_something(void)
{
	void *p;
	int fd;

	switch (any(4)) {
	case 0:
		p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p != MAP_FAILED)
			syscall(SYS_munmap, p, PAGE);
		break;
	case 1:
		ioctl(client.vm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY);
		break;
	case 2:
		fd = open("/dev/kvm", O_RDWR);
		if (fd >= 0)
			close(fd);
		break;
	}
}

/* None is a fault of ours: all were sent. */
static void handle(int sig, siginfo_t *info, void *context)
{
	int saved = errno;

	(void)sig;
	(void)context;
	require(info->si_code <= 0);
	if (!in_handler && any(4) == 0) {
		in_handler = 1;
		call_something();
		in_handler = 0;
	}
	if (may_jump && any(3)) {
		may_jump = 0;
		in_handler = 0;
		siglongjmp(back, 1);
	}
	errno = saved;
}

#define UNTIL_JUMP(...)                    \
	do {                               \
		if (!sigsetjmp(back, 1)) { \
			may_jump = 1;      \
			__VA_ARGS__;       \
		}                          \
		may_jump = 0;              \
	} while (0)

static void block_all(void)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
}

static void set_handlers(void)
{
	static const int signals[] = { SIGUSR1, SIGUSR2, SIGSEGV, SIGBUS };
	struct sigaction action = { .sa_sigaction = handle };

	for (unsigned int i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		action.sa_flags = SA_SIGINFO | (i & 1 ? SA_NODEFER | SA_RESTART : 0);
		require(!sigaction(signals[i], &action, NULL));
	}
}

/* --- threads ------------------------------------------------------------ */

static void *run(void *arg)
{
	(void)arg;
	while (!done[MAPPER] || !done[LISTENER] || !done[PARENT])
		UNTIL_JUMP({
			int err = client_run(&client);

			require(!err || err == -EINTR || err == -EFAULT);
			require(err || client.run->exit_reason == KVM_EXIT_MMIO);
			if (err == -EFAULT)
				client_load_array(&client, code_storm, 0,
						  AREA_GPA + any(N_PAGES) * PAGE);
		});
	return NULL;
}

static void change(uint8_t *p, size_t bytes, bool by_number)
{
	uint8_t *to = area + any(N_PAGES - bytes / PAGE) * PAGE;
	const int prot = PROT_READ | PROT_WRITE;

	switch (any(7)) {
	case 0:
		UNTIL_JUMP(mmap(p, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
		break;
	case 1:
		UNTIL_JUMP(syscall(SYS_mmap, p, bytes, prot, MAP_SHARED | MAP_FIXED, file,
				   p - area));
		break;
	case 2:
		UNTIL_JUMP(by_number ? syscall(SYS_munmap, p, bytes) : munmap(p, bytes));
		break;
	case 3:
		UNTIL_JUMP(mprotect(p, bytes, by_number ? PROT_READ : prot));
		break;
	case 4:
		UNTIL_JUMP(syscall(SYS_madvise, p, bytes, MADV_DONTNEED));
		break;
	case 5:
		UNTIL_JUMP(mremap(p, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to));
		break;
	case 6:
		UNTIL_JUMP(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, p - area,
				     (off_t)bytes));
		break;
	}
}

static void *change_memory(void *arg)
{
	(void)arg;
	for (unsigned int i = 0; i < N_ROUNDS; i++)
		change(area + any(N_PAGES - 8) * PAGE, (1 + any(8)) * PAGE, any(2));
	done[MAPPER] = true;
	return NULL;
}

static void *change_events(void *arg)
{
	struct kvm_ioeventfd e = { .addr = CLIENT_MMIO, .len = 4 };

	(void)arg;
	for (unsigned int i = 0; i < N_ROUNDS; i++) {
		e.fd = eventfd(0, 0);
		require(e.fd >= 0);
		e.flags = 0;
		UNTIL_JUMP(ioctl(client.vm, KVM_IOEVENTFD, &e));
		e.flags = KVM_IOEVENTFD_FLAG_DEASSIGN;
		UNTIL_JUMP(ioctl(client.vm, KVM_IOEVENTFD, &e));
		/* Or it stays, if the second was jumped over. */
		ioctl(client.vm, KVM_IOEVENTFD, &e);
		close(e.fd);
	}
	done[LISTENER] = true;
	return NULL;
}

/* A program of its own: what it has of its parent's is not to be used. */
static int be_child(void)
{
	struct client own;

	if (ioctl(client.vm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) >= 0)
		return 2;
	if (client_create(&own) || client_load_array(&own, code_halt, 0, 0))
		return 3;
	if (client_run(&own) || own.run->exit_reason != KVM_EXIT_HLT)
		return 4;
	return 0;
}

static void *make_children(void *arg)
{
	(void)arg;
	block_all();
	for (unsigned int i = 0; i < N_CHILDREN; i++) {
		int status;
		long pid = i & 1 ? fork() : syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

		if (!pid)
			_exit(be_child());
		require(pid > 0 && waitpid((pid_t)pid, &status, 0) == pid);
		require(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	done[PARENT] = true;
	return NULL;
}

static void set_up(void)
{
	struct kvm_userspace_memory_region r = {
		.slot = 2,
		.guest_phys_addr = AREA_GPA,
		.memory_size = AREA_BYTES,
		.userspace_addr = AREA_HVA,
	};

	file = memfd_create("area", MFD_CLOEXEC);
	require(file >= 0 && !ftruncate(file, AREA_BYTES));
	require(mmap(area, AREA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE,
		     file, 0) == area);
	require(!client_create(&client));
	require(!ioctl(client.vm, KVM_SET_USER_MEMORY_REGION, &r));
	require(!client_load_array(&client, code_storm, 0, AREA_GPA));
}

int main(void)
{
	static void *(*const functions[])(void *) = {
		[RUNNER] = run,
		[MAPPER] = change_memory,
		[LISTENER] = change_events,
		[PARENT] = make_children,
	};
	static const int signals[] = { SIGUSR1, SIGUSR2, SIGUSR1, SIGUSR2, SIGSEGV, SIGBUS };

	set_up();
	set_handlers();
	for (unsigned int i = 0; i < N_THREADS; i++)
		require(!pthread_create(&threads[i], NULL, functions[i], NULL));
	block_all();
	while (!done[MAPPER] || !done[LISTENER] || !done[PARENT]) {
		/* The parent has them blocked; one that is sent waits for ever. */
		pthread_kill(threads[any(PARENT)], signals[any(6)]);
		if (any(4) == 0)
			usleep((unsigned int)any(200));
	}
	for (unsigned int i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
