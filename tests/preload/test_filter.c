/* SPDX-License-Identifier: MIT */
/*
 * tests/preload/test_filter.c - a client whose vCPU thread may make hardly any system
 * call: KVM_RUN makes none of its own.
 *
 * The filter of a microVM monitor's vCPU thread, but stricter: ioctl only with the
 * commands of KVM, no memory calls at all.  What is not allowed kills ("kill"), or fails
 * ("errno").  The thread never ends: the C library makes system calls for that.
 */
#include "tests/preload/client.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ALLOW(number) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), \
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static int install_filter(uint32_t otherwise, bool raw)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_read),
		ALLOW(SYS_write),
		ALLOW(SYS_futex),
		ALLOW(SYS_close),
		ALLOW(SYS_tgkill),
		ALLOW(SYS_epoll_wait),
		ALLOW(SYS_rt_sigreturn),
		ALLOW(SYS_exit),
		ALLOW(SYS_exit_group),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff00),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0xae00, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, otherwise),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(*code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return raw ? (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) :
		     prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static struct client client;
static volatile int n_signals;
static uint64_t log_bits[CLIENT_MEMORY / 4096 / 64];

/* 0: under way; 1: done; else the line that failed. */
static volatile int verdict;

#define must(cond)                          \
	do {                                \
		if (!(cond)) {              \
			verdict = __LINE__; \
			for (;;)            \
				;           \
		}                           \
	} while (0)

static void on_signal(int sig)
{
	n_signals += sig == SIGUSR1;
}

/* The guest counts at 0x2000: from then on the other thread may send. */
static const uint8_t code_count[] = { 0xff, 0x05, 0x00, 0x20, 0x00, 0x00, 0xeb, 0xf8 };

static void run_until_exit(uint32_t reason)
{
	int err;

	do
		err = client_run(&client);
	while (err == -EINTR);
	must(!err);
	must(client.run->exit_reason == reason);
}

static void use_devices(void)
{
	must(!client_load_array(&client, code_devices, 0, CLIENT_MMIO));
	run_until_exit(KVM_EXIT_IO);
	run_until_exit(KVM_EXIT_IO);
	run_until_exit(KVM_EXIT_MMIO);
	run_until_exit(KVM_EXIT_MMIO);
	run_until_exit(KVM_EXIT_HLT);
}

/* The guest's write to it is told by an event, and makes no exit. */
#define EVENT_ADDRESS (CLIENT_MMIO + 0x1000)
static const uint8_t code_store[] = { 0x89, 0x07, 0xf4 };
static int event;

static bool create_event(void)
{
	struct kvm_ioeventfd args = { .addr = EVENT_ADDRESS, .len = 4 };

	event = args.fd = eventfd(0, EFD_NONBLOCK);
	return event >= 0 && !ioctl(client.vm, KVM_IOEVENTFD, &args);
}

static void ring_the_bell(void)
{
	uint64_t n = 0;

	must(!client_load_array(&client, code_store, 0, EVENT_ADDRESS));
	run_until_exit(KVM_EXIT_HLT);
	must(read(event, &n, sizeof(n)) == sizeof(n) && n == 1);
}

/* Every page of it is new to the MMU and to the host, and is found in the log. */
static void fill_memory(void)
{
	struct kvm_dirty_log log = { .dirty_bitmap = log_bits };
	const uint64_t first = 0x100000 / 4096, n = 8192;

	for (int round = 0; round < 3; round++) {
		must(!client_load_array(&client, code_fill, n, first * 4096));
		run_until_exit(KVM_EXIT_HLT);
		must(!ioctl(client.vm, KVM_GET_DIRTY_LOG, &log));
		for (uint64_t i = first; i < first + n; i++)
			must(log_bits[i / 64] >> i % 64 & 1);
	}
}

static void be_interrupted(void)
{
	for (int i = 0; i < 20; i++) {
		int before = n_signals, err;

		must(!client_load_array(&client, code_count, 0, 0));
		do
			err = client_run(&client);
		while (!err);
		must(err == -EINTR);
		must(n_signals > before);
	}
}

static void touch_the_hole(void)
{
	for (int i = 0; i < 3; i++) {
		int err;

		must(!client_load_array(&client, code_load, 0, CLIENT_HOLE));
		do
			err = client_run(&client);
		while (err == -EINTR);
		must(err == -EFAULT);
	}
}

static uint32_t otherwise = SECCOMP_RET_KILL_PROCESS;
static bool by_number, blocks_faults;

static void *run_vcpu(void *arg)
{
	sigset_t set;

	(void)arg;
	sigemptyset(&set);
	sigaddset(&set, SIGSEGV);
	sigaddset(&set, SIGBUS);
	must(!pthread_sigmask(blocks_faults ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL));
	must(!install_filter(otherwise, by_number));
	use_devices();
	ring_the_bell();
	fill_memory();
	be_interrupted();
	touch_the_hole();
	use_devices();
	verdict = 1;
	for (;;)
		syscall(SYS_futex, &verdict, FUTEX_WAIT, 1, NULL, NULL, 0);
	return NULL;
}

int main(int argc, char **argv)
{
	const struct timespec moment = { .tv_nsec = 1000000 };
	struct sigaction action = { .sa_handler = on_signal };
	pthread_t t;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "errno"))
			otherwise = SECCOMP_RET_ERRNO | EPERM;
		else if (!strcmp(argv[i], "raw"))
			by_number = true;
		else if (!strcmp(argv[i], "blocked"))
			blocks_faults = true;
	}
	sigfillset(&action.sa_mask);
	sigaction(SIGUSR1, &action, NULL);
	if (client_create(&client) || !create_event() || pthread_create(&t, NULL, run_vcpu, NULL))
		return 1;
	while (!verdict) {
		nanosleep(&moment, NULL);
		pthread_kill(t, SIGUSR1);
	}
	if (verdict != 1)
		fprintf(stderr, "line %d\n", verdict);
	/* Not exit(): the other thread cannot take part in it. */
	_exit(verdict != 1);
}
