/* SPDX-License-Identifier: MIT */
#include "kvm/fd/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kvm/process.h"
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

static struct atomic_ptr *find_entry(int fd)
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
	return find_entry(fd);
}

static void replace_file(struct atomic_ptr *entry, struct file *file)
{
	struct file *old = atomic_ptr_xchg(entry, file);

	if (old)
		file_put(old);
}

/* By number, since fstat() is one of the calls that are interposed.  errno is kept. */
static bool read_status(int fd, struct stat *st)
{
	int saved = errno;
	bool ok = !syscall(SYS_fstat, fd, st);

	errno = saved;
	return ok;
}

/*
 * A memory file stands for /dev/kvm: poll, epoll and dup treat it like the device, and it needs
 * no file system.  It is recognized, even in another process, by an unusual mode, which also
 * records how it was opened. (Without any x: see shared_file().)
 */
#define DEVICE_MODE 05200u
#define DEVICE_ACCESS_SHIFT 4	/* the group's r and w: O_ACCMODE */
#define DEVICE_PATH 04u		/* the others' r: O_PATH */

static bool is_device(const struct stat *st)
{
	return S_ISREG(st->st_mode) && (st->st_mode & 07713) == DEVICE_MODE && !st->st_nlink &&
	       !st->st_size;
}

static enum file_kind device_kind(const struct stat *st)
{
	return st->st_mode & DEVICE_PATH ? FILE_PATH : FILE_SYSTEM;
}

static int check_open_flags(int flags)
{
	if ((flags & O_CREAT) && (flags & O_EXCL) && !(flags & O_PATH))
		return -EEXIST;
	if (flags & O_DIRECTORY)
		return -ENOTDIR;
	return (flags & O_DIRECT) && !(flags & O_PATH) ? -EINVAL : 0;
}

int file_make_device(int flags, enum file_kind *kind)
{
	unsigned int mode = DEVICE_MODE | ((unsigned int)flags & O_ACCMODE) << DEVICE_ACCESS_SHIFT;
	int status = flags & (O_NONBLOCK | O_APPEND), err = check_open_flags(flags), fd;

	if (err)
		return err;
	*kind = FILE_SYSTEM;
	if (flags & O_PATH) {
		mode = DEVICE_MODE | DEVICE_PATH;
		status = 0;
		*kind = FILE_PATH;
	}
	fd = shared_file("kvm", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
	if (fd < 0)
		return fd;
	if (fchmod(fd, mode) || (status && fcntl(fd, F_SETFL, status))) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* All descriptors of the system are alike, and programs open and close many: they share one file,
 * whose reference is never dropped. */
static struct file system_file = { .refs = { 1 }, .kind = FILE_SYSTEM };
static struct file path_file = { .refs = { 1 }, .kind = FILE_PATH };

static struct file *device_file(enum file_kind kind)
{
	struct file *file = kind == FILE_PATH ? &path_file : &system_file;

	atomic32_fetch_add(&file->refs, 1);
	return file;
}

int file_prepare(struct file **file, int fd, enum file_kind kind, struct vm *vm,
		 struct vcpu *vcpu)
{
	struct stat st;

	if (!find_or_make(fd))
		return (unsigned int)fd >= N_LEAFS * LEAF_SIZE ? -EMFILE : -ENOMEM;
	if (kind == FILE_SYSTEM || kind == FILE_PATH) {
		*file = device_file(kind);
		return 0;
	}
	if (!read_status(fd, &st))
		return -EBADF;
	*file = reservation_get(sizeof(**file));
	if (!*file)
		return -ENOMEM;
	**file = (struct file){
		.refs = { 1 },
		.kind = kind,
		.vm = vm,
		.vcpu = vcpu,
		.dev = st.st_dev,
		.ino = st.st_ino,
	};
	return 0;
}

void file_attach(int fd, struct file *file)
{
	replace_file(find_entry(fd), file);
}

/* A file that is being destroyed is not revived. */
static bool get_unless_zero(struct file *file)
{
	uint32_t refs = atomic32_load_relaxed(&file->refs);

	while (refs)
		if (atomic32_cmpxchg(&file->refs, &refs, refs + 1))
			return true;
	return false;
}

static struct file *get_entry(struct atomic_ptr *entry)
{
	struct file *file;

	if (!entry || !atomic_ptr_load_relaxed(entry))
		return NULL;
	process_settle();
	rcu_read_begin();
	file = atomic_ptr_load_acquire(entry);
	if (file && !get_unless_zero(file))
		file = NULL;
	rcu_read_end();
	return file;
}

struct file *file_get_unverified(int fd)
{
	return get_entry(find_entry(fd));
}

static struct atomic32 trusts_numbers;	/* (a) */

void file_trust_numbers(void)
{
	atomic32_store_relaxed(&trusts_numbers, 1);
}

/* Our mapping of the memory file keeps its inode from being reused. */
static bool is_same(const struct file *file, const struct stat *st)
{
	if (file->kind == FILE_SYSTEM || file->kind == FILE_PATH)
		return is_device(st) && device_kind(st) == file->kind;
	return st->st_ino == file->ino && st->st_dev == file->dev;
}

bool file_is_behind(const struct file *file, int fd)
{
	struct stat st;

	return read_status(fd, &st) && is_same(file, &st);
}

struct file *file_get(int fd)
{
	struct atomic_ptr *entry = find_entry(fd);
	struct file *file = get_entry(entry);
	void *expected = file;

	if (!file || atomic32_load_relaxed(&trusts_numbers) || file_is_behind(file, fd))
		return file;
	/* Unless another thread has just put a new one there.  A child of vfork() has its own
	 * descriptors, but this table is its parent's. */
	if (!process_is_borrowed() && atomic_ptr_cmpxchg(entry, &expected, NULL))
		file_put(file);
	file_put(file);
	return NULL;
}

/* A descriptor of the statistics has the same inode, but cannot be written to. */
static bool is_writable(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_ACCMODE) == O_RDWR;
}

static struct file *find_same(const struct stat *st)
{
	for (unsigned int n = 0; n < N_LEAFS * LEAF_SIZE; n++) {
		struct file *file;

		if (!atomic_ptr_load_relaxed(&leafs[n >> LEAF_BITS])) {
			n |= LEAF_SIZE - 1;
			continue;
		}
		file = file_get_unverified((int)n);
		if (file && file->vm && is_same(file, st))
			return file;
		if (file)
			file_put(file);
	}
	return NULL;
}

struct file *file_recognize(int fd)
{
	struct file *file = NULL;
	struct stat st;

	if (atomic32_load_relaxed(&trusts_numbers) || !read_status(fd, &st) ||
	    !S_ISREG(st.st_mode) || process_is_borrowed())
		return NULL;
	if (is_device(&st))
		file = device_file(device_kind(&st));
	else if (is_writable(fd))
		file = find_same(&st);
	if (!file)
		return NULL;
	if (find_or_make(fd)) {
		atomic32_fetch_add(&file->refs, 1);
		replace_file(find_entry(fd), file);
	}
	return file;
}

void file_put(struct file *file)
{
	thread_sigmask_t saved;
	bool was;

	if (atomic32_fetch_add(&file->refs, (uint32_t)-1) != 1)
		return;
	/* Any call may find that the last one is gone; a handler that interrupted this one could
	 * wait for our locks for ever. */
	saved = thread_hold_signals();
	was = thread_enter_library();
	rcu_synchronize();
	if (file->vm)
		vm_put(file->vm);
	reservation_put(file, sizeof(*file));
	thread_leave_library(was);
	thread_release_signals(saved);
}

bool file_is_known(int fd)
{
	struct atomic_ptr *entry = find_entry(fd);

	return entry && atomic_ptr_load_relaxed(entry);
}

bool file_look(int fd, struct file_seen *seen)
{
	struct atomic_ptr *entry = find_entry(fd);
	bool trust = atomic32_load_relaxed(&trusts_numbers), ours;
	struct stat st = { .st_mode = 0 };
	const struct file *file;
	thread_sigmask_t saved;

	if (!entry || !atomic_ptr_load_relaxed(entry) || (!trust && !read_status(fd, &st)))
		return false;
	/* A thread that jumped out of the section would block all grace periods. */
	saved = thread_hold_signals();
	process_settle();
	rcu_read_begin();
	file = atomic_ptr_load_acquire(entry);
	ours = file && (trust || is_same(file, &st));
	if (ours)
		seen->kind = file->kind;
	rcu_read_end();
	thread_release_signals(saved);
	seen->access = O_RDWR;
	if (ours && is_device(&st))
		seen->access = (int)(st.st_mode >> DEVICE_ACCESS_SHIFT & O_ACCMODE);
	return ours;
}

void file_remove(int fd)
{
	struct atomic_ptr *entry = find_entry(fd);
	struct file *old = entry ? atomic_ptr_xchg(entry, NULL) : NULL;

	if (old)
		file_put(old);
}

void file_remove_range(unsigned int first, unsigned int last)
{
	last = MIN(last, N_LEAFS * LEAF_SIZE - 1);
	for (unsigned int n = first; n <= last; n++) {
		if (!atomic_ptr_load_relaxed(&leafs[n >> LEAF_BITS]))
			n |= LEAF_SIZE - 1;
		else if (file_is_known((int)n))
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
		if (file_is_known(new_fd))
			file_remove(new_fd);
		return;
	}
	entry = find_or_make(new_fd);
	if (entry)
		replace_file(entry, file);
	else
		file_put(file);
}
