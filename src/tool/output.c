/* SPDX-License-Identifier: MIT */
#include "tool/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void complain(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("umbra: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

void output_begin(void)
{
	/* Unlike /dev/null the root always exists, and cannot be written to. */
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/", O_RDONLY | O_CLOEXEC) < 0)
			return;
}

int output_end(int status)
{
	bool failed = ferror(stdout);

	errno = 0;
	if (!fflush(stdout) && !failed)
		return status;
	complain("standard output: %s", errno ? strerror(errno) : "could not be written");
	return status ? status : EXIT_FAILURE;
}

int output_close(FILE *out)
{
	bool failed = ferror(out);

	errno = EIO;
	return fclose(out) || failed ? -errno : 0;
}

bool output_is_screen(FILE *out)
{
	const char *term = getenv("TERM");

	return isatty(fileno(out)) && term && *term && strcmp(term, "dumb");
}

bool output_has_colour(FILE *out)
{
	const char *no_color = getenv("NO_COLOR");

	return output_is_screen(out) && !(no_color && *no_color);
}
