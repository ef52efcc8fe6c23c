/* SPDX-License-Identifier: MIT */
/* sync/service.c - threads of our own: see thread.h. */
#include "sync/thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#define STACK_BYTES (128u << 10)

_Static_assert(sizeof(pthread_t) == sizeof(unsigned long), "struct service holds a pthread_t");

static void *serve(void *arg)
{
	struct service *s = arg;

	thread_is_in_library = true;
	s->run(s->arg);
	return NULL;
}

/* It inherits the mask of the thread that makes it. */
static int start_masked(struct service *s, const pthread_attr_t *attr)
{
	sigset_t all, saved;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	err = pthread_create((pthread_t *)&s->native, attr, serve, s);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	return -err;
}

int service_start(struct service *s, void (*run)(void *arg), void *arg)
{
	bool was = thread_enter_library();
	pthread_attr_t attr;
	int err;

	s->run = run;
	s->arg = arg;
	err = -pthread_attr_init(&attr);
	if (!err) {
		pthread_attr_setstacksize(&attr, STACK_BYTES);
		err = start_masked(s, &attr);
		pthread_attr_destroy(&attr);
		/* The program's own thread-local variables lie there too, and may need more. */
		if (err == -EINVAL)
			err = start_masked(s, NULL);
	}
	thread_leave_library(was);
	return err;
}

void service_join(struct service *s)
{
	pthread_join((pthread_t)s->native, NULL);
}
