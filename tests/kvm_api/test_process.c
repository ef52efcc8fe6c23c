/* SPDX-License-Identifier: MIT */
/*
 * tests/kvm_api/test_process.c - descriptors, forks, and the process's own faults.
 */
#include "tests/kvm_api/api_vm.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvm/process.h"

static void count_vms(void *ctx, struct cds_list_head *vms)
{
	struct cds_list_head *at;

	cds_list_for_each(at, vms)
		++*(unsigned int *)ctx;
}

static unsigned int n_vms(void)
{
	unsigned int n = 0;

	process_with_vms(count_vms, &n);
	return n;
}

/* Under the other VM's lock. */
static void a_vcpu_that_gets_the_number_of_a_vm_closed_unseen_ends_that(void **state)
{
	struct api_vm *vm = *state;
	struct api_vcpu vcpu;
	int fd = (int)umbra_create_vm(vm->kvm, 0);

	assert_true(fd >= 0);
	assert_int_equal(n_vms(), 2);
	assert_int_equal(close(fd), 0);
	api_vcpu_create(vm, 1, &vcpu);
	assert_int_equal(vcpu.fd, fd);
	assert_int_equal(n_vms(), 1);
	api_load_guest(vm, halt);
	assert_int_equal(api_run(&vcpu), 0);
	assert_int_equal(vcpu.run->exit_reason, KVM_EXIT_HLT);
	api_vcpu_destroy(vm, &vcpu);
}

/* Runs @child in a fork; its result is the exit status. */
static int in_a_child(int (*child)(struct api_vm *vm), struct api_vm *vm)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(child(vm));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int try_parents_vm(struct api_vm *vm)
{
	struct kvm_regs regs;

	return !(umbra_get_regs(vm->vcpu.fd, &regs) == -EIO && umbra_run(vm->vcpu.fd, 0) == -EIO &&
		 umbra_create_vcpu(vm->fd, 1) == -EIO &&
		 umbra_check_extension(vm->kvm, KVM_CAP_USER_MEMORY) == 1 &&
		 umbra_close(vm->vcpu.fd) == 0 && umbra_close(vm->fd) == 0);
}

static void in_a_forked_child_the_vm_is_eio(void **state)
{
	struct api_vm *vm = *state;

	assert_int_equal(in_a_child(try_parents_vm, vm), 0);
	/* And the parent's is what it was. */
	api_load_guest(vm, halt);
	assert_int_equal(api_run(&vm->vcpu), 0);
}

static int make_own_vm(struct api_vm *parents)
{
	struct api_vm vm;

	(void)parents;
	api_vm_create(&vm);
	api_load_guest(&vm, halt);
	if (api_run(&vm.vcpu) || vm.vcpu.run->exit_reason != KVM_EXIT_HLT)
		return 1;
	api_vm_destroy(&vm);
	return 0;
}

static void a_forked_child_makes_its_own(void **state)
{
	assert_int_equal(in_a_child(make_own_vm, *state), 0);
}

static int be_killed(struct api_vm *parents)
{
	struct api_vm vm;

	(void)parents;
	api_vm_create(&vm);
	api_load_guest(&vm, spin);
	raise(SIGKILL);
	return 0;
}

/* Everything is memory and descriptors, which the kernel takes back. */
static void a_process_that_is_killed_leaves_nothing(void **state)
{
	int status = in_a_child(be_killed, *state);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_int_equal(in_a_child(make_own_vm, *state), 0);
}

static void a_vm_lives_until_its_last_descriptor_is_closed(void **state)
{
	struct api_vm vm;
	struct kvm_regs regs;
	int again;

	(void)state;
	api_vm_create(&vm);
	again = dup(vm.fd);
	umbra_dup(vm.fd, again);
	assert_int_equal(umbra_close(vm.fd), 0);
	assert_int_equal(umbra_check_extension(again, KVM_CAP_USER_MEMORY), 1);
	assert_int_equal(umbra_close(again), 0);
	/* The vCPU keeps it. */
	api_load_guest(&vm, halt);
	assert_int_equal(api_run(&vm.vcpu), 0);
	assert_int_equal(umbra_get_regs(vm.vcpu.fd, &regs), 0);
	munmap(vm.vcpu.run, 12288);
	assert_int_equal(umbra_close(vm.vcpu.fd), 0);
	assert_int_equal(umbra_close(vm.kvm), 0);
	munmap(vm.memory, API_MEMORY_BYTES);
}

static void a_descriptor_that_is_replaced_is_closed(void **state)
{
	struct api_vm *vm = *state;
	int fd = umbra_open(O_RDONLY), pipes[2];

	(void)vm;
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(dup2(pipes[0], fd), fd);
	umbra_dup(pipes[0], fd);
	assert_false(umbra_owns(fd));
	close(fd);
	close(pipes[0]);
	close(pipes[1]);

	fd = umbra_open(O_RDONLY);
	close(fd);
	umbra_forget((unsigned int)fd, (unsigned int)fd);
	assert_false(umbra_owns(fd));
}

static void descriptors_are_closed_on_exec_as_asked(void **state)
{
	struct api_vm *vm = *state;
	int plain = umbra_open(O_RDWR);

	assert_int_equal(fcntl(plain, F_GETFD), 0);
	assert_int_equal(fcntl(vm->kvm, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(vm->fd, F_GETFD), FD_CLOEXEC);
	umbra_close(plain);
}

static int fault_in_our_own_code(struct api_vm *vm)
{
	int *volatile nowhere = (int *)8;

	(void)vm;
	*nowhere = 0;
	return 0;
}

/* A fault that is not the guest's is the program's: here it has no handler. */
static void a_fault_of_the_program_kills_it(void **state)
{
	int status = in_a_child(fault_in_our_own_code, *state);

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	assert_true(WIFEXITED(status) ? WEXITSTATUS(status) : WIFSIGNALED(status));
#else
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
#endif
}

static void the_run_page_cannot_be_shrunk_under_us(void **state)
{
	struct api_vm *vm = *state;

	assert_int_equal(ftruncate(vm->vcpu.fd, 0), -1);
	assert_int_equal(ftruncate(vm->fd, 0), -1);
	api_load_guest(vm, halt);
	assert_int_equal(api_run(&vm->vcpu), 0);
}

/* SIGXFSZ, as a rule, kills. */
static int make_files_beyond_the_limit(struct api_vm *parents)
{
	struct rlimit limit;
	struct api_vm vm;

	(void)parents;
	api_vm_create(&vm);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = 0;
	setrlimit(RLIMIT_FSIZE, &limit);
	if (umbra_create_vm(vm.kvm, 0) != -EFBIG || umbra_create_vcpu(vm.fd, 1) != -EFBIG)
		return 1;
	api_load_guest(&vm, halt);
	if (api_run(&vm.vcpu) || vm.vcpu.run->exit_reason != KVM_EXIT_HLT)
		return 2;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_FSIZE, &limit);
	api_vm_destroy(&vm);
	return 0;
}

static void a_limit_of_file_sizes_is_an_errno(void **state)
{
	assert_int_equal(in_a_child(make_files_beyond_the_limit, *state), 0);
}

#define MANY_VMS 2000
#define SMALL_STACK (64 << 10)

static void *unmap_page(void *page)
{
	return umbra_munmap(page, 4096) ? page : NULL;
}

/* As much stack as a program gives a thread that does little. */
static void a_small_stack_is_enough_beside_many_vms(void **state)
{
	const struct api_vm *vm = *state;
	struct rlimit limit;
	static int fds[MANY_VMS];
	pthread_attr_t attributes;
	pthread_t thread;
	void *page, *failed;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < MANY_VMS + 100)
		skip();
	for (int i = 0; i < MANY_VMS; i++) {
		fds[i] = (int)umbra_create_vm(vm->kvm, 0);
		assert_true(fds[i] >= 0);
	}
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_attr_init(&attributes);
	assert_int_equal(pthread_attr_setstacksize(&attributes, SMALL_STACK), 0);
	assert_int_equal(pthread_create(&thread, &attributes, unmap_page, page), 0);
	pthread_join(thread, &failed);
	assert_null(failed);
	pthread_attr_destroy(&attributes);
	for (int i = 0; i < MANY_VMS; i++)
		assert_int_equal(umbra_close(fds[i]), 0);
}

/* Without the preloaded library signals are held by the thread's mask. */
static void with_every_signal_blocked_a_bad_page_is_efault(void **state)
{
	const uint64_t gpa = 256ull << 20;
	struct api_vm *vm = *state;
	void *hole = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_regs regs;
	sigset_t all, before, now, pending;

	assert_int_equal(api_set_region(vm, 3, 0, gpa, 1 << 20, hole), 0);
	api_load_guest(vm, load);
	regs = api_regs(&vm->vcpu);
	regs.rdi = gpa;
	api_set_regs(&vm->vcpu, &regs);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	raise(SIGSEGV);
	assert_int_equal(umbra_run(vm->vcpu.fd, 0), -EFAULT);
	sigprocmask(SIG_BLOCK, NULL, &now);
	assert_true(sigismember(&now, SIGSEGV) && sigismember(&now, SIGUSR1));
	/* What was sent waits still. */
	sigpending(&pending);
	assert_true(sigismember(&pending, SIGSEGV));
	sigemptyset(&all);
	sigaddset(&all, SIGSEGV);
	assert_int_equal(sigwaitinfo(&all, NULL), SIGSEGV);
	sigprocmask(SIG_SETMASK, &before, NULL);
	assert_int_equal(api_set_region(vm, 3, 0, gpa, 0, hole), 0);
	munmap(hole, 1 << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		api_test(a_vcpu_that_gets_the_number_of_a_vm_closed_unseen_ends_that),
		api_test(in_a_forked_child_the_vm_is_eio),
		api_test(a_forked_child_makes_its_own),
		api_test(a_process_that_is_killed_leaves_nothing),
		api_test(a_vm_lives_until_its_last_descriptor_is_closed),
		api_test(a_descriptor_that_is_replaced_is_closed),
		api_test(descriptors_are_closed_on_exec_as_asked),
		api_test(a_fault_of_the_program_kills_it),
		api_test(the_run_page_cannot_be_shrunk_under_us),
		api_test(a_limit_of_file_sizes_is_an_errno),
		api_test(a_small_stack_is_enough_beside_many_vms),
		api_test(with_every_signal_blocked_a_bad_page_is_efault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
