/* SPDX-License-Identifier: ISC
 *
 * The signal that interrupts system calls of the pool's threads (loop_options.interrupt_signal).
 */
#ifndef LOOP_SYSCALL_INTERRUPT_H
#define LOOP_SYSCALL_INTERRUPT_H

#include <loop/loop.h>

/* Installs a handler for the loop's interrupt signal, if it has one. The handler belongs to the process, and all loops
 * that use the signal share it. Returns 0; -EBUSY when the program handles or ignores the signal, which is logged. */
int loop_interrupt_begin(const struct loop_options *options);

/* Restores the default if no other loop uses the signal. Called once for each loop_interrupt_begin that returned 0. */
void loop_interrupt_end(const struct loop_options *options);

#endif
