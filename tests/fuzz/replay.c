/* SPDX-License-Identifier: MIT */
/*
 * tests/fuzz/replay.c - a fuzz target without a fuzzer: runs every file of the
 * folders that it is given, in the order of their names.
 */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "input.h"

#define MAX_BYTES 65536

static int replay_file(const char *path)
{
	static uint8_t data[MAX_BYTES];
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f) {
		perror(path);
		return 1;
	}
	n = fread(data, 1, sizeof(data), f);
	fclose(f);
	LLVMFuzzerTestOneInput(data, n);
	return 0;
}

static int is_file(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

/* Returns how many there were, or -1. */
static int replay_folder(const char *folder)
{
	struct dirent **entry;
	int n = scandir(folder, &entry, is_file, alphasort), failed = 0;

	if (n < 0) {
		perror(folder);
		return -1;
	}
	for (int i = 0; i < n; i++) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s/%s", folder, entry[i]->d_name);
		failed |= replay_file(path);
		free(entry[i]);
	}
	free(entry);
	return failed ? -1 : n;
}

int main(int argc, char **argv)
{
	int n = 0;

	for (int i = 1; i < argc; i++) {
		int more = replay_folder(argv[i]);

		if (more < 0)
			return 1;
		n += more;
	}
	printf("%d inputs\n", n);
	return n ? 0 : 1;
}
