/* SPDX-License-Identifier: MIT */
/* tests/headers/header.c - the public header alone, as C11 with every warning. */
#include <umbra/umbra.h>

int main(void)
{
	return umbra_owns(-1) ? 1 : 0;
}
