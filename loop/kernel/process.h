/* SPDX-License-Identifier: ISC
 *
 * The door: the process and what surrounds it.
 */
#ifndef LOOP_KERNEL_PROCESS_H
#define LOOP_KERNEL_PROCESS_H

#include <loop/kernel/door.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

LOOP_KERNEL_CALL_SURE(pid_t, loop_kernel_getpid, (void), getpid())
LOOP_KERNEL_CALL_SURE(pid_t, loop_kernel_gettid, (void), gettid())
LOOP_KERNEL_CALL_SURE(uid_t, loop_kernel_geteuid, (void), geteuid())
LOOP_KERNEL_CALL_SURE(char *, loop_kernel_getenv, (const char *name), getenv(name))
LOOP_KERNEL_CALL(int, loop_kernel_getrlimit, (int resource, struct rlimit *limit), getrlimit(resource, limit))
LOOP_KERNEL_CALL(ssize_t, loop_kernel_getrandom, (void *data, size_t len, unsigned flags), getrandom(data, len, flags))
LOOP_KERNEL_CALL_SURE(int, loop_kernel_pthread_atfork,
                      (void (*before)(void), void (*in_parent)(void), void (*in_child)(void)),
                      pthread_atfork(before, in_parent, in_child))
LOOP_KERNEL_CALL_SURE(int, loop_kernel_dladdr, (const void *address, Dl_info *info), dladdr(address, info))

#endif
