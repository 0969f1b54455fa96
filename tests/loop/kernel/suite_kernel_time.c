/* SPDX-License-Identifier: ISC
 *
 * The door's clocks.
 */
#include <loop/kernel/all.h>

#include "harness.h"

#include <sys/timerfd.h>

static int64_t clock_ns(clockid_t clock)
{
    struct timespec time;

    CHECK_IS(loop_kernel_clock_gettime(clock, &time), 0);
    CHECK(time.tv_nsec >= 0);
    CHECK(time.tv_nsec < LOOP_SECOND);
    return time.tv_sec * LOOP_SECOND + time.tv_nsec;
}

static int sleep_ns(int64_t duration_ns)
{
    return loop_kernel_nanosleep(&(struct timespec){.tv_nsec = (long)duration_ns}, NULL);
}

static const clockid_t steady_clocks[] = {
    CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW,   CLOCK_MONOTONIC_COARSE,   CLOCK_BOOTTIME,
    CLOCK_REALTIME,  CLOCK_REALTIME_COARSE, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID,
};

TEST_ROWS(clock_does_not_go_back, COUNT_OF(steady_clocks), row)
{
    int64_t before_ns = clock_ns(steady_clocks[row]);

    CHECK(before_ns >= 0);
    for (int i = 0; i < 1000; i++) {
        int64_t now_ns = clock_ns(steady_clocks[row]);
        CHECK(now_ns >= before_ns);
        before_ns = now_ns;
    }
}

TEST(clock_that_does_not_exist_is_refused)
{
    struct timespec time;

    CHECK_IS(loop_kernel_clock_gettime(99, &time), -1);
    CHECK_IS(errno, EINVAL);
}

TEST(clock_is_not_at_zero)
{
    CHECK(clock_ns(CLOCK_MONOTONIC) > 0);
    CHECK(clock_ns(CLOCK_REALTIME) > INT64_C(1600000000) * LOOP_SECOND);
}

TEST(clock_goes_on_while_it_is_read_in_a_circle)
{
    int64_t until_ns = clock_ns(CLOCK_MONOTONIC) + LOOP_MILLISECOND;

    while (clock_ns(CLOCK_MONOTONIC) < until_ns) {
    }
}

TEST(clocks_go_on_by_the_time_slept)
{
    int64_t steady_ns = clock_ns(CLOCK_MONOTONIC), wall_ns = clock_ns(CLOCK_REALTIME);

    CHECK_IS(sleep_ns(5 * LOOP_MILLISECOND), 0);
    CHECK(clock_ns(CLOCK_MONOTONIC) - steady_ns >= 5 * LOOP_MILLISECOND);
    CHECK(clock_ns(CLOCK_REALTIME) - wall_ns >= 4 * LOOP_MILLISECOND); /* it may be corrected meanwhile */
}

TEST(sleep_of_nothing_returns)
{
    CHECK_IS(sleep_ns(0), 0);
}

static const struct timespec wrong_durations[] = {
    {.tv_nsec = -1},
    {.tv_nsec = LOOP_SECOND},
    {.tv_sec = -1},
};

TEST_ROWS(sleep_of_a_wrong_duration_is_refused, COUNT_OF(wrong_durations), row)
{
    CHECK_IS(loop_kernel_nanosleep(&wrong_durations[row], NULL), -1);
    CHECK_IS(errno, EINVAL);
}

static void *sleep_and_return_when(void *arg)
{
    static int64_t woken_ns[2];
    size_t n = *(size_t *)arg;

    CHECK_IS(sleep_ns((int64_t)(n + 1) * 20 * LOOP_MILLISECOND), 0);
    woken_ns[n] = clock_ns(CLOCK_MONOTONIC);
    return &woken_ns[n];
}

TEST(sleeping_threads_wake_in_the_order_of_time)
{
    pthread_t threads[2];
    size_t numbers[2] = {0, 1};
    void *woken_ns[2];

    for (size_t i = 2; i-- > 0;) {
        CHECK_IS(loop_kernel_pthread_create(&threads[i], NULL, sleep_and_return_when, &numbers[i]), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        CHECK_IS(loop_kernel_pthread_join(threads[i], &woken_ns[i]), 0);
    }
    CHECK(*(int64_t *)woken_ns[0] < *(int64_t *)woken_ns[1]);
}

TEST(timer_with_the_longest_interval_expires_once)
{
    const struct itimerspec time = {.it_value.tv_nsec = 1, .it_interval = {.tv_sec = INT64_MAX / 2, .tv_nsec = 1}};
    int number = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    uint64_t expirations = 0;

    CHECK_IS(timerfd_settime(number, 0, &time, NULL), 0);
    CHECK_IS(sleep_ns(5 * LOOP_MILLISECOND), 0);
    CHECK_IS(loop_kernel_read(number, &expirations, sizeof expirations), sizeof expirations);
    CHECK_IS(expirations, 1);
    CHECK_IS(loop_kernel_close(number), 0);
}
