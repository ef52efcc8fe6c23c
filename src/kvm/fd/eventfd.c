/* SPDX-License-Identifier: MIT */
#include "kvm/fd/eventfd.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sync/thread.h"

int eventfd_check(int fd)
{
	char path[32], target[32];
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st))
		return -EBADF;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0) /* without /proc: it has no file type, like all anonymous files of the kernel */
		return st.st_mode & S_IFMT ? -EINVAL : 0;
	target[n] = 0;
	return strcmp(target, "anon_inode:[eventfd]") ? -EINVAL : 0;
}

/* Two descriptors of one open file: ours is a duplicate of the one that was assigned. */
bool eventfd_is_same(int a, int b)
{
	enum { COMPARE_FILES = 0 };
	long order = syscall(SYS_kcmp, getpid(), getpid(), COMPARE_FILES, a, b);

	return order == 0;
}

/*
 * Writing to a full counter would block, and is not needed.  Where system calls are restricted,
 * asking may not be allowed; and another thread may fill the counter right after.  Then the write
 * blocks until the client reads, and delays only this vCPU: no lock but its own is held, and no
 * RCU section. (The system has no non-blocking write to an eventfd, except by a flag on the
 * client's own open file.)
 */
void eventfd_signal(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	const uint64_t one = 1;

	if ((thread_is_filtered() || poll(&p, 1, 0) == 1) &&
	    write(fd, &one, sizeof(one)) != sizeof(one))
		return;
}
