/* SPDX-License-Identifier: MIT */
/* check/command/umbra_check.c - umbra-check, which `umbra check` executes. */
#include "check/command/main.h"

int main(int argc, char **argv)
{
	return check_main(argc, argv);
}
