/* SPDX-License-Identifier: MIT */
/* tests/unit/sync/test_rcu.c - readers in a child that was made past the C library. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <pthread.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/atomic.h"
#include "sync/rcu.h"
#include "sync/thread.h"

#define MOMENT_US 100000	/* in which a grace period that does not wait has passed */

static struct atomic32 step;

static void go_to(uint32_t next)
{
	atomic32_store_release(&step, next);
}

static void wait_for(uint32_t which)
{
	while (atomic32_load_acquire(&step) < which)
		usleep(100);
}

enum { SETTLED = 1, READING, WAITING, WAITED };

static void *settle_and_synchronize(void *unused)
{
	thread_after_raw_fork();
	go_to(SETTLED);
	wait_for(READING);
	go_to(WAITING);
	rcu_synchronize();
	go_to(WAITED);
	return unused;
}

/* The thread that forked was a reader before; the other drops what the child has copied. */
static int read_beside_another(void)
{
	pthread_t t;
	bool waited;

	if (pthread_create(&t, NULL, settle_and_synchronize, NULL))
		return 2;
	wait_for(SETTLED);
	rcu_read_begin();
	go_to(READING);
	wait_for(WAITING);
	usleep(MOMENT_US);
	waited = atomic32_load_acquire(&step) == WAITED;
	rcu_read_end();
	pthread_join(t, NULL);
	return waited;
}

static void a_reader_is_waited_for_whichever_thread_settles(void **state)
{
	int status;
	pid_t pid;

	(void)state;
#ifdef __SANITIZE_THREAD__
	skip();		/* its own locks do not survive such a fork */
#endif
	rcu_read_begin();
	rcu_read_end();
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (!pid)
		_exit(read_beside_another());
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reader_is_waited_for_whichever_thread_settles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
