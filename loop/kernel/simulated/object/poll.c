/* SPDX-License-Identifier: ISC
 *
 * poll(2), and the timeouts of calls.
 */
#include <loop/kernel/simulated/object/poll.h>
#include <loop/kernel/simulated/object/signal.h>

#include <loop/kernel/event.h>

/* ---- timeouts ---- */

int64_t loop_sim_time_until(const struct __kernel_timespec *timeout)
{
    enum { BILLION = 1000000000 };
    if (!timeout) {
        return LOOP_SIM_NEVER;
    }
    if (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= BILLION) {
        return -EINVAL;
    }
    return loop_sim_sum_ns(loop_sim_here()->world->now_ns, loop_sim_time_ns(timeout->tv_sec, timeout->tv_nsec));
}

int64_t loop_sim_time_until_ms(int timeout_ms)
{
    return timeout_ms < 0 ? LOOP_SIM_NEVER
                          : loop_sim_sum_ns(loop_sim_here()->world->now_ns, timeout_ms * INT64_C(1000000));
}

/* ---- poll ---- */

/* Asks every file. Returns how many entries have something to report. */
static int ask(struct pollfd *entries, size_t count)
{
    int n = 0;
    for (size_t i = 0; i < count; i++) {
        struct loop_sim_file *file = entries[i].fd < 0 ? NULL : loop_sim_file_open_at(entries[i].fd);
        uint32_t wanted = (uint16_t)entries[i].events | POLLERR | POLLHUP;
        uint32_t events = file ? loop_sim_file_poll(file) & wanted : entries[i].fd < 0 ? 0 : POLLNVAL;
        entries[i].revents = (short)events;
        n += events != 0;
    }
    return n;
}

static int wait_for_files(struct pollfd *entries, size_t count, int64_t until_ns)
{
    struct loop_sim_hold *hold = loop_sim_hold_create(count);
    size_t n_queues = 0;
    for (size_t i = 0; i < count; i++) {
        struct loop_sim_file *file = entries[i].fd < 0 ? NULL : loop_sim_file_open_at(entries[i].fd);
        if (file) {
            hold->files[n_queues] = loop_sim_file_ref(file);
            hold->queues[n_queues++] = &file->queue;
        }
    }
    int result = 0, n = 0;
    while (n == 0 && result == 0) {
        result = loop_sim_wait_any(hold->queues, n_queues, until_ns);
        n = ask(entries, count);
    }
    if (n == 0 && result == -EINTR) {
        (void)loop_sim_signals_handle();
    }
    loop_sim_file_let_go(hold);
    return n > 0 || result == -ETIMEDOUT ? n : result;
}

static int poll_until(struct pollfd *entries, nfds_t count, int64_t until_ns)
{
    loop_sim_count_call();
    struct loop_sim_node *node = loop_sim_here();
    if (count > loop_sim_files_of(node)->limits[RLIMIT_NOFILE].rlim_cur) {
        return -EINVAL;
    }
    (void)loop_sim_signals_handle();
    int n = ask(entries, count);
    if (n > 0) {
        return n;
    }
    if (until_ns <= node->world->now_ns) {
        loop_sim_yield();
        return 0;
    }
    return wait_for_files(entries, count, until_ns);
}

/* ---- the door ---- */

int loop_kernel_poll(struct pollfd *entries, nfds_t count, int timeout_ms)
{
    return (int)loop_sim_return(poll_until(entries, count, loop_sim_time_until_ms(timeout_ms)));
}

int loop_kernel_ppoll(struct pollfd *entries, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    struct __kernel_timespec copy = {.tv_sec = timeout ? timeout->tv_sec : 0,
                                     .tv_nsec = timeout ? timeout->tv_nsec : 0};
    int64_t until_ns = loop_sim_time_until(timeout ? &copy : NULL);
    if (until_ns < 0) {
        return (int)loop_sim_return(until_ns);
    }
    struct loop_sim_mask_change change = loop_sim_mask_begin(mask);
    int n = change.is_interrupted ? -EINTR : poll_until(entries, count, until_ns);
    loop_sim_mask_end(&change);
    return (int)loop_sim_return(n);
}
