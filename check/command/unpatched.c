/* SPDX-License-Identifier: MIT */
#include "check/command/patched.h"

/* In a file of its own: a mutant's object has another in its place. */
const char patched_as[] = "";
