/* SPDX-License-Identifier: MIT */
#include "cpu/memory/mmio.h"

#include <string.h>

#include "cpu/event/raise.h"

#define FRAGMENT_BYTES 8u

static bool ask_for(struct cpu *cpu, gpa_t gpa, unsigned int bytes)
{
	struct cpu_mmio *m = &cpu->mmio;

	if (m->n_done == CPU_MMIO_FRAGMENTS)
		return raise_unimplemented(cpu, "a load of many pieces from MMIO");
	m->pending = true;
	m->write = false;
	m->gpa = gpa;
	m->bytes = (uint8_t)bytes;
	memset(m->data, 0, sizeof(m->data));
	return raise_exit(cpu, CPU_EXIT_MMIO);
}

bool mmio_load(struct cpu *cpu, gpa_t gpa, void *to, unsigned int bytes)
{
	struct cpu_mmio *m = &cpu->mmio;
	uint8_t *at = to;

	while (bytes) {
		unsigned int n = MIN(bytes, FRAGMENT_BYTES);

		/* What follows a fragment that is not the same is not either. */
		if (m->n_used < m->n_done &&
		    (!gpa_eq(m->done[m->n_used].gpa, gpa) || m->done[m->n_used].bytes != n))
			m->n_done = m->n_used;
		if (m->n_used == m->n_done)
			return ask_for(cpu, gpa, n);
		memcpy(at, m->done[m->n_used++].data, n);
		gpa = gpa_add(gpa, n);
		at += n;
		bytes -= n;
	}
	return true;
}

bool mmio_store(struct cpu *cpu, gpa_t gpa, const void *from, unsigned int bytes)
{
	struct cpu_mmio *m = &cpu->mmio;
	const uint8_t *at = from;

	while (bytes) {
		unsigned int n = MIN(bytes, FRAGMENT_BYTES);

		if (m->n_writes == CPU_MMIO_FRAGMENTS)
			return raise_unimplemented(cpu, "a store of many pieces to MMIO");
		m->writes[m->n_writes].gpa = gpa;
		m->writes[m->n_writes].bytes = (uint8_t)n;
		memcpy(m->writes[m->n_writes].data, at, n);
		m->n_writes++;
		gpa = gpa_add(gpa, n);
		at += n;
		bytes -= n;
	}
	cpu->stop = true;
	return true;
}

void mmio_next_write(struct cpu *cpu)
{
	struct cpu_mmio *m = &cpu->mmio;

	m->pending = true;
	m->write = true;
	m->gpa = m->writes[m->next_write].gpa;
	m->bytes = m->writes[m->next_write].bytes;
	memset(m->data, 0, sizeof(m->data));
	memcpy(m->data, m->writes[m->next_write].data, m->bytes);
	if (++m->next_write == m->n_writes)
		mmio_drop_writes(cpu);
}

void cpu_complete_mmio(struct cpu *cpu, const uint8_t data[8])
{
	struct cpu_mmio *m = &cpu->mmio;

	if (!m->pending)
		return;
	m->pending = false;
	if (m->write)
		return;
	m->done[m->n_done].gpa = m->gpa;
	m->done[m->n_done].bytes = m->bytes;
	memcpy(m->done[m->n_done].data, data, m->bytes);
	m->n_done++;
}
