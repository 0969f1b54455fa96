/* SPDX-License-Identifier: ISC
 *
 * The door: signals. Their descriptor is in <loop/kernel/event.h>.
 */
#ifndef LOOP_KERNEL_SIGNAL_H
#define LOOP_KERNEL_SIGNAL_H

#include <loop/kernel/door.h>

#include <pthread.h>
#include <signal.h>
#include <time.h>

LOOP_KERNEL_CALL_SURE(int, loop_kernel_pthread_sigmask, (int how, const sigset_t *set, sigset_t *before),
                      pthread_sigmask(how, set, before))
LOOP_KERNEL_CALL_SURE(int, loop_kernel_pthread_kill, (pthread_t thread, int signal), pthread_kill(thread, signal))
LOOP_KERNEL_CALL_SURE(int, loop_kernel_raise, (int signal), raise(signal))
LOOP_KERNEL_CALL_SURE(int, loop_kernel_sigaction,
                      (int signal, const struct sigaction *action, struct sigaction *before),
                      sigaction(signal, action, before))
LOOP_KERNEL_CALL_SURE(int, loop_kernel_sigpending, (sigset_t * set), sigpending(set))
LOOP_KERNEL_CALL_SURE(int, loop_kernel_sigtimedwait,
                      (const sigset_t *set, siginfo_t *info, const struct timespec *timeout),
                      sigtimedwait(set, info, timeout))

#endif
