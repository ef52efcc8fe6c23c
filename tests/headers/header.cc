/* SPDX-License-Identifier: MIT */
/* tests/headers/header.cc - the public header alone, in C++. */
#include <umbra/umbra.h>

int main(void)
{
	return umbra_owns(-1) ? 1 : 0;
}
