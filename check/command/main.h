/* SPDX-License-Identifier: MIT */
/* check/command/main.h - the command; a library when a mutant replaces parts of it. */
#ifndef CHECK_COMMAND_MAIN_H
#define CHECK_COMMAND_MAIN_H

int check_main(int argc, char **argv);

#endif
