/* SPDX-License-Identifier: ISC
 *
 * The door: readiness, and the descriptors that report events.
 */
#ifndef LOOP_KERNEL_EVENT_H
#define LOOP_KERNEL_EVENT_H

#include <loop/kernel/door.h>

#include <linux/time_types.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* ---- readiness ---- */

LOOP_KERNEL_CALL(int, loop_kernel_epoll_create1, (int flags), epoll_create1(flags))
LOOP_KERNEL_CALL(int, loop_kernel_epoll_ctl, (int set, int what, int number, struct epoll_event *event),
                 epoll_ctl(set, what, number, event))
LOOP_KERNEL_CALL(int, loop_kernel_epoll_wait, (int set, struct epoll_event *events, int most, int timeout_ms),
                 epoll_wait(set, events, most, timeout_ms))
/* Called by its number, as musl has no function for it. The last argument is the size of the kernel's set of
 * signals. */
LOOP_KERNEL_CALL(int, loop_kernel_epoll_pwait2,
                 (int set, struct epoll_event *events, int most, const struct __kernel_timespec *timeout,
                  const sigset_t *mask),
                 (int)syscall(SYS_epoll_pwait2, set, events, most, timeout, mask, _NSIG / 8))
LOOP_KERNEL_CALL(int, loop_kernel_poll, (struct pollfd * entries, nfds_t count, int timeout_ms),
                 poll(entries, count, timeout_ms))
LOOP_KERNEL_CALL(int, loop_kernel_ppoll,
                 (struct pollfd * entries, nfds_t count, const struct timespec *timeout, const sigset_t *mask),
                 ppoll(entries, count, timeout, mask))

/* ---- events ---- */

LOOP_KERNEL_CALL(int, loop_kernel_eventfd, (unsigned value, int flags), eventfd(value, flags))

/* write(2) to an eventfd. */
LOOP_KERNEL_CALL(ssize_t, loop_kernel_wake, (int number, const uint64_t *value), write(number, value, sizeof *value))

LOOP_KERNEL_CALL(int, loop_kernel_signalfd, (int number, const sigset_t *mask, int flags),
                 signalfd(number, mask, flags))
LOOP_KERNEL_CALL(int, loop_kernel_inotify_init1, (int flags), inotify_init1(flags))
LOOP_KERNEL_CALL(int, loop_kernel_inotify_add_watch, (int number, const char *path, uint32_t mask),
                 inotify_add_watch(number, path, mask))
LOOP_KERNEL_CALL(int, loop_kernel_inotify_rm_watch, (int number, int watch), inotify_rm_watch(number, watch))

#endif
