/* SPDX-License-Identifier: MIT */
/* boot/boot.c - umbra boot: what is asked for, and the course of a run. */
#include "boot/boot.h"

#include <errno.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "boot/acpi.h"
#include "boot/kernel/initramfs.h"
#include "boot/terminal.h"
#include "tool/output.h"
#include "tool/tool.h"

#define DEFAULT_MEMORY 256	/* MiB */
#define MIN_MEMORY 16
#define MAX_MEMORY (1u << 20)
/* For every kernel; what is asked for comes after it, and so wins. */
#define COMMAND_LINE "console=ttyS0 panic=-1"
#define KERNEL_PACKAGE "linux-image-cloud-amd64"

struct boot_options {
	const char *kernel, *initrd, *append, *disk;
	uint64_t cpus, memory;
	struct run_options library;
};

/* --- what the parts call ---------------------------------------------------------------- */

void boot_end(struct boot *b, int status, const char *reason, ...)
{
	const uint64_t one = 1;
	char text[256];
	va_list args;

	if (atomic_exchange(&b->ending, true))
		return;
	b->status = status;
	if (reason) {
		va_start(args, reason);
		vsnprintf(text, sizeof(text), reason, args);
		va_end(args);
		complain("boot: %s", text);
	}
	/* It was 0, so there is room; and the one who reads it waits for nothing else. */
	if (write(b->end_fd, &one, sizeof(one)) < 0)
		abort();
}

bool boot_check(const char *what, long result)
{
	if (result >= 0)
		return true;
	complain("boot: %s: %s", what, strerror((int)-result));
	return false;
}

/* --- options ---------------------------------------------------------------------------- */

static bool take_option(void *ctx, enum option_id id, const char *value)
{
	struct boot_options *options = ctx;

	switch (id) {
	case OPTION_KERNEL:
		options->kernel = value;
		return true;
	case OPTION_INITRD:
		options->initrd = value;
		return true;
	case OPTION_APPEND:
		options->append = value;
		return true;
	case OPTION_DISK:
		options->disk = value;
		return true;
	case OPTION_CPUS:
		return options_number("cpus", value, 1, MAX_CPUS, &options->cpus);
	case OPTION_MEMORY:
		return options_number("memory", value, MIN_MEMORY, MAX_MEMORY, &options->memory);
	default:
		return run_options_take(&options->library, id, value);
	}
}

/* The newest kernel of this system, one made for virtual machines first.  Never freed. */
static const char *find_kernel(void)
{
	static const char *const patterns[] = { "/boot/vmlinuz-*-cloud-*", "/boot/vmlinuz-*" };
	const char *newest = NULL;
	glob_t found;

	for (size_t i = 0; i < 2 && !newest; i++) {
		if (glob(patterns[i], 0, NULL, &found))
			continue;
		for (size_t j = 0; j < found.gl_pathc; j++)
			if (!newest || strverscmp(found.gl_pathv[j], newest) > 0)
				newest = found.gl_pathv[j];
	}
	if (!newest)
		complain("boot: no kernel in /boot: name one by --kernel, or install one (package "
			 KERNEL_PACKAGE ")");
	return newest;
}

/* --- a run ------------------------------------------------------------------------------ */

/* That which was installed with it: it has the drivers that a disk needs.  Never freed. */
static bool open_its_initrd(const char *kernel, struct file *initrd)
{
	char *name;

	if (asprintf(&name, "/boot/initrd.img-%s", strchr(kernel, '-') + 1) < 0)
		return boot_check("the initrd", -ENOMEM);
	return file_open(initrd, name);
}

/* The kernel, and the initrd: the one named, or one for the kernel that is ours to choose. */
static bool open_files(const struct boot_options *options, struct load *load)
{
	const char *kernel = options->kernel ? options->kernel : find_kernel();

	if (!kernel || !file_open(&load->kernel, kernel))
		return false;
	if (options->initrd)
		return file_open(&load->initrd, options->initrd);
	if (options->kernel)
		return true;
	return options->disk ? open_its_initrd(kernel, &load->initrd) :
			       initramfs_make(&load->initrd);
}

static bool load_guest(struct boot *b, const struct boot_options *options, struct load *load)
{
	char *line;
	bool loaded;

	if (asprintf(&line, "%s%s%s", COMMAND_LINE, options->append ? " " : "",
		     options->append ? options->append : "") < 0)
		return boot_check("the command line", -ENOMEM);
	load->memory = &b->memory;
	load->command_line = line;
	load->rsdp = acpi_write(&b->memory, b->n_cpus, b->disk.fd >= 0);
	loaded = load_kernel(load);
	free(line);
	return loaded;
}

static bool create_machine(struct boot *b, const struct boot_options *options)
{
	b->kvm_fd = umbra_open(0);
	if (!boot_check("opening /dev/kvm", b->kvm_fd))
		return false;
	b->vm_fd = (int)umbra_create_vm(b->kvm_fd, 0);
	return boot_check("KVM_CREATE_VM", b->vm_fd) &&
	       boot_check("KVM_CREATE_IRQCHIP", umbra_create_irqchip(b->vm_fd, 0)) &&
	       memory_create(&b->memory, b->vm_fd, MIB(options->memory)) &&
	       disk_create(&b->disk, b->vm_fd, &b->memory, options->disk) &&
	       cpus_create(b, (unsigned int)options->cpus);
}

/* What was typed, as far as the serial line has room for it; false at its end. */
static bool receive(struct boot *b, struct terminal *terminal)
{
	uint8_t bytes[SERIAL_FIFO];
	size_t n = serial_room(&b->serial);
	ssize_t some;

	/* The guest may have filled it itself, in loopback. */
	if (!n)
		return true;
	some = read(STDIN_FILENO, bytes, n);
	if (some < 0)
		return errno == EINTR || errno == EAGAIN;
	n = (size_t)some;
	if (!terminal_filter(terminal, bytes, &n))
		boot_end(b, EXIT_SUCCESS, NULL);
	serial_receive(&b->serial, bytes, n);
	return some;
}

enum { WAIT_END, WAIT_SIGNAL, WAIT_ROOM, WAIT_DISK, WAIT_INPUT, N_WAIT };

/* Until somebody ends the run: input for the serial line, requests for the disk. */
static void serve_devices(struct boot *b, int signal_fd)
{
	struct terminal terminal = { .is_one = isatty(STDIN_FILENO) };
	bool has_input = true;
	uint64_t ignored;
	struct pollfd wait[N_WAIT] = {
		[WAIT_END] = { b->end_fd, POLLIN, 0 },
		[WAIT_SIGNAL] = { signal_fd, POLLIN, 0 },
		[WAIT_ROOM] = { b->serial.room_fd, POLLIN, 0 },
		[WAIT_DISK] = { b->disk.notify_fd, POLLIN, 0 },
		[WAIT_INPUT] = { STDIN_FILENO, POLLIN, 0 },
	};

	while (!atomic_load(&b->ending)) {
		struct signalfd_siginfo info;

		wait[WAIT_INPUT].fd = has_input && serial_room(&b->serial) ? STDIN_FILENO : -1;
		if (poll(wait, N_WAIT, -1) < 0)
			continue;
		if (wait[WAIT_SIGNAL].revents && read(signal_fd, &info, sizeof(info)) > 0)
			boot_end(b, 128 + (int)info.ssi_signo, NULL);
		if (wait[WAIT_ROOM].revents &&
		    read(b->serial.room_fd, &ignored, sizeof(ignored)) < 0)
			continue;
		if (wait[WAIT_DISK].revents)
			disk_work(&b->disk);
		if (wait[WAIT_INPUT].revents)
			has_input = receive(b, &terminal);
	}
}

/* Signals that end the run come as something to read; blocked in every thread made from now. */
static int take_signals(void)
{
	sigset_t ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGHUP);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &ends, NULL);
	return signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int run_machine(struct boot *b, const struct boot_options *options, struct load *load)
{
	int signal_fd = take_signals();

	if (!boot_check("signalfd", signal_fd < 0 ? -errno : 0))
		return EXIT_FAILURE;
	b->status = EXIT_FAILURE;
	b->end_fd = eventfd(0, EFD_CLOEXEC);
	if (boot_check("eventfd", b->end_fd < 0 ? -errno : 0) && create_machine(b, options) &&
	    serial_create(&b->serial, b->vm_fd)) {
		if (load_guest(b, options, load) && cpus_start(b, &load->entry))
			serve_devices(b, signal_fd);
		cpus_stop(b);
		serial_destroy(&b->serial);
		disk_destroy(&b->disk);
	}
	/* What a failure on the way there leaves, the end of the process takes. */
	memory_destroy(&b->memory);
	umbra_close(b->vm_fd);
	umbra_close(b->kvm_fd);
	return b->status;
}

int boot_command(int argc, char **argv)
{
	static struct boot boot = { .kvm_fd = -1, .vm_fd = -1 };
	struct boot_options options = { .cpus = 1, .memory = DEFAULT_MEMORY };
	struct load load = { 0 };
	int status;

	if (!run_options_begin(&options.library))
		return EXIT_USAGE;
	status = options_parse(&command_boot, argc, argv, take_option, &options);
	if (status >= 0)
		return status;
	if (!open_files(&options, &load))
		return EXIT_FAILURE;
	terminal_take();
	run_options_apply(&options.library);
	status = run_machine(&boot, &options, &load);
	return run_options_end(&options.library) ? status : EXIT_FAILURE;
}
