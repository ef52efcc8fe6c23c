/* SPDX-License-Identifier: MIT */
/*
 * tests/tool/kernel.c - a kernel for umbra boot, of 32 or 64 bits, that says how it was entered
 * and does what its command line asks for: echo, disk, loop (a circle in the queue), reset, fault.
 *
 * With MULTIBOOT or PVH it says so in its file; with ADDRESSES its Multiboot header has those.
 */
#include <linux/virtio_blk.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#define SERIAL 0x3f8
#define DISK 0xd0000000
#define QUEUE 8


__asm__(".section .head, \"ax\"\n"
	"_start: .globl _start\n"
#ifdef __x86_64__
	"	lea stack_top(%rip), %rsp\n"
	"	mov %rsi, %rdx\n"
	"	mov %rax, %rdi\n"
	"	mov %rbx, %rsi\n"
	"	call kernel_main\n"
#else
	"	mov $stack_top, %esp\n"
	"	push %esi\n"
	"	push %ebx\n"
	"	push %eax\n"
	"	call kernel_main\n"
#endif
#ifdef MULTIBOOT
	"	.balign 4\n"
#ifdef ADDRESSES
	"header: .long 0x1badb002, 0x10003, -(0x1badb002 + 0x10003)\n"
	"	.long header, _start, data_end, bss_end, _start\n"
#else
	"	.long 0x1badb002, 3, -(0x1badb002 + 3)\n"
#endif
#endif
#ifdef PVH
	".section .note, \"a\", @note\n"
	"	.long 4, 4, 18, 0x6e6558, _start\n"
#endif
	".bss\n"
	"	.balign 16\n"
	"	.skip 4096\n"
	"stack_top:\n"
	".text\n");

static void out(unsigned int port, uint8_t value)
{
	__asm__ volatile("outb %b0, %w1" : : "a"(value), "d"(port));
}

static uint8_t in(unsigned int port)
{
	uint8_t value;

	__asm__ volatile("inb %w1, %b0" : "=a"(value) : "d"(port));
	return value;
}

static void say(const char *text)
{
	while (*text)
		out(SERIAL, (uint8_t)*text++);
}

static void say_number(const char *name, uint64_t number)
{
	say(name);
	for (int shift = 60; shift >= 0; shift -= 4)
		if (!shift || number >> shift)
			out(SERIAL, (uint8_t)"0123456789abcdef"[number >> shift & 15]);
	say("\n");
}

static bool asks_for(const char *line, const char *word)
{
	for (; *line; line++) {
		int i = 0;

		while (word[i] && line[i] == word[i])
			i++;
		if (!word[i])
			return true;
	}
	return false;
}

/* --- the disk ------------------------------------------------------------------------ */

static struct vring_desc desc[QUEUE] __attribute__((aligned(16)));
static struct { uint16_t flags, index, ring[QUEUE]; } avail;
static struct { uint16_t flags, index; struct vring_used_elem ring[QUEUE]; } used
	__attribute__((aligned(4)));
static uint8_t sector[512];

static volatile uint32_t *reg(unsigned int offset)
{
	return (volatile uint32_t *)(uintptr_t)(DISK + offset);
}

static void start_disk(void)
{
	*reg(VIRTIO_MMIO_STATUS) = 0;
	*reg(VIRTIO_MMIO_STATUS) = 3;
	*reg(VIRTIO_MMIO_DRIVER_FEATURES_SEL) = 1;
	*reg(VIRTIO_MMIO_DRIVER_FEATURES) = 1;	/* version 1 */
	*reg(VIRTIO_MMIO_STATUS) = 11;
	*reg(VIRTIO_MMIO_QUEUE_SEL) = 0;
	*reg(VIRTIO_MMIO_QUEUE_NUM) = QUEUE;
	*reg(VIRTIO_MMIO_QUEUE_DESC_LOW) = (uint32_t)(uintptr_t)desc;
	*reg(VIRTIO_MMIO_QUEUE_AVAIL_LOW) = (uint32_t)(uintptr_t)&avail;
	*reg(VIRTIO_MMIO_QUEUE_USED_LOW) = (uint32_t)(uintptr_t)&used;
	*reg(VIRTIO_MMIO_QUEUE_READY) = 1;
	*reg(VIRTIO_MMIO_STATUS) = 15;
	avail.index = used.index = 0;
	say_number("magic ", *reg(VIRTIO_MMIO_MAGIC_VALUE));
	say_number("sectors ", *reg(VIRTIO_MMIO_CONFIG));
}

static void notify(void)
{
	avail.ring[avail.index % QUEUE] = 0;
	__asm__ volatile("" : : : "memory");
	avail.index++;
	__asm__ volatile("mfence" : : : "memory");
	*reg(VIRTIO_MMIO_QUEUE_NOTIFY) = 0;
}

/* Waits for its end, and says how it ended. */
static void request(uint32_t type, uint64_t at, uint32_t bytes)
{
	struct virtio_blk_outhdr header = { .type = type, .sector = at };
	volatile uint8_t status = 0xff;
	volatile uint16_t *index = &used.index;
	uint16_t before = *index;

	desc[0] = (struct vring_desc){ (uintptr_t)&header, sizeof(header), VRING_DESC_F_NEXT, 1 };
	desc[1] = (struct vring_desc){ (uintptr_t)sector, bytes, VRING_DESC_F_NEXT, 2 };
	if (type != VIRTIO_BLK_T_OUT)
		desc[1].flags |= VRING_DESC_F_WRITE;
	desc[2] = (struct vring_desc){ (uintptr_t)&status, 1, VRING_DESC_F_WRITE, 0 };
	notify();
	while (*index == before)
		__asm__ volatile("pause");
	say_number("status ", status);
}

static void use_disk(void)
{
	start_disk();
	request(VIRTIO_BLK_T_IN, 1, 512);
	sector[16] = 0;
	say((char *)sector);
	say("\n");
	for (int i = 0; i < 512; i++)
		sector[i] = (uint8_t)i;
	request(VIRTIO_BLK_T_OUT, 2, 512);
	request(VIRTIO_BLK_T_FLUSH, 0, 0);
	request(VIRTIO_BLK_T_GET_ID, 0, 20);
	say((char *)sector);
	say("\n");
	/* Behind its end; a part of a sector; what there is not. */
	request(VIRTIO_BLK_T_IN, 4, 512);
	request(VIRTIO_BLK_T_OUT, 0xffffffffffffffff, 512);
	request(VIRTIO_BLK_T_IN, 1, 511);
	request(77, 0, 512);
}

/* The device takes no request that has no end, and needs a reset; after that it works again. */
static void use_disk_wrongly(void)
{
	start_disk();
	desc[0] = (struct vring_desc){ (uintptr_t)sector, 512, VRING_DESC_F_NEXT, 1 };
	desc[1] = (struct vring_desc){ (uintptr_t)sector, 512, VRING_DESC_F_NEXT, 0 };
	notify();
	while (!(*reg(VIRTIO_MMIO_STATUS) & 0x40))
		__asm__ volatile("pause");
	say("it needs a reset\n");
	start_disk();
	desc[0] = (struct vring_desc){ 0xffffffffffffff00, 512, 0, 0 };
	notify();
	while (!(*reg(VIRTIO_MMIO_STATUS) & 0x40))
		__asm__ volatile("pause");
	say("again\n");
	start_disk();
	request(VIRTIO_BLK_T_IN, 1, 512);
}

/* --- what is asked for ------------------------------------------------------------------ */

static void echo(void)
{
	uint8_t c;

	say("ready\n");
	do {
		while (!(in(SERIAL + 5) & 1))
			__asm__ volatile("pause");
		c = in(SERIAL);
		out(SERIAL, c);
	} while (c != '.');
}

static void fault(void)
{
	const struct { uint16_t limit; uint32_t base[2]; } __attribute__((packed)) none = { 0 };

	__asm__ volatile("lidt %0; ud2" : : "m"(none));
}

void kernel_main(uintptr_t a, uintptr_t b, uintptr_t si);
void kernel_main(uintptr_t a, uintptr_t b, uintptr_t si)
{
	const char *line = (const char *)0x10000;

	say(sizeof(a) == 8 ? "64 bits\n" : "32 bits\n");
	say_number("a ", a);
	if (b)
		say_number("b ", *(const uint32_t *)b);
	if (si)
		say_number("setup ", *(const uint32_t *)(si + 0x202));
	say("line ");
	say(line);
	say("\n");
	/* The first module's first word: of Multiboot; of PVH; of Linux. */
	if (a == 0x2badb002)
		say((const char *)(uintptr_t)**(uint32_t **)(b + 24));
	else if (b)
		say((const char *)(uintptr_t)**(uint64_t **)(b + 16));
	else
		say((const char *)(uintptr_t)*(uint32_t *)(si + 0x218));
	say("\n");
	if (asks_for(line, "echo"))
		echo();
	if (asks_for(line, "disk"))
		use_disk();
	if (asks_for(line, "loop"))
		use_disk_wrongly();
	if (asks_for(line, "fault"))
		fault();
	if (asks_for(line, "reset"))
		out(0x602, 1);
	out(0x600, 0x34);
	for (;;)
		__asm__ volatile("hlt");
}
