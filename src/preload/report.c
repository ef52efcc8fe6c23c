/* SPDX-License-Identifier: MIT */
/* preload/report.c - reports to `umbra run` that the library is loaded (see tool/watch.c). */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "preload/preload.h"
#include "preload/program.h"

void report_begin(void)
{
	unsigned long long device, inode;
	const char *text = getenv(REPORT_VARIABLE);
	struct stat st;
	int fd;

	if (!text)
		return;
	/* The number may be another file's, in a child of a program that kept the variable. */
	if (sscanf(text, "%d:%llu:%llu", &fd, &device, &inode) == 3 && !fstat(fd, &st) &&
	    st.st_dev == device && st.st_ino == inode) {
		/* If the waiter is gone, no report is needed. */
		send(fd, "+", 1, MSG_NOSIGNAL);
		close(fd);
	}
	unsetenv(REPORT_VARIABLE);
}
