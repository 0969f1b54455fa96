/* SPDX-License-Identifier: ISC
 *
 * Calls of the C library on the simulated kernel, where the door has no function of the same name and arguments:
 * descriptors, the process, signals and time. See simulated_calls.h.
 */
#include "simulated_calls_own.h"

#include <loop/kernel/all.h>
#include <loop/kernel/simulated/disk/disk.h>
#include <loop/kernel/simulated/network/network.h>
#include <loop/kernel/simulated/object/file.h>
#include <loop/kernel/simulated/object/process.h>

#include <net/if.h>
#include <stdarg.h>

static int refuse(int error)
{
    errno = error;
    return -1;
}

/* ---- descriptors ---- */

int simulated_dup(int number)
{
    struct loop_sim_file *file = loop_sim_file_of(number);

    return file ? (int)loop_sim_return(loop_sim_file_install(loop_sim_here(), loop_sim_file_ref(file), 0, 0))
                : refuse(EBADF);
}

int simulated_dup2(int from, int to)
{
    struct loop_sim_file *file = loop_sim_file_of(from);

    if (!file || from == to) {
        return file ? to : refuse(EBADF);
    }
    loop_sim_file_ref(file);
    loop_sim_file_close(loop_sim_here(), to);
    return (int)loop_sim_return(loop_sim_file_install(loop_sim_here(), file, to, 0));
}

int simulated_fcntl(int number, int what, ...)
{
    va_list args;

    va_start(args, what);
    int argument = va_arg(args, int);
    va_end(args);
    return loop_kernel_fcntl(number, what, argument);
}

int simulated_ioctl(int number, unsigned long what, ...)
{
    va_list args;

    va_start(args, what);
    void *argument = va_arg(args, void *);
    va_end(args);
    if (what == SIOCSIFMTU) { /* of the loopback, which is all that suites change */
        const struct ifreq *request = argument;
        return (int)loop_sim_return(loop_sim_host_set_mtu(loop_sim_here(), LOOP_SIM_LOOPBACK, request->ifr_mtu));
    }
    return loop_kernel_ioctl(number, (int)what, argument);
}

/* A file without a name is as good for what the suites do with it. */
int simulated_memfd_create(const char *name, unsigned flags)
{
    (void)name;
    (void)flags;
    return loop_kernel_open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

int simulated_pipe(int numbers[2])
{
    return loop_kernel_pipe2(numbers, 0);
}

int simulated_posix_fadvise(int number, off_t offset, off_t len, int advice)
{
    (void)offset;
    (void)len;
    (void)advice;
    return loop_sim_file_of(number) ? 0 : EBADF;
}

int simulated_eventfd_write(int number, uint64_t value)
{
    return loop_kernel_write(number, &value, sizeof value) == sizeof value ? 0 : -1;
}

int simulated_eventfd_read(int number, uint64_t *value)
{
    return loop_kernel_read(number, value, sizeof *value) == sizeof *value ? 0 : -1;
}

/* ---- sockets ---- */

int simulated_accept(int number, struct sockaddr *address, socklen_t *length)
{
    return loop_kernel_accept4(number, address, length, 0);
}

ssize_t simulated_sendto(int number, const void *data, size_t len, int flags, const struct sockaddr *address,
                         socklen_t length)
{
    struct iovec iov = {(void *)(uintptr_t)data, len};
    const struct msghdr message = {
        .msg_name = (void *)(uintptr_t)address, .msg_namelen = length, .msg_iov = &iov, .msg_iovlen = 1};

    return loop_kernel_sendmsg(number, &message, flags);
}

ssize_t simulated_recvfrom(int number, void *data, size_t len, int flags, struct sockaddr *address, socklen_t *length)
{
    struct iovec iov = {data, len};
    struct msghdr message = {
        .msg_name = address, .msg_namelen = length ? *length : 0, .msg_iov = &iov, .msg_iovlen = 1};
    ssize_t received = loop_kernel_recvmsg(number, &message, flags);

    if (received >= 0 && length) {
        *length = message.msg_namelen;
    }
    return received;
}

/* ---- calls by their number ---- */

static long call_on_files(long number, const long *a)
{
    switch (number) {
    case SYS_copy_file_range:
        return loop_kernel_copy_file_range((int)a[0], (off64_t *)a[1], (int)a[2], (off64_t *)a[3], (size_t)a[4],
                                           (unsigned)a[5]);
    case SYS_fchmod: return loop_kernel_fchmod((int)a[0], (mode_t)a[1]);
    case SYS_fchown: return loop_kernel_fchown((int)a[0], (uid_t)a[1], (gid_t)a[2]);
    case SYS_fsync: return loop_kernel_fsync((int)a[0]);
    case SYS_read: return loop_kernel_read((int)a[0], (void *)a[1], (size_t)a[2]);
    case SYS_write: return loop_kernel_write((int)a[0], (void *)a[1], (size_t)a[2]);
    case SYS_pwrite64: return loop_kernel_pwrite((int)a[0], (void *)a[1], (size_t)a[2], a[3]);
    default: return refuse(ENOSYS);
    }
}

long simulated_syscall(long number, ...)
{
    long a[6];
    va_list args;

    va_start(args, number);
    for (size_t i = 0; i < sizeof a / sizeof *a; i++) {
        a[i] = va_arg(args, long);
    }
    va_end(args);
    switch (number) {
    case SYS_gettid: return loop_kernel_gettid();
    case SYS_mkdirat: return loop_kernel_mkdirat((int)a[0], (const char *)a[1], (mode_t)a[2]);
    case SYS_openat: return loop_kernel_openat((int)a[0], (const char *)a[1], (int)a[2], (mode_t)a[3]);
    case SYS_openat2: return loop_kernel_openat2((int)a[0], (const char *)a[1], (const struct open_how *)a[2]);
    case SYS_renameat2:
        return loop_kernel_renameat2((int)a[0], (const char *)a[1], (int)a[2], (const char *)a[3], (unsigned)a[4]);
    case SYS_unlinkat: return loop_kernel_unlinkat((int)a[0], (const char *)a[1], (int)a[2]);
    default: return call_on_files(number, a);
    }
}

/* ---- the process ---- */

gid_t simulated_getegid(void)
{
    return loop_sim_group(loop_sim_here());
}

int simulated_setresuid(uid_t real, uid_t effective, uid_t saved)
{
    (void)real;
    (void)saved;
    loop_sim_user_set(loop_sim_here(), effective, simulated_getegid());
    return 0;
}

int simulated_setresgid(gid_t real, gid_t effective, gid_t saved)
{
    (void)real;
    (void)saved;
    loop_sim_user_set(loop_sim_here(), loop_kernel_geteuid(), effective);
    return 0;
}

int simulated_setrlimit(int resource, const struct rlimit *limit)
{
    return (int)loop_sim_return(loop_sim_limit_set(loop_sim_here(), resource, limit));
}

int simulated_unshare(int flags)
{
    (void)flags;
    return refuse(EPERM);
}

/* ---- signals ---- */

int simulated_kill(pid_t process, int signal)
{
    if (process != loop_kernel_getpid()) {
        return refuse(ESRCH);
    }
    if (signal != 0) {
        loop_sim_signal_send(loop_sim_here(), signal);
    }
    return 0;
}

simulated_handler *simulated_signal(int signal, simulated_handler *handler)
{
    struct sigaction action = {.sa_flags = SA_RESTART}, before;

    action.sa_handler = handler;
    if (loop_kernel_sigaction(signal, &action, &before) < 0) {
        return SIG_ERR;
    }
    return before.sa_handler;
}

static struct {
    struct loop_sim_event event; /* first */
    struct loop_sim_node *node;
    int64_t every_ns;
} alarm_clock;

static void on_alarm(struct loop_sim_event *event)
{
    if (alarm_clock.every_ns > 0) {
        loop_sim_event_set(event, event->due_ns + alarm_clock.every_ns, on_alarm);
    }
    loop_sim_signal_send(alarm_clock.node, SIGALRM);
}

static int64_t duration_ns(const struct timeval *duration)
{
    return duration->tv_sec * INT64_C(1000000000) + duration->tv_usec * INT64_C(1000);
}

int simulated_setitimer(int which, const struct itimerval *value, struct itimerval *before)
{
    if (which != ITIMER_REAL || before) {
        return refuse(ENOSYS);
    }
    loop_sim_event_cancel(&alarm_clock.event);
    alarm_clock.node = loop_sim_here();
    alarm_clock.every_ns = duration_ns(&value->it_interval);
    if (duration_ns(&value->it_value) > 0) {
        loop_sim_event_set(&alarm_clock.event, alarm_clock.node->world->now_ns + duration_ns(&value->it_value),
                           on_alarm);
    }
    return 0;
}

/* ---- time ---- */

time_t simulated_time(time_t *result)
{
    struct timespec now;

    loop_kernel_clock_gettime(CLOCK_REALTIME, &now);
    if (result) {
        *result = now.tv_sec;
    }
    return now.tv_sec;
}

int simulated_usleep(useconds_t duration_us)
{
    const struct timespec duration = {.tv_sec = duration_us / 1000000, .tv_nsec = duration_us % 1000000 * 1000L};

    return loop_kernel_nanosleep(&duration, NULL);
}

/* ---- semaphores: their value is in the first bytes of a sem_t ---- */

int simulated_sem_init(sem_t *semaphore, int is_shared, unsigned value)
{
    (void)is_shared;
    memcpy(semaphore, &value, sizeof value);
    return 0;
}

int simulated_sem_destroy(sem_t *semaphore)
{
    (void)semaphore;
    return 0;
}

int simulated_sem_post(sem_t *semaphore)
{
    unsigned value;

    memcpy(&value, semaphore, sizeof value);
    return simulated_sem_init(semaphore, 0, value + 1);
}

int simulated_sem_wait(sem_t *semaphore)
{
    unsigned value;

    for (memcpy(&value, semaphore, sizeof value); value == 0; memcpy(&value, semaphore, sizeof value)) {
        loop_kernel_sched_yield();
    }
    return simulated_sem_init(semaphore, 0, value - 1);
}

int simulated_timerfd_create(int clock, int flags)
{
    return (int)loop_sim_return(loop_sim_timerfd_create(clock, flags));
}

int simulated_timerfd_settime(int number, int flags, const struct itimerspec *value, struct itimerspec *before)
{
    return (int)loop_sim_return(loop_sim_timerfd_set(number, flags, value, before));
}

/* ---- what the simulated kernel does not know ---- */

int simulated_mount(void)
{
    return refuse(EPERM);
}

int simulated_openpty(void)
{
    return refuse(ENOSYS);
}

int simulated_umount(void)
{
    return refuse(EPERM);
}

int simulated_umount2(void)
{
    return refuse(EPERM);
}
