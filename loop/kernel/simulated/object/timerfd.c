/* SPDX-License-Identifier: ISC
 *
 * Descriptors of timers: timerfd_create(2). The library does not use them; programs may.
 */
#include <loop/kernel/simulated/object/object.h>
#include <loop/kernel/simulated/object/process.h>

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

enum { BILLION = 1000000000 };

struct timer {
    struct loop_sim_file file;
    struct loop_sim_event due;
    int64_t interval_ns; /* 0: once */
    uint64_t expirations;
};

static void expire(struct loop_sim_event *event)
{
    struct timer *timer = LOOP_CONTAINER(event, struct timer, due);
    timer->expirations++;
    if (timer->interval_ns > 0) {
        loop_sim_event_set(&timer->due, loop_sim_sum_ns(timer->file.node->world->now_ns, timer->interval_ns), expire);
    }
    loop_sim_file_changed(&timer->file, EPOLLIN);
}

static ssize_t read_timer(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    struct timer *timer = (struct timer *)file;
    uint64_t expirations = timer->expirations;
    if (loop_sim_vectors_length(move->iov, move->n_iov) < sizeof expirations) {
        return -EINVAL;
    }
    if (expirations == 0) {
        return -EAGAIN;
    }
    timer->expirations = 0;
    (void)loop_sim_vectors_fill(move->iov, move->n_iov, 0, &expirations, sizeof expirations);
    return sizeof expirations;
}

static uint32_t poll_timer(struct loop_sim_file *file)
{
    return ((struct timer *)file)->expirations > 0 ? EPOLLIN : 0;
}

static int status_of_timer(struct loop_sim_file *file, struct stat *status)
{
    (void)file;
    return loop_sim_file_anonymous_status(status, 0600, LOOP_SIM_ANONYMOUS_INODE);
}

static void release_timer(struct loop_sim_file *file)
{
    loop_sim_event_cancel(&((struct timer *)file)->due);
    loop_sim_free(file);
}

static const struct loop_sim_file_kind kind = {
    .name = "timerfd",
    .read = read_timer,
    .poll = poll_timer,
    .status = status_of_timer,
    .seek = loop_sim_file_seek_nowhere,
    .release = release_timer,
};

int loop_sim_timerfd_create(int clock, int flags)
{
    if (flags & ~(TFD_CLOEXEC | TFD_NONBLOCK)) {
        return -EINVAL;
    }
    if (clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME) {
        return clock == CLOCK_REALTIME ? -ENOSYS : -EINVAL;
    }
    struct loop_sim_node *node = loop_sim_here();
    struct timer *timer = loop_sim_alloc(sizeof *timer);
    loop_sim_file_init(&timer->file, &kind, node, O_RDWR | (flags & TFD_NONBLOCK ? O_NONBLOCK : 0));
    timer->file.whole_bytes = SIZE_MAX;
    return loop_sim_file_install(node, &timer->file, 0, flags & TFD_CLOEXEC ? O_CLOEXEC : 0);
}

/* Returns a time in nanoseconds, LOOP_SIM_NEVER beyond what that holds, or -EINVAL. */
static int64_t to_ns(const struct timespec *time)
{
    if (time->tv_sec < 0 || time->tv_nsec < 0 || time->tv_nsec >= BILLION) {
        return -EINVAL;
    }
    return loop_sim_time_ns(time->tv_sec, time->tv_nsec);
}

static struct timespec to_timespec(int64_t time_ns)
{
    return (struct timespec){.tv_sec = time_ns / BILLION, .tv_nsec = time_ns % BILLION};
}

int loop_sim_timerfd_set(int number, int flags, const struct itimerspec *value, struct itimerspec *before)
{
    struct loop_sim_file *file = loop_sim_file_open_at(number);
    int64_t value_ns = to_ns(&value->it_value), interval_ns = to_ns(&value->it_interval);
    if (value_ns < 0 || interval_ns < 0 || flags & ~TFD_TIMER_ABSTIME) {
        return -EINVAL;
    }
    if (!file || file->kind != &kind) {
        return file ? -EINVAL : -EBADF;
    }
    struct timer *timer = (struct timer *)file;
    int64_t now_ns = file->node->world->now_ns;
    if (before) {
        int64_t left_ns = timer->due.place > 0 ? timer->due.due_ns - now_ns : 0;
        *before = (struct itimerspec){.it_value = to_timespec(left_ns), .it_interval = to_timespec(timer->interval_ns)};
    }
    loop_sim_event_cancel(&timer->due);
    timer->expirations = 0;
    timer->interval_ns = interval_ns;
    if (value_ns > 0) {
        int64_t from_ns = flags & TFD_TIMER_ABSTIME ? 0 : now_ns;
        loop_sim_event_set(&timer->due, loop_sim_sum_ns(from_ns, value_ns), expire);
    }
    return 0;
}
