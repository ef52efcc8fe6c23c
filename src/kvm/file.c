/* SPDX-License-Identifier: MIT */
#include "kvm/file.h"

#include "kvm/vm.h"
#include "mem/reservation.h"
#include "sync/rcu.h"

/* Two levels, the second allocated as needed and never freed: 2^20 descriptors. */
#define LEAF_BITS 10
#define LEAF_SIZE (1u << LEAF_BITS)
#define N_LEAFS (1u << 10)

struct leaf {
	struct atomic_ptr file[LEAF_SIZE];
};

static struct atomic_ptr leafs[N_LEAFS];

static struct atomic_ptr *find(int fd)
{
	unsigned int n = (unsigned int)fd;
	struct leaf *leaf;

	if (n >= N_LEAFS * LEAF_SIZE)
		return NULL;
	leaf = atomic_ptr_load_acquire(&leafs[n >> LEAF_BITS]);
	return leaf ? &leaf->file[n & (LEAF_SIZE - 1)] : NULL;
}

static struct atomic_ptr *find_or_make(int fd)
{
	unsigned int n = (unsigned int)fd;
	void *none = NULL;
	struct leaf *leaf;

	if (n >= N_LEAFS * LEAF_SIZE)
		return NULL;
	if (!atomic_ptr_load_acquire(&leafs[n >> LEAF_BITS])) {
		leaf = reservation_get(sizeof(*leaf));
		if (!leaf)
			return NULL;
		if (!atomic_ptr_cmpxchg(&leafs[n >> LEAF_BITS], &none, leaf))
			reservation_put(leaf, sizeof(*leaf));
	}
	return find(fd);
}

static void replace(struct atomic_ptr *entry, struct file *file)
{
	struct file *old = atomic_ptr_xchg(entry, file);

	if (old)
		file_put(old);
}

/* All descriptors of the system are alike, and programs open and close many: its
 * one reference is never given up. */
static struct file system_file = { .refs = { 1 }, .kind = FILE_SYSTEM };

int file_prepare(struct file **file, int fd, enum file_kind kind, struct vm *vm,
		 struct vcpu *vcpu)
{
	if (!find_or_make(fd))
		return (unsigned int)fd >= N_LEAFS * LEAF_SIZE ? -EMFILE : -ENOMEM;
	if (kind == FILE_SYSTEM) {
		*file = &system_file;
		atomic32_fetch_add(&system_file.refs, 1);
		return 0;
	}
	*file = reservation_get(sizeof(**file));
	if (!*file)
		return -ENOMEM;
	**file = (struct file){ .refs = { 1 }, .kind = kind, .vm = vm, .vcpu = vcpu };
	return 0;
}

void file_attach(int fd, struct file *file)
{
	replace(find(fd), file);
}

/* One that is on its way out is not revived. */
static bool get_unless_zero(struct file *file)
{
	uint32_t refs = atomic32_load_relaxed(&file->refs);

	while (refs)
		if (atomic32_cmpxchg(&file->refs, &refs, refs + 1))
			return true;
	return false;
}

struct file *file_get(int fd)
{
	struct atomic_ptr *entry = find(fd);
	struct file *file;

	if (!entry || !atomic_ptr_load_relaxed(entry))
		return NULL;
	rcu_read_begin();
	file = atomic_ptr_load_acquire(entry);
	if (file && !get_unless_zero(file))
		file = NULL;
	rcu_read_end();
	return file;
}

void file_put(struct file *file)
{
	if (atomic32_fetch_add(&file->refs, (uint32_t)-1) != 1)
		return;
	rcu_synchronize();
	if (file->vm)
		vm_put(file->vm);
	reservation_put(file, sizeof(*file));
}

bool file_is_ours(int fd)
{
	struct atomic_ptr *entry = find(fd);

	return entry && atomic_ptr_load_relaxed(entry);
}

bool file_remove(int fd)
{
	struct atomic_ptr *entry = find(fd);
	struct file *old = entry ? atomic_ptr_xchg(entry, NULL) : NULL;

	if (old)
		file_put(old);
	return old;
}

void file_remove_range(unsigned int first, unsigned int last)
{
	last = MIN(last, N_LEAFS * LEAF_SIZE - 1);
	for (unsigned int n = first; n <= last; n++) {
		if (!atomic_ptr_load_relaxed(&leafs[n >> LEAF_BITS]))
			n |= LEAF_SIZE - 1;
		else if (file_is_ours((int)n))
			file_remove((int)n);
	}
}

void file_dup(int old_fd, int new_fd)
{
	struct file *file;
	struct atomic_ptr *entry;

	if (old_fd == new_fd)
		return;
	file = file_get(old_fd);
	if (!file) {
		if (file_is_ours(new_fd))
			file_remove(new_fd);
		return;
	}
	entry = find_or_make(new_fd);
	if (entry)
		replace(entry, file);
	else
		file_put(file);
}
