/* SPDX-License-Identifier: MIT */
#include "boot/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <umbra/umbra.h>

#include "tool/output.h"

static bool add_slot(int vm_fd, uint32_t slot, uint64_t gpa, uint8_t *host, uint64_t bytes)
{
	const struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)host,
	};
	long err = bytes ? umbra_set_user_memory_region(vm_fd, &region) : 0;

	if (err)
		complain("boot: KVM_SET_USER_MEMORY_REGION: %s", strerror((int)-err));
	return !err;
}

bool memory_create(struct guest_memory *m, int vm_fd, uint64_t bytes)
{
	m->bytes = bytes;
	m->low = bytes < GAP_GPA ? bytes : GAP_GPA;
	m->host = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->host == MAP_FAILED) {
		m->host = NULL;
		complain("boot: no memory for a guest of %llu MiB: %s",
			 (unsigned long long)(bytes >> 20), strerror(errno));
		return false;
	}
	return add_slot(vm_fd, 0, 0, m->host, m->low) &&
	       add_slot(vm_fd, 1, HIGH_GPA, m->host + m->low, bytes - m->low);
}

void memory_destroy(struct guest_memory *m)
{
	if (m->host)
		umbra_munmap(m->host, m->bytes);
	m->host = NULL;
}

void *memory_at(const struct guest_memory *m, uint64_t gpa, uint64_t bytes)
{
	uint64_t high = m->bytes - m->low;

	if (gpa < m->low && bytes <= m->low - gpa)
		return m->host + gpa;
	if (gpa >= HIGH_GPA && gpa - HIGH_GPA < high && bytes <= high - (gpa - HIGH_GPA))
		return m->host + m->low + (gpa - HIGH_GPA);
	return NULL;
}

bool memory_write(const struct guest_memory *m, uint64_t gpa, const void *from, uint64_t bytes)
{
	void *to = memory_at(m, gpa, bytes);

	if (to)
		memcpy(to, from, bytes);
	return to;
}

unsigned int memory_map(const struct guest_memory *m, struct memory_range map[MEMORY_RANGES])
{
	unsigned int n = 0;

	map[n++] = (struct memory_range){ 0, LOW_END, 1 };
	map[n++] = (struct memory_range){ LOW_END, MIB(1) - LOW_END, 2 };
	map[n++] = (struct memory_range){ MIB(1), m->low - MIB(1), 1 };
	if (m->bytes > m->low)
		map[n++] = (struct memory_range){ HIGH_GPA, m->bytes - m->low, 1 };
	return n;
}
