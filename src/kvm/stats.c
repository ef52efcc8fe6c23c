/* SPDX-License-Identifier: MIT */
#include "kvm/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvm/process.h"

#define COUNT KVM_STATS_TYPE_CUMULATIVE
#define GAUGE KVM_STATS_TYPE_INSTANT
#define NAME_BYTES 48

struct description {
	const char *name;
	uint32_t type;
};

static const struct description vm_stats[] = {
#define VM_STAT(name, kind, text) { #name, kind },
#define VCPU_STAT(name, kind, text)
#include "base/stats.def"
#undef VM_STAT
#undef VCPU_STAT
};

static const struct description vcpu_stats[] = {
#define VM_STAT(name, kind, text)
#define VCPU_STAT(name, kind, text) { #name, kind },
#include "base/stats.def"
#undef VM_STAT
#undef VCPU_STAT
};

/* A description in the file: struct kvm_stats_desc and the name after it. */
#define DESC_BYTES (sizeof(struct kvm_stats_desc) + NAME_BYTES)

static size_t file_bytes(size_t n)
{
	size_t bytes = sizeof(struct kvm_stats_header) + NAME_BYTES +
		       n * (DESC_BYTES + sizeof(uint64_t));

	return ALIGN_UP(bytes, PAGE_SIZE);
}

size_t stats_vm_bytes(void)
{
	return file_bytes(ARRAY_SIZE(vm_stats));
}

size_t stats_vcpu_bytes(void)
{
	return file_bytes(ARRAY_SIZE(vcpu_stats));
}

static struct atomic64 *describe(uint8_t *file, const char *id, const struct description *stats,
				 uint32_t n)
{
	struct kvm_stats_header header = {
		.name_size = NAME_BYTES,
		.num_desc = n,
		.id_offset = sizeof(header),
		.desc_offset = sizeof(header) + NAME_BYTES,
	};

	header.data_offset = header.desc_offset + n * (uint32_t)DESC_BYTES;
	memcpy(file, &header, sizeof(header));
	snprintf((char *)file + header.id_offset, NAME_BYTES, "%s", id);
	for (uint32_t i = 0; i < n; i++) {
		const struct kvm_stats_desc d = {
			.flags = stats[i].type | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10,
			.size = 1,
			.offset = i * (uint32_t)sizeof(uint64_t),
		};
		uint8_t *at = file + header.desc_offset + i * DESC_BYTES;

		memcpy(at, &d, sizeof(d));
		snprintf((char *)at + sizeof(d), NAME_BYTES, "%s", stats[i].name);
	}
	return (struct atomic64 *)(file + header.data_offset);
}

_Static_assert((sizeof(struct kvm_stats_header) + NAME_BYTES) % 8 == 0 &&
		       DESC_BYTES % 8 == 0,
	       "the counters are aligned");

struct atomic64 *stats_describe_vm(uint8_t *file, const char *id)
{
	return describe(file, id, vm_stats, ARRAY_SIZE(vm_stats));
}

struct atomic64 *stats_describe_vcpu(uint8_t *file, const char *id)
{
	return describe(file, id, vcpu_stats, ARRAY_SIZE(vcpu_stats));
}

/* Everything that was ever counted in this process. */
struct totals {
	uint64_t vms, vcpus;
	uint64_t vm[ARRAY_SIZE(vm_stats)], vcpu[ARRAY_SIZE(vcpu_stats)];
};

/* Of destroyed VMs; a child of the process starts from zero. */
static struct {
	unsigned int process;	/* [the process lock] whose VMs they were */
	struct totals sum;	/* [the process lock] */
} kept;

static void add_vm(struct totals *t, struct vm *vm)
{
	t->vms++;
	for (size_t i = 0; i < ARRAY_SIZE(vm_stats); i++)
		t->vm[i] += atomic64_load_relaxed(&vm->mmu.stats[i]);
	/* A VM whose creation fails may go away while we look. */
	mutex_lock(&vm->mmu.flush_lock);
	for (unsigned int v = 0; v < atomic32_load_relaxed(&vm->mmu.n_vcpus); v++) {
		const struct mmu_vcpu *vcpu = atomic_ptr_load_relaxed(&vm->mmu.vcpus[v]);

		if (!vcpu)
			continue;
		t->vcpus++;
		for (size_t i = 0; i < ARRAY_SIZE(vcpu_stats); i++)
			t->vcpu[i] += atomic64_load_relaxed(&vcpu->stats[i]);
	}
	mutex_unlock(&vm->mmu.flush_lock);
}

static void add_all(void *ctx, struct cds_list_head *vms)
{
	struct totals *sum = ctx;
	struct vm *vm;

	if (kept.process == process_number())
		*sum = kept.sum;
	cds_list_for_each_entry(vm, vms, node)
		add_vm(sum, vm);
}

void stats_keep(struct vm *vm)
{
	if (kept.process != vm->process) {
		kept.process = vm->process;
		kept.sum = (struct totals){ 0 };
	}
	add_vm(&kept.sum, vm);
}

bool stats_any(void)
{
	struct totals sum = { 0 };

	process_with_vms(add_all, &sum);
	return sum.vms;
}

static void print_group(FILE *out, const char *name, const struct description *stats,
			const uint64_t *values, size_t n)
{
	fprintf(out, ", \"%s\": {", name);
	for (size_t i = 0; i < n; i++)
		fprintf(out, "%s\"%s\": %llu", i ? ", " : "", stats[i].name,
			(unsigned long long)values[i]);
	fputc('}', out);
}

/* A name can contain any character of a file name. */
static void print_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < ' ' || c == '"' || c == '\\' || c >= 0x7f)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

static void print_line(FILE *out)
{
	struct totals sum = { 0 };

	process_with_vms(add_all, &sum);
	fprintf(out, "{\"pid\": %d, \"name\": ", (int)getpid());
	print_string(out, program_invocation_short_name);
	fprintf(out, ", \"vms\": %llu, \"vcpus\": %llu", (unsigned long long)sum.vms,
		(unsigned long long)sum.vcpus);
	print_group(out, "vm", vm_stats, sum.vm, ARRAY_SIZE(vm_stats));
	print_group(out, "vcpu", vcpu_stats, sum.vcpu, ARRAY_SIZE(vcpu_stats));
	fputs("}\n", out);
}

/* By one write, so that the lines of several processes do not mix. */
static int write_line(int fd, const char *line, size_t bytes)
{
	while (bytes) {
		ssize_t n = write(fd, line, bytes);

		if (n < 0 && errno != EINTR)
			return -errno;
		line += n > 0 ? n : 0;
		bytes -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int stats_write_json(int fd)
{
	char *line = NULL;
	size_t bytes;
	FILE *out = open_memstream(&line, &bytes);
	int err = out ? 0 : -errno;

	if (out) {
		print_line(out);
		err = fclose(out) ? -errno : write_line(fd, line, bytes);
	}
	free(line);
	return err;
}
