/* SPDX-License-Identifier: MIT */
#include "kvm/fd/told.h"

#include <linux/ioctl.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

static const struct {
	uint32_t request;
	const char *name;
} calls[] = {
#define CALL_NAME(name) { (uint32_t)name, #name },
#define CALL_NAME_SINCE(name, number) { (uint32_t)(number), #name },
#define CAPABILITY_NAME(number, name)
#include "kvm/calls/names.def"
#undef CALL_NAME
#undef CALL_NAME_SINCE
#undef CAPABILITY_NAME
};

static const char *const capabilities[] = {
#define CALL_NAME(name)
#define CALL_NAME_SINCE(name, number)
#define CAPABILITY_NAME(number, name) [number] = "KVM_CAP_" #name,
#include "kvm/calls/names.def"
#undef CALL_NAME
#undef CALL_NAME_SINCE
#undef CAPABILITY_NAME
};

/* The longest: a name, or a number with text. */
#define NAME_BYTES 64

static const char *call_name(uint32_t request, char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (calls[i].request == request)
			return calls[i].name;
	snprintf(text, NAME_BYTES, "call %#x", request);
	return text;
}

static const char *capability_name(uint64_t number, char *text)
{
	if (number < ARRAY_SIZE(capabilities) && capabilities[number])
		return capabilities[number];
	snprintf(text, NAME_BYTES, "capability %llu", (unsigned long long)number);
	return text;
}

static const char *kind_name(const struct file *file)
{
	return file->kind == FILE_SYSTEM ? "the system" : file->kind == FILE_VM ? "a VM" : "a vCPU";
}

/* --- once a kind -------------------------------------------------------------------- */

/* (a) bits by errno, for each number of a call; those that share a bit are logged as one. */
static struct atomic64 refusals_told[256];
/* (a) bits by number; larger numbers share the last. */
#define CAPABILITY_BITS 512
static struct atomic64 capabilities_told[CAPABILITY_BITS / 64];

static bool is_first(struct atomic64 *word, unsigned int bit)
{
	uint64_t mask = 1ull << (bit % 64), old = atomic64_load_relaxed(word);

	while (!(old & mask))
		if (atomic64_cmpxchg(word, &old, old | mask))
			return true;
	return false;
}

/* Results of a call that are not refusals. */
static bool is_refusal(long result)
{
	return result < 0 && result != -EINTR && result != -EAGAIN;
}

/* The capability that a call is about; -1: none. */
static int64_t capability_of(const struct call *c)
{
	const struct kvm_enable_cap *cap = c->data;

	if (c->request == KVM_CHECK_EXTENSION)
		return (int64_t)(c->arg & INT64_MAX);
	return c->request == KVM_ENABLE_CAP && cap ? (int64_t)cap->cap : -1;
}

static void tell_at_debug(const struct file *file, const struct call *c, const char *about,
			  long result)
{
	char name[NAME_BYTES];

	log_emit(LOG_DEBUG, "%s(%d: %s, %s%#lx) = %ld%s%s", call_name(c->request, name), c->fd,
		 kind_name(file), about, (unsigned long)c->arg, result, result < 0 ? " " : "",
		 result < 0 ? strerrorname_np((int)-result) : "");
}

/* All that lie beyond the table count as one. */
static bool is_first_of_capability(int64_t number)
{
	unsigned int bit = (unsigned int)MIN(number, (int64_t)CAPABILITY_BITS - 1);

	return is_first(&capabilities_told[bit / 64], bit);
}

static void tell_refusal(const struct file *file, const struct call *c, long result)
{
	int64_t number = capability_of(c);
	char name[NAME_BYTES], capability[NAME_BYTES];

	if (number >= 0 ? !is_first_of_capability(number) :
			  !is_first(&refusals_told[_IOC_NR(c->request)], (unsigned int)-result))
		return;
	if (c->request == KVM_CHECK_EXTENSION)
		log_emit(LOG_INFO, "%s: asked for, not offered",
			 capability_name((uint64_t)number, capability));
	else
		log_emit(LOG_INFO, "%s%s%s on %s: refused: %s", call_name(c->request, name),
			 number >= 0 ? " of " : "",
			 number >= 0 ? capability_name((uint64_t)number, capability) : "",
			 kind_name(file), strerrorname_np((int)-result));
}

void tell_call(const struct file *file, const struct call *c, long result)
{
	int64_t number = capability_of(c);
	char about[NAME_BYTES + 2] = "", name[NAME_BYTES];

	if (number >= 0)
		snprintf(about, sizeof(about), "%s: ", capability_name((uint64_t)number, name));
	if (log_has(LOG_DEBUG))
		tell_at_debug(file, c, about, result);
	if (is_refusal(result) || (c->request == KVM_CHECK_EXTENSION && !result))
		tell_refusal(file, c, result);
}
