/* SPDX-License-Identifier: ISC
 *
 * The door: threads.
 */
#ifndef LOOP_KERNEL_THREAD_H
#define LOOP_KERNEL_THREAD_H

#include <loop/kernel/door.h>

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

/* ---- threads ---- */

/* Of a static variable: each thread has its own, which begins as zeros. */
#if NORIA_SIMULATED
#define LOOP_KERNEL_THREAD_LOCAL __attribute__((section("loop_fiber_local")))
#else
#define LOOP_KERNEL_THREAD_LOCAL _Thread_local
#endif

/* Of a static variable that begins as zeros: each process has its own, also where several are simulated in one. */
#if NORIA_SIMULATED
#define LOOP_KERNEL_PROCESS_LOCAL __attribute__((section("loop_process_local")))
#else
#define LOOP_KERNEL_PROCESS_LOCAL
#endif

LOOP_KERNEL_CALL_CODE(+, loop_kernel_pthread_create,
                      (pthread_t * thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg),
                      pthread_create(thread, attributes, run, arg))
LOOP_KERNEL_CALL_SURE(int, loop_kernel_pthread_join, (pthread_t thread, void **result), pthread_join(thread, result))
LOOP_KERNEL_CALL_SURE(pthread_t, loop_kernel_pthread_self, (void), pthread_self())
LOOP_KERNEL_CALL_SURE(int, loop_kernel_pthread_getname_np, (pthread_t thread, char *name, size_t size),
                      pthread_getname_np(thread, name, size))
LOOP_KERNEL_CALL_SURE(int, loop_kernel_pthread_setname_np, (pthread_t thread, const char *name),
                      pthread_setname_np(thread, name))
LOOP_KERNEL_CALL_SURE(int, loop_kernel_pthread_once, (pthread_once_t * once, void (*run)(void)),
                      pthread_once(once, run))
LOOP_KERNEL_CALL_SURE(int, loop_kernel_sched_yield, (void), sched_yield())

/* Of the calling thread. The set has `size` bytes, at least as many as the kernel's own. */
LOOP_KERNEL_CALL(int, loop_kernel_sched_getaffinity, (size_t size, cpu_set_t *set), sched_getaffinity(0, size, set))
LOOP_KERNEL_CALL(int, loop_kernel_sched_setaffinity, (size_t size, const cpu_set_t *set),
                 sched_setaffinity(0, size, set))

/* Called where the caller is likely to try the same again at once, until another thread has done something. Does
 * nothing on the real kernel; on the simulated one it lets the other threads run. */
LOOP_KERNEL_CALL_VOID(loop_kernel_relax, (void), (void)0)

/* Keeps the processor busy for `n` times its pause, some ten nanoseconds each. On the simulated kernel lets the other
 * threads run for a microsecond. */
#if defined(__x86_64__) || defined(__i386__)
#define LOOP_KERNEL_PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__) || defined(__arm__)
#define LOOP_KERNEL_PAUSE() __asm__ volatile("yield")
#else
#define LOOP_KERNEL_PAUSE() __asm__ volatile("")
#endif
LOOP_KERNEL_CALL_VOID(loop_kernel_pause, (unsigned n), for (; n > 0; n--) LOOP_KERNEL_PAUSE())

/* ---- what they wait for ---- */

LOOP_KERNEL_CALL_SURE(int, loop_kernel_pthread_mutex_init,
                      (pthread_mutex_t * mutex, const pthread_mutexattr_t *attributes),
                      pthread_mutex_init(mutex, attributes))
LOOP_KERNEL_CALL_SURE(int, loop_kernel_pthread_mutex_destroy, (pthread_mutex_t * mutex), pthread_mutex_destroy(mutex))
LOOP_KERNEL_CALL_SURE(int, loop_kernel_pthread_mutex_lock, (pthread_mutex_t * mutex), pthread_mutex_lock(mutex))
LOOP_KERNEL_CALL_SURE(int, loop_kernel_pthread_mutex_unlock, (pthread_mutex_t * mutex), pthread_mutex_unlock(mutex))
LOOP_KERNEL_CALL_SURE(int, loop_kernel_pthread_cond_init,
                      (pthread_cond_t * condition, const pthread_condattr_t *attributes),
                      pthread_cond_init(condition, attributes))
LOOP_KERNEL_CALL_SURE(int, loop_kernel_pthread_cond_destroy, (pthread_cond_t * condition),
                      pthread_cond_destroy(condition))
LOOP_KERNEL_CALL_SURE(int, loop_kernel_pthread_cond_wait, (pthread_cond_t * condition, pthread_mutex_t *mutex),
                      pthread_cond_wait(condition, mutex))
LOOP_KERNEL_CALL_SURE(int, loop_kernel_pthread_cond_signal, (pthread_cond_t * condition),
                      pthread_cond_signal(condition))
LOOP_KERNEL_CALL_SURE(int, loop_kernel_pthread_cond_broadcast, (pthread_cond_t * condition),
                      pthread_cond_broadcast(condition))

#endif
