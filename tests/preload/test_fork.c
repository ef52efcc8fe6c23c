/* SPDX-License-Identifier: MIT */
/*
 * tests/preload/test_fork.c - calls that a forked child and a handler may make, whatever
 * other threads, or the code that was interrupted, are doing: they do not wait for ever.
 */
#include "tests/preload/client.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define FORKS 200
#define MAPPINGS 20000
#define PATIENCE 60	/* seconds, after which a child is taken to hang */

static int file;
static atomic_bool done;

static void nothing(int sig)
{
	(void)sig;
}

static void set_handler(int sig)
{
	struct sigaction action = { .sa_handler = nothing };

	if (sigaction(sig, &action, NULL))
		_exit(EXIT_FAILURE);
}

static void map_and_unmap(void)
{
	void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);

	if (p == MAP_FAILED || munmap(p, 4096))
		_exit(EXIT_FAILURE);
}

static void set_handler_of_faults(void)
{
	set_handler(SIGSEGV);
}

static void set_other_handler(void)
{
	set_handler(SIGUSR2);
}

/* Threads that have called once: a sanitizer's allocator, whose locks no raw fork heeds,
 * is in use while a thread begins. */
static atomic_int n_calling;

static void *call_for_ever(void *what)
{
	((void (*)(void))what)();
	n_calling++;
	while (!done)
		((void (*)(void))what)();
	return NULL;
}

static void wait_until_calling(int n)
{
	while (n_calling < n)
		usleep(1000);
}

/* By itself, that is; one that hangs may block all signals but this. */
static void assert_ends(pid_t child)
{
	int status = 0;
	pid_t ended = 0;

	assert_true(child > 0);
	for (int i = 0; !ended && i < PATIENCE * 1000; i++) {
		ended = waitpid(child, &status, WNOHANG);
		if (!ended)
			usleep(1000);
	}
	if (!ended)
		kill(child, SIGKILL);
	assert_int_equal(ended, child);
	assert_int_equal(status, 0);
}

/* Children make the call that another thread was making when they came to be. */
static void fork_beside(void (*what)(void))
{
	pthread_t t;

	done = false;
	assert_int_equal(pthread_create(&t, NULL, call_for_ever, (void *)what), 0);
	for (int i = 0; i < FORKS; i++) {
		pid_t child = fork();

		if (!child) {
			what();
			_exit(EXIT_SUCCESS);
		}
		assert_ends(child);
	}
	done = true;
	pthread_join(t, NULL);
}

static void a_child_may_set_a_handler_of_faults(void **state)
{
	(void)state;
	fork_beside(set_handler_of_faults);
	signal(SIGSEGV, SIG_DFL);
}

static void a_child_may_set_a_handler(void **state)
{
	(void)state;
	fork_beside(set_other_handler);
}

static void a_child_may_map_a_file(void **state)
{
	(void)state;
	fork_beside(map_and_unmap);
}

static void map_in_handler(int sig)
{
	(void)sig;
	map_and_unmap();
}

static void a_handler_may_map_a_file(void **state)
{
	const struct itimerval often = { { 0, 200 }, { 0, 200 } };
	pid_t child;

	(void)state;
#ifdef __SANITIZE_THREAD__
	/* Its runtime calls handlers from the functions that it watches, whatever the
	 * thread's mask says: a lock of ours does not keep them out. */
	skip();
#endif
	child = fork();
	if (!child) {
		signal(SIGPROF, map_in_handler);
		/* Processor time: a slow system is not buried under signals. */
		setitimer(ITIMER_PROF, &often, NULL);
		for (int i = 0; i < MAPPINGS; i++)
			map_and_unmap();
		_exit(EXIT_SUCCESS);
	}
	assert_ends(child);
}

/* --- past the C library ---------------------------------------------------------------- */

#define RAW_FORKS 60
#define N_BESIDE 3

static void make_vm_and_close_it(void)
{
	struct client c;

	if (client_create(&c))
		_exit(EXIT_FAILURE);
	client_destroy(&c);
}

static bool runs(struct client *c)
{
	return !client_create(c) && !client_load_array(c, code_halt, 0, 0) && !client_run(c) &&
	       c->run->exit_reason == KVM_EXIT_HLT;
}

static void *make_vm_and_run_it(void *unused)
{
	struct client c;

	(void)unused;
	if (!runs(&c))
		_exit(2);
	client_destroy(&c);
	return NULL;
}

/* No handler runs, and other threads are anywhere in their calls. */
static void fork_raw_beside(const struct client *parents, int (*child)(const struct client *))
{
	static void (*const what[N_BESIDE])(void) = {
		make_vm_and_close_it, make_vm_and_close_it, map_and_unmap,
	};
	pthread_t t[N_BESIDE];

	done = false;
	n_calling = 0;
	for (int i = 0; i < N_BESIDE; i++)
		assert_int_equal(pthread_create(&t[i], NULL, call_for_ever, (void *)what[i]), 0);
	wait_until_calling(N_BESIDE);
	for (int i = 0; i < RAW_FORKS; i++) {
		pid_t pid = (pid_t)(i % 2 ? syscall(SYS_fork) :
					    syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));

		if (!pid)
			_exit(child(parents));
		assert_ends(pid);
	}
	done = true;
	for (int i = 0; i < N_BESIDE; i++)
		pthread_join(t[i], NULL);
}

static int make_own(const struct client *parents)
{
	struct kvm_regs regs;

	make_vm_and_run_it(NULL);
	map_and_unmap();
	set_handler_of_faults();
	make_vm_and_run_it(NULL);
	return ioctl(parents->vcpu, KVM_GET_REGS, &regs) != -1;
}

/* The device's descriptor is the parent's; and so is what these find first. */
static int use_parents_device(const struct client *parents)
{
	int vm = ioctl(parents->system, KVM_CREATE_VM, 0);

	if (vm < 0 || close(vm) || close(parents->vm) || close(parents->vcpu))
		return 3;
	return make_own(parents);
}

static int make_own_in_threads(const struct client *parents)
{
	pthread_t t;

	(void)parents;
	if (pthread_create(&t, NULL, make_vm_and_run_it, NULL))
		return 4;
	make_vm_and_run_it(NULL);
	pthread_join(t, NULL);
	return 0;
}

#define VMS_BESIDE 8

static atomic_bool other_began;

static void *make_vms(void *unused)
{
	for (int i = 0; i < VMS_BESIDE; i++) {
		make_vm_and_run_it(unused);
		other_began = true;
	}
	return NULL;
}

/* Another thread than the one that forked is the first to call; then both do. */
static int follow_a_thread(const struct client *parents)
{
	pthread_t t;

	(void)parents;
	if (pthread_create(&t, NULL, make_vms, NULL))
		return 4;
	while (!other_began)
		usleep(100);
	make_vms(NULL);
	pthread_join(t, NULL);
	return 0;
}

/* ThreadSanitizer's own locks do not survive such a fork. */
#ifdef __SANITIZE_THREAD__
#define skip_with_tsan() skip()
#else
#define skip_with_tsan() ((void)0)
#endif

static void fork_raw(int (*child)(const struct client *))
{
	struct client c;

	assert_true(runs(&c));
	fork_raw_beside(&c, child);
	/* And the parent's is what it was. */
	assert_int_equal(client_load_array(&c, code_halt, 0, 0), 0);
	assert_int_equal(client_run(&c), 0);
	client_destroy(&c);
}

static void a_child_made_past_the_c_library_makes_its_own_vm(void **state)
{
	(void)state;
	skip_with_tsan();
	fork_raw(make_own);
}

static void it_makes_one_by_its_parents_descriptor(void **state)
{
	(void)state;
	skip_with_tsan();
	fork_raw(use_parents_device);
}

static void its_threads_make_vms_at_once(void **state)
{
	(void)state;
	skip_with_tsan();
	fork_raw(make_own_in_threads);
}

static void any_of_its_threads_may_be_the_first(void **state)
{
	(void)state;
	skip_with_tsan();
	fork_raw(follow_a_thread);
}

#define LOOKS 800

/* Each change of slots waits for readers, with the lock of their list. */
static void change_slots(void)
{
	struct kvm_userspace_memory_region r = { .slot = 9, .guest_phys_addr = 0x70000000,
						 .userspace_addr = 0x10000 };
	struct client c;

	if (client_create(&c))
		_exit(EXIT_FAILURE);
	while (!done) {
		r.memory_size = r.memory_size ? 0 : 4096;
		if (ioctl(c.vm, KVM_SET_USER_MEMORY_REGION, &r))
			_exit(EXIT_FAILURE);
	}
	client_destroy(&c);
}

static pid_t looker;

/* A thread that is in no list of readers yet forks: its child is in none either. */
static void *fork_to_look(void *arg)
{
	const struct client *parents = arg;
	struct stat st;
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	if (!pid) {
		/* What is mapped of a vCPU is the parent's; it is enough that this ends. */
		mmap(NULL, 4096, PROT_READ, MAP_SHARED, parents->vcpu, 0);
		_exit(fstat(parents->vm, &st) != 0);
	}
	looker = pid;
	return NULL;
}

static void it_may_look_at_its_parents_descriptors(void **state)
{
	struct client c;
	pthread_t beside, t;

	(void)state;
	skip_with_tsan();
	assert_true(runs(&c));
	done = false;
	assert_int_equal(pthread_create(&beside, NULL, call_for_ever, (void *)change_slots), 0);
	for (int i = 0; i < LOOKS; i++) {
		assert_int_equal(pthread_create(&t, NULL, fork_to_look, &c), 0);
		pthread_join(t, NULL);
		assert_ends(looker);
	}
	done = true;
	pthread_join(beside, NULL);
	client_destroy(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_child_may_set_a_handler_of_faults),
		cmocka_unit_test(a_child_may_set_a_handler),
		cmocka_unit_test(a_child_may_map_a_file),
		cmocka_unit_test(a_handler_may_map_a_file),
		cmocka_unit_test(a_child_made_past_the_c_library_makes_its_own_vm),
		cmocka_unit_test(it_makes_one_by_its_parents_descriptor),
		cmocka_unit_test(its_threads_make_vms_at_once),
		cmocka_unit_test(any_of_its_threads_may_be_the_first),
		cmocka_unit_test(it_may_look_at_its_parents_descriptors),
	};

	file = memfd_create("test", 0);
	if (file < 0 || ftruncate(file, 4096))
		return EXIT_FAILURE;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
