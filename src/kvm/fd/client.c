/* SPDX-License-Identifier: MIT */
#include "kvm/fd/client.h"

#include <errno.h>

#include "base/guarded.h"
#include "mem/reservation.h"

long copy_from_client(void *to, uintptr_t from, size_t bytes)
{
	if (reservation_meets(from, bytes))
		return -EFAULT;
	return guarded_copy(to, (const void *)from, bytes) ? 0 : -EFAULT;
}

long copy_to_client(uintptr_t to, const void *from, size_t bytes)
{
	if (reservation_meets(to, bytes))
		return -EFAULT;
	return guarded_copy((void *)to, from, bytes) ? 0 : -EFAULT;
}
