/* SPDX-License-Identifier: MIT */
/*
 * base/system_call.h - system calls that are not interposed.
 *
 * preload/ interposes syscall(3) too: a call of ours on memory, made through it on a thread that
 * is not in the library, would come back to us.
 */
#ifndef BASE_SYSTEM_CALL_H
#define BASE_SYSTEM_CALL_H

#include <errno.h>

/* As syscall(3): -1 and errno. */
static inline long system_call(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	if ((unsigned long)result < -4095ul)
		return result;
	errno = (int)-result;
	return -1;
}

#endif
