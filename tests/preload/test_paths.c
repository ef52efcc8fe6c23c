/* SPDX-License-Identifier: MIT */
/*
 * tests/preload/test_paths.c - whoever names the device finds it, however they name it.
 *
 * Once as the host is, and once without a device in /dev.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kvm.h>
#include <linux/openat2.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

/* What _FORTIFY_SOURCE and old programs call. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);
char *__realpath_chk(const char *path, char *resolved, size_t bytes);

/* With two links to it, of which one says "kvm". */
static char folder[] = "/tmp/umbra-paths-XXXXXX";
static char link_path[64], named_link[64], dev_link_path[64];
static int dev = -1;

static int make_links(void **state)
{
	char dev_link[64];

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(link_path, sizeof(link_path), "%s/machine", folder);
	snprintf(named_link, sizeof(named_link), "%s/kvm", folder);
	snprintf(dev_link, sizeof(dev_link), "%s/dev", folder);
	snprintf(dev_link_path, sizeof(dev_link_path), "%s/dev/kvm", folder);
	assert_int_equal(symlink("/dev/kvm", link_path), 0);
	assert_int_equal(symlink("dev/kvm", named_link), 0);
	assert_int_equal(symlink("/dev", dev_link), 0);
	return 0;
}

static int remove_links(void **state)
{
	char dev_link[64];

	(void)state;
	snprintf(dev_link, sizeof(dev_link), "%s/dev", folder);
	unlink(link_path);
	unlink(named_link);
	unlink(dev_link);
	return rmdir(folder);
}

static void is_the_device(int fd)
{
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, KVM_GET_API_VERSION, 0), KVM_API_VERSION);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode, S_IFCHR | 0666);
	assert_int_equal(close(fd), 0);
}

static void opens(const char *path)
{
	is_the_device(open(path, O_RDWR));
	is_the_device(open64(path, O_RDONLY));
	is_the_device(openat(AT_FDCWD, path, O_RDWR | O_CLOEXEC));
	is_the_device(openat64(AT_FDCWD, path, O_RDWR));
	is_the_device(__open_2(path, O_RDWR));
	is_the_device(__open64_2(path, O_RDWR));
	is_the_device(__openat_2(AT_FDCWD, path, O_RDWR));
	is_the_device(__openat64_2(AT_FDCWD, path, O_RDWR));
	is_the_device(open(path, O_RDWR | O_CREAT, 0600));
}

static void opens_as_a_stream(const char *path)
{
	FILE *stream = fopen(path, "r+");

	assert_non_null(stream);
	assert_int_equal(ioctl(fileno(stream), KVM_GET_API_VERSION, 0), KVM_API_VERSION);
	stream = freopen(path, "r", stream);
	assert_non_null(stream);
	assert_int_equal(ioctl(fileno(stream), KVM_GET_API_VERSION, 0), KVM_API_VERSION);
	assert_int_equal(fclose(stream), 0);
}

static void is_a_device(const struct stat *st)
{
	assert_int_equal(st->st_mode, S_IFCHR | 0666);
	assert_int_equal(st->st_rdev, makedev(10, 232));
	assert_int_equal(st->st_nlink, 1);
	assert_int_equal(st->st_size, 0);
}

static void has_the_status(const char *path)
{
	struct stat64 st64;
	struct statx stx;
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	is_a_device(&st);
	assert_int_equal(stat64(path, &st64), 0);
	assert_int_equal(st64.st_rdev, makedev(10, 232));
	assert_int_equal(fstatat(AT_FDCWD, path, &st, 0), 0);
	is_a_device(&st);
	assert_int_equal(fstatat64(AT_FDCWD, path, &st64, 0), 0);
	assert_int_equal(st64.st_mode, S_IFCHR | 0666);
	assert_int_equal(statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &stx), 0);
	assert_int_equal(stx.stx_mode, S_IFCHR | 0666);
	assert_int_equal(stx.stx_rdev_major, 10);
	assert_int_equal(stx.stx_rdev_minor, 232);
}

static void lets_everybody_in(const char *path)
{
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(access(path, R_OK | W_OK), 0);
	assert_int_equal(euidaccess(path, R_OK | W_OK), 0);
	assert_int_equal(eaccess(path, R_OK), 0);
	assert_int_equal(faccessat(AT_FDCWD, path, W_OK, AT_EACCESS), 0);
	assert_int_equal(access(path, X_OK), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(faccessat(AT_FDCWD, path, R_OK | X_OK, 0), -1);
	assert_int_equal(errno, EACCES);
}

static void has_its_real_name(const char *path)
{
	char room[PATH_MAX], *name = realpath(path, NULL);

	assert_non_null(name);
	assert_string_equal(name, "/dev/kvm");
	free(name);
	name = canonicalize_file_name(path);
	assert_string_equal(name, "/dev/kvm");
	free(name);
	assert_string_equal(__realpath_chk(path, room, sizeof(room)), "/dev/kvm");
}

static void finds(const char *path)
{
	opens(path);
	opens_as_a_stream(path);
	has_the_status(path);
	lets_everybody_in(path);
	has_its_real_name(path);
}

static void every_spelling_finds_it(void **state)
{
	static const char *const spellings[] = {
		"/dev/kvm", "//dev/kvm", "/dev//kvm", "/./dev/kvm", "/dev/./kvm",
		"/dev/../dev/kvm", "/dev/.././/dev/kvm", "/proc/self/root/dev/kvm",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(spellings) / sizeof(*spellings); i++)
		finds(spellings[i]);
}

static void links_lead_to_it(void **state)
{
	struct stat st;
	char target[16];

	(void)state;
	finds(link_path);
	finds(named_link);
	finds(dev_link_path);
	/* They are links all the same. */
	assert_int_equal(lstat(named_link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(readlink(named_link, target, sizeof(target)), strlen("dev/kvm"));
	assert_int_equal(open(named_link, O_RDWR | O_NOFOLLOW), -1);
	assert_int_equal(errno, ELOOP);
	assert_int_equal(lstat("/dev/kvm", &st), 0);
	is_a_device(&st);
	assert_int_equal(readlink("/dev/kvm", target, sizeof(target)), -1);
	assert_int_equal(errno, EINVAL);
}

static void a_folder_and_kvm_in_it_find_it(void **state)
{
	char target[8];
	struct statx stx;
	struct stat st;
	char *before = getcwd(NULL, 0);

	(void)state;
	is_the_device(openat(dev, "kvm", O_RDWR));
	is_the_device(openat64(dev, "./kvm", O_RDWR));
	assert_int_equal(fstatat(dev, "kvm", &st, AT_SYMLINK_NOFOLLOW), 0);
	is_a_device(&st);
	assert_int_equal(statx(dev, "kvm", 0, STATX_BASIC_STATS, &stx), 0);
	assert_int_equal(stx.stx_rdev_minor, 232);
	assert_int_equal(faccessat(dev, "kvm", R_OK | W_OK, 0), 0);
	assert_int_equal(readlinkat(dev, "kvm", target, sizeof(target)), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(chdir("/dev"), 0);
	finds("kvm");
	finds("./kvm");
	assert_int_equal(chdir(before), 0);
	free(before);
}

static void fails(int result, int wanted)
{
	assert_int_equal(result, -1);
	assert_int_equal(errno, wanted);
}

static int open_by_number(const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = { .flags = flags, .resolve = resolve };

	return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
}

static void calls_by_number_find_it(void **state)
{
	struct open_how how = { .flags = O_RDWR };
	struct statx stx;

	(void)state;
	is_the_device(open_by_number("/dev/kvm", O_RDWR | O_CLOEXEC, 0));
	is_the_device(open_by_number(link_path, O_RDWR, 0));
	is_the_device(open_by_number("//dev/./kvm", O_RDWR, RESOLVE_NO_SYMLINKS));
	is_the_device((int)syscall(SYS_openat2, dev, "kvm", &how, sizeof(how)));
	fails(open_by_number(named_link, O_RDWR, RESOLVE_NO_SYMLINKS), ELOOP);
	fails((int)syscall(SYS_openat2, dev, "kvm", &how, 3), EINVAL);
	is_the_device((int)syscall(SYS_openat, dev, "kvm", O_RDWR));
	is_the_device((int)syscall(SYS_open, "/dev/kvm", O_RDWR));
	assert_int_equal(syscall(SYS_access, "/dev/kvm", R_OK | W_OK), 0);
	assert_int_equal(syscall(SYS_faccessat, dev, "kvm", W_OK), 0);
	assert_int_equal(syscall(SYS_statx, dev, "kvm", 0, STATX_BASIC_STATS, &stx), 0);
	assert_int_equal(stx.stx_rdev_minor, 232);
}

static void a_descriptor_has_its_status(void **state)
{
	int fd = open("/dev/kvm", O_RDWR);
	struct stat named, st;
	struct statx stx;

	(void)state;
	assert_int_equal(stat("/dev/kvm", &named), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_memory_equal(&st, &named, sizeof(st));
	assert_int_equal(fstatat(fd, "", &st, AT_EMPTY_PATH), 0);
	is_a_device(&st);
	assert_int_equal(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx), 0);
	assert_int_equal(stx.stx_mode, S_IFCHR | 0666);
	close(fd);
}

static void it_opens_as_a_device_does(void **state)
{
	char value[8];

	(void)state;
	fails(open("/dev/kvm", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
	fails(open("/dev/kvm", O_RDONLY | O_DIRECTORY), ENOTDIR);
	fails(open("/dev/kvm", O_RDWR | O_DIRECT), EINVAL);
	is_the_device(open("/dev/kvm", O_RDWR | O_TRUNC | O_NOFOLLOW | O_NOCTTY));
	is_the_device(creat("/dev/kvm", 0600));
	assert_null(fopen("/dev/kvm", "wx"));
	assert_int_equal(errno, EEXIST);
	fails((int)getxattr("/dev/kvm", "user.none", value, sizeof(value)), ENODATA);
	assert_int_equal(listxattr("/dev/kvm", NULL, 0), 0);
}

/* What scripts do first.  The host's own, if it has one, is left alone. */
static void its_mode_is_nobodys_business(void **state)
{
	int wanted = geteuid() ? -1 : 0, fd = open("/dev/kvm", O_RDWR);

	(void)state;
	assert_int_equal(chmod("/dev/kvm", 0600), wanted);
	assert_int_equal(chmod(link_path, 0600), wanted);
	assert_int_equal(chown("//dev/kvm", getuid(), getgid()), wanted);
	assert_int_equal(lchown("/dev/kvm", getuid(), getgid()), wanted);
	assert_int_equal(fchmodat(dev, "kvm", 0600, 0), wanted);
	assert_int_equal(fchownat(dev, "kvm", getuid(), getgid(), 0), wanted);
	assert_int_equal(fchmod(fd, 0600), wanted);
	assert_int_equal(fchown(fd, getuid(), getgid()), wanted);
	is_the_device(fd);
	has_the_status("/dev/kvm");
}

/* Names that only look like it. */
static void other_files_are_themselves(void **state)
{
	char path[80];
	struct stat st;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/none/kvm", folder);
	fails(open(path, O_RDWR), ENOENT);
	fails(stat(path, &st), ENOENT);
	fails(access("/dev/kvmm", F_OK), ENOENT);
	fails(access("/devkvm", F_OK), ENOENT);
	unlink(named_link);
	fd = open(named_link, O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	fails(ioctl(fd, KVM_GET_API_VERSION, 0), ENOTTY);
	assert_int_equal(stat(named_link, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	close(fd);
	unlink(named_link);
	assert_int_equal(symlink("dev/kvm", named_link), 0);
	/* Around in a circle. */
	unlink(link_path);
	assert_int_equal(symlink("machine", link_path), 0);
	fails(open(link_path, O_RDWR), ELOOP);
	unlink(link_path);
	assert_int_equal(symlink("/dev/kvm", link_path), 0);
}

/* --- pointers to nowhere --------------------------------------------------------- */

#define IS_EFAULT(call)                          \
	do {                                     \
		errno = 0;                       \
		assert_int_equal((call), -1);    \
		assert_int_equal(errno, EFAULT); \
	} while (0)

static void assert_calls_are_efault(const char *path)
{
	struct open_how how = { .flags = O_RDONLY };
	char buffer[64], *const none[] = { NULL };
	struct statx stx;
	struct stat st;

	IS_EFAULT(open(path, O_RDWR));
	IS_EFAULT(open64(path, O_RDWR));
	IS_EFAULT(open(path, O_RDWR | O_CREAT, 0600));
	IS_EFAULT(openat(AT_FDCWD, path, O_RDWR));
	IS_EFAULT(openat64(AT_FDCWD, path, O_RDWR));
	IS_EFAULT(__open_2(path, O_RDWR));
	IS_EFAULT(__openat_2(AT_FDCWD, path, O_RDWR));
	IS_EFAULT(creat(path, 0600));
	assert_null(fopen(path, "r"));
	assert_int_equal(errno, EFAULT);
	IS_EFAULT(stat(path, &st));
	IS_EFAULT(lstat(path, &st));
	IS_EFAULT(fstatat(AT_FDCWD, path, &st, 0));
	IS_EFAULT(fstatat(AT_FDCWD, path, &st, AT_EMPTY_PATH));
	IS_EFAULT(statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &stx));
	IS_EFAULT(access(path, F_OK));
	IS_EFAULT(faccessat(AT_FDCWD, path, F_OK, 0));
	IS_EFAULT(readlink(path, buffer, sizeof(buffer)));
	IS_EFAULT(readlinkat(AT_FDCWD, path, buffer, sizeof(buffer)));
	IS_EFAULT(getxattr(path, "user.a", buffer, sizeof(buffer)));
	IS_EFAULT(listxattr(path, buffer, sizeof(buffer)));
	IS_EFAULT(syscall(SYS_open, path, O_RDWR));
	IS_EFAULT(syscall(SYS_openat, AT_FDCWD, path, O_RDWR));
	IS_EFAULT(syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how)));
	IS_EFAULT(syscall(SYS_access, path, F_OK));
	IS_EFAULT(execve(path, none, none));
	IS_EFAULT(execv(path, none));
	IS_EFAULT(execveat(AT_FDCWD, path, none, none, 0));
	IS_EFAULT(execveat(dev, path, none, none, 0));
}

/* Also with the signal of it blocked, before and after there is a VM. */
static void a_bad_pointer_is_efault(void **state)
{
	char *const bad_list[] = { (char *)8, NULL };
	char *const none[] = { NULL };
	char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigset_t segv;

	(void)state;
	/* Their stand-ins for these functions read the names themselves. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip();
#endif
	sigemptyset(&segv);
	sigaddset(&segv, SIGSEGV);
	assert_int_equal(mprotect(pages + 4096, 4096, PROT_NONE), 0);
	/* Its end is not there. */
	memcpy(pages + 4096 - 8, "/dev/kvm", 8);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(sigprocmask(i ? SIG_BLOCK : SIG_UNBLOCK, &segv, NULL), 0);
		assert_calls_are_efault(pages + 4096 - 8);
		assert_calls_are_efault(pages + 4096);
		assert_calls_are_efault((const char *)8);
		assert_calls_are_efault((const char *)-8);
		IS_EFAULT(stat("/dev/kvm", (struct stat *)(void *)(pages + 4096)));
		IS_EFAULT(lstat("/dev/kvm", (struct stat *)(void *)(pages + 4000)));
		IS_EFAULT(statx(AT_FDCWD, "/dev/kvm", 0, STATX_BASIC_STATS,
				(struct statx *)(void *)(pages + 4096)));
		IS_EFAULT(syscall(SYS_openat2, AT_FDCWD, "/dev/kvm", pages + 4096, 24));
		IS_EFAULT(execve("/bin/true", none, bad_list));
		IS_EFAULT(execve("/bin/true", none, (char *const *)(void *)(pages + 4096)));
		opens("/dev/kvm");
		/* A name that ends where its page does. */
		memcpy(pages + 4096 - 9, "/dev/kvm", 9);
		opens(pages + 4096 - 9);
		memcpy(pages + 4096 - 8, "/dev/kvm", 8);
	}
	sigprocmask(SIG_UNBLOCK, &segv, NULL);
	munmap(pages, 8192);
}

static int run_all(void)
{
	const struct CMUnitTest tests[] = {
		/* First: no handler of faults is installed yet. */
		cmocka_unit_test(a_bad_pointer_is_efault),
		cmocka_unit_test(every_spelling_finds_it),
		cmocka_unit_test(links_lead_to_it),
		cmocka_unit_test(a_folder_and_kvm_in_it_find_it),
		cmocka_unit_test(calls_by_number_find_it),
		cmocka_unit_test(a_descriptor_has_its_status),
		cmocka_unit_test(it_opens_as_a_device_does),
		cmocka_unit_test(its_mode_is_nobodys_business),
		cmocka_unit_test(other_files_are_themselves),
	};

	dev = open("/dev", O_RDONLY | O_DIRECTORY);
	return cmocka_run_group_tests(tests, make_links, remove_links);
}

/* 77 if we may not. */
static int run_without(void)
{
	if (unshare((geteuid() ? CLONE_NEWUSER : 0) | CLONE_NEWNS) ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/dev", "tmpfs", 0, NULL))
		return 77;
	return run_all();
}

int main(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		status = run_without();
		fflush(stdout);
		_exit(status);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 1;
	if (WEXITSTATUS(status) == 77)
		printf("without a device in /dev: not permitted here\n");
	else if (WEXITSTATUS(status))
		return 1;
	return run_all();
}
