/* SPDX-License-Identifier: MIT */
/*
 * cpu/event/task.h - task switches, outside of long mode.  SDM 3A chapter 7 (8 of later
 * editions), "Task Switching".
 */
#ifndef CPU_TASK_H
#define CPU_TASK_H

#include "cpu/state/segment.h"

/* What leads to another task: TASK_CALL stands for interrupts too.  TASK_RETURN is IRET. */
enum task_way { TASK_JUMP, TASK_CALL, TASK_RETURN };

/* How the task that is left will go on. */
struct task_resume {
	uint64_t rip, rflags;
};

/*
 * Leaves the current task for that of the TSS @selector.  False: something was raised.  Then
 * either nothing has changed, or *@entered is set: the fault is the new task's, before its first
 * instruction.
 */
bool task_switch(struct cpu *cpu, uint16_t selector, enum task_way way,
		 const struct task_resume *old, bool *entered);

/*
 * The same for an instruction, whose RIP is at the next one: a fault of the new task becomes the
 * next event, as the instruction is done.  @d is the descriptor of @selector: a TSS or a task gate.
 */
bool task_jump_or_call(struct cpu *cpu, const struct descriptor *d, uint16_t selector,
		       enum task_way way);
bool task_return(struct cpu *cpu);

/* The error code of the event that led to the task, which its TSS's width decides. */
bool task_push_error(struct cpu *cpu, uint32_t error_code);

#endif
