/* SPDX-License-Identifier: MIT */
/*
 * tests/preload/test_fork.c - calls that a forked child and a handler may make, whatever
 * other threads, or the code that was interrupted, are doing: they do not wait for ever.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
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

static void *call_for_ever(void *what)
{
	while (!done)
		((void (*)(void))what)();
	return NULL;
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
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_child_may_set_a_handler_of_faults),
		cmocka_unit_test(a_child_may_set_a_handler),
		cmocka_unit_test(a_child_may_map_a_file),
		cmocka_unit_test(a_handler_may_map_a_file),
	};

	file = memfd_create("test", 0);
	if (file < 0 || ftruncate(file, 4096))
		return EXIT_FAILURE;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
