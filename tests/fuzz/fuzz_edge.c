/* SPDX-License-Identifier: MIT */
/*
 * tests/fuzz/fuzz_edge.c - calls on the process's memory and on the VM's slots, from
 * several threads at once, beside a vCPU that uses all of the memory.
 *
 * An input is cut into as many parts as there are threads; each part is a list of calls,
 * of four bytes: which, where, how much, how often.  (The first byte says how many, and
 * by which tables the guest is translated.)  What must come of it: every thread
 * ends (a hang is the fuzzer's timeout), nothing crashes, nothing stays on record, and
 * afterwards the guest reads what the process reads, page by page.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "base/guarded.h"
#include "input.h"
#include "kvm/process.h"

#define PAGE 4096ul
#define N_PAGES 32ul
#define AREA_BYTES (N_PAGES * PAGE)
#define AREA_GPA 0x100000u
#define ALIAS_GPA 0x200000u
#define MAX_THREADS 4u
#define MAX_CALLS 64u

/*
 * 32-bit, without paging.
 *	mov $AREA_GPA, %esi; mov $N_PAGES, %ecx
 * 1:	mov (%esi), %eax; addl $1, 8(%esi)
 * 2:	add $4096, %esi; dec %ecx; jnz 1b; jmp to the start
 * At READ: mov (%esi), %eax; hlt
 */
static const uint8_t code[] = {
	0xbe, 0x00, 0x00, 0x10, 0x00, 0xb9, N_PAGES, 0x00, 0x00, 0x00,
	0x8b, 0x06, 0x83, 0x46, 0x08, 0x01,
	0x81, 0xc6, 0x00, 0x10, 0x00, 0x00, 0x49, 0x75, 0xf1, 0xeb, 0xe5,
	0x8b, 0x06, 0xf4,
};
#define SKIP 16u
#define READ 27u

static struct {
	int kvm, vm, vcpu, file;
	struct kvm_run *run;
	uint8_t *memory, *area;
	bool stop;
} world;

static void die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static void nothing(int sig)
{
	(void)sig;
}

static void set_slot(uint32_t id, uint32_t flags, uint32_t gpa, const uint8_t *memory, size_t bytes)
{
	struct kvm_userspace_memory_region r = {
		.slot = id,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)memory,
	};

	/* Two threads may want the opposite. */
	(void)!umbra_set_user_memory_region(world.vm, &r);
}

static void map_over(uint8_t *at, size_t bytes, int fd, uint64_t word)
{
	int flags = MAP_FIXED | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);

	if (umbra_mmap_memory(at, bytes, PROT_READ | PROT_WRITE, flags, fd, at - world.area) != at)
		die("mmap");
	/* Another thread may have cut the file short. */
	for (size_t i = 0; i < bytes; i += PAGE)
		(void)!guarded_store64(at + i, word);
}

static void move_over(uint8_t *at, size_t bytes, uint64_t word)
{
	uint8_t *from = umbra_mmap_memory(NULL, bytes, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (from == MAP_FAILED)
		die("mmap");
	memcpy(from, &word, sizeof(word));
	if (umbra_mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, at) != at)
		die("mremap");
}

static void map_and_unmap(size_t bytes)
{
	uint8_t *at = umbra_mmap_memory(NULL, bytes, PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED || umbra_mprotect(at, bytes, PROT_READ) || umbra_munmap(at, bytes))
		die("memory of no slot");
}

static void make_vm(void)
{
	long vm = umbra_create_vm(world.kvm, 0);

	if (vm < 0 || umbra_close((int)vm))
		die("KVM_CREATE_VM");
}

static void get_log(void)
{
	uint64_t bitmap[N_PAGES / 64 + 1];
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };

	(void)!umbra_get_dirty_log(world.vm, &log);
}

static void call(uint8_t which, uint8_t where, uint8_t much, uint64_t word)
{
	uint8_t *at = world.area + where % N_PAGES * PAGE;
	size_t bytes = (1 + much % (N_PAGES - where % N_PAGES)) * PAGE;

	switch (which % 20) {
	case 0:
		map_over(at, bytes, -1, word);
		break;
	case 1:
		map_over(at, bytes, world.file, word);
		break;
	case 2:
		move_over(at, bytes, word);
		break;
	case 3:
		umbra_mprotect(at, bytes, PROT_READ);
		break;
	case 4:
		umbra_mprotect(at, bytes, PROT_NONE);
		break;
	case 5:
		umbra_pkey_mprotect(at, bytes, PROT_READ | PROT_WRITE, -1);
		break;
	case 6:
		umbra_madvise(at, bytes, MADV_DONTNEED);
		break;
	case 7:
		umbra_madvise(at, bytes, MADV_PAGEOUT);
		break;
	case 8:
		umbra_madvise(at, bytes, MADV_POPULATE_WRITE);
		break;
	case 9:
		umbra_madvise(at, bytes, MADV_REMOVE);
		break;
	case 10:
		umbra_fallocate(world.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				at - world.area, (off_t)bytes);
		break;
	case 11:
		if (umbra_ftruncate(world.file, at - world.area) ||
		    umbra_ftruncate(world.file, AREA_BYTES))
			die("ftruncate");
		break;
	case 12:
		set_slot(1, 0, 0, NULL, 0);
		set_slot(1, 0, AREA_GPA, world.area, AREA_BYTES);
		break;
	case 13:
		set_slot(1, KVM_MEM_LOG_DIRTY_PAGES, AREA_GPA, world.area, AREA_BYTES);
		break;
	case 14:
		set_slot(1, 0, AREA_GPA, world.area, AREA_BYTES);
		break;
	case 15:
		set_slot(2, 0, ALIAS_GPA, at, bytes);
		break;
	case 16:
		set_slot(2, 0, 0, NULL, 0);
		break;
	case 17:
		get_log();
		break;
	case 18:
		make_vm();
		break;
	case 19:
		map_and_unmap(bytes);
		break;
	}
}

struct part {
	struct input in;
	pthread_t thread;
	uint64_t word;
};

static void *make_calls(void *arg)
{
	struct part *p = arg;

	for (unsigned int n = 0; p->in.left && n < MAX_CALLS; n++) {
		uint8_t which = input8(&p->in), where = input8(&p->in), much = input8(&p->in);
		uint8_t often = input8(&p->in) % 8;

		for (uint8_t i = 0; i <= often; i++)
			call(which, where, much, ++p->word << 8);
	}
	return NULL;
}

/* --- the guest --------------------------------------------------------------- */

static void set_up_registers(void)
{
	struct kvm_segment flat = {
		.limit = 0xffffffff, .selector = 8, .type = 3, .present = 1, .s = 1, .db = 1,
		.g = 1,
	};
	struct kvm_sregs s;

	if (umbra_get_sregs(world.vcpu, &s))
		die("KVM_GET_SREGS");
	s.ds = s.es = s.fs = s.gs = s.ss = s.cs = flat;
	s.cs.type = 11;
	s.cr0 |= 1;
	if (umbra_set_sregs(world.vcpu, &s))
		die("KVM_SET_SREGS");
}

static void jump(uint64_t rip, uint64_t rsi, uint64_t rcx)
{
	struct kvm_regs regs = { .rip = rip, .rsi = rsi, .rcx = rcx, .rflags = 2 };

	if (umbra_set_regs(world.vcpu, &regs))
		die("KVM_SET_REGS");
}

static void *run_guest(void *arg)
{
	struct kvm_regs regs;

	while (!__atomic_load_n(&world.stop, __ATOMIC_RELAXED)) {
		long err = umbra_run(world.vcpu, 0);

		if (err && err != -EFAULT && err != -EINTR)
			die("KVM_RUN");
		if (!err && world.run->exit_reason != KVM_EXIT_MMIO)
			die("an exit without a reason");
		/* The page is not there: on to the next. */
		if (err == -EFAULT && umbra_get_regs(world.vcpu, &regs) == 0)
			jump(SKIP, regs.rsi, regs.rcx ? regs.rcx : 1);
	}
	return arg;
}

static void compare_page(unsigned int page)
{
	struct kvm_regs regs;
	uint64_t seen = 0;
	bool there = guarded_load64(world.area + page * PAGE, &seen);
	long err;

	jump(READ, AREA_GPA + page * PAGE, 0);
	do
		err = umbra_run(world.vcpu, 0);
	while (err == -EINTR || (!err && world.run->exit_reason == KVM_EXIT_MMIO));
	if (!there && err == -EFAULT)
		return;
	if (err || umbra_get_regs(world.vcpu, &regs) || !there)
		die("the guest and the process differ about a page's being there");
	if ((uint32_t)regs.rax != (uint32_t)seen)
		die("the guest reads what the process does not");
}

/* --- the world ----------------------------------------------------------------- */

static void make_world(void)
{
	struct sigaction action = { .sa_handler = nothing };
	int err;

	sigaction(SIGUSR1, &action, NULL);
	memset(&world, 0, sizeof(world));
	world.kvm = umbra_open(O_CLOEXEC);
	world.vm = (int)umbra_create_vm(world.kvm, 0);
	world.file = memfd_create("memory", MFD_CLOEXEC);
	world.memory = umbra_mmap_memory(NULL, PAGE, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	world.area = umbra_mmap_memory(NULL, AREA_BYTES, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (world.vm < 0 || world.memory == MAP_FAILED || world.area == MAP_FAILED ||
	    umbra_ftruncate(world.file, AREA_BYTES))
		die("no world");
	memcpy(world.memory, code, sizeof(code));
	set_slot(0, 0, 0, world.memory, PAGE);
	set_slot(1, KVM_MEM_LOG_DIRTY_PAGES, AREA_GPA, world.area, AREA_BYTES);
	world.vcpu = (int)umbra_create_vcpu(world.vm, 0);
	world.run = umbra_mmap(NULL, (size_t)umbra_get_vcpu_mmap_size(world.kvm, 0),
			       PROT_READ | PROT_WRITE, MAP_SHARED, world.vcpu, 0, &err);
	if (world.vcpu < 0 || world.run == MAP_FAILED)
		die("no vCPU");
	set_up_registers();
	jump(0, 0, 0);
}

static void end_world(void)
{
	if (atomic32_load_relaxed(&process_changes()->n_open))
		die("a change is still on record");
	umbra_munmap(world.run, (size_t)umbra_get_vcpu_mmap_size(world.kvm, 0));
	umbra_munmap(world.area, AREA_BYTES);
	umbra_munmap(world.memory, PAGE);
	umbra_close(world.vcpu);
	umbra_close(world.vm);
	umbra_close(world.kvm);
	close(world.file);
}

static void stop_guest(pthread_t guest)
{
	__atomic_store_n(&world.stop, true, __ATOMIC_RELAXED);
	__atomic_store_n(&world.run->immediate_exit, 1, __ATOMIC_RELAXED);
	pthread_kill(guest, SIGUSR1);
	pthread_join(guest, NULL);
	world.run->immediate_exit = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int n = size ? 1 + data[0] % MAX_THREADS : 1;
	struct part part[MAX_THREADS];
	pthread_t guest;

	umbra_set_mmu(size && data[0] & 0x80 ? UMBRA_MMU_SHADOW : UMBRA_MMU_TDP);
	make_world();
	if (pthread_create(&guest, NULL, run_guest, NULL))
		die("pthread_create");
	for (unsigned int i = 0; i < n; i++) {
		size_t share = size ? (size - 1) / n : 0;

		part[i] = (struct part){ .in = { data + 1 + i * share, share } };
		if (pthread_create(&part[i].thread, NULL, make_calls, &part[i]))
			die("pthread_create");
	}
	for (unsigned int i = 0; i < n; i++)
		pthread_join(part[i].thread, NULL);
	stop_guest(guest);
	/* Whoever deleted the slot last may have been overtaken by who made it. */
	set_slot(1, 0, AREA_GPA, world.area, AREA_BYTES);
	for (unsigned int page = 0; page < N_PAGES; page++)
		compare_page(page);
	end_world();
	return 0;
}
