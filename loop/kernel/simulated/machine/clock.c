/* SPDX-License-Identifier: ISC
 *
 * The door's clocks. Time passes only while every fiber waits. A fiber that reads a clock again and again without
 * waiting lets time pass by that, so that it may wait for a time in a circle.
 */
#include <loop/kernel/simulated/machine/state.h>
#include <loop/kernel/time.h>

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_STEP 1000 /* of the processor's clocks */
#define MOST_READS 32

void loop_sim_count_call(void)
{
    enum { MOST_CALLS = 16 };
    (void)loop_sim_here();
    struct loop_sim_fiber *fiber = loop_sim_fiber_now();
    if (fiber && ++fiber->calls > MOST_CALLS) {
        loop_sim_yield();
    }
}

int64_t loop_sim_monotonic_ns(const struct loop_sim_world *world)
{
    return loop_sim_sum_ns(LOOP_SIM_MONOTONIC_START_NS, world->now_ns);
}

/* Returns how far a clock is ahead that goes `drift_ppb` faster. */
static int64_t drift_ns(int64_t now_ns, int64_t drift_ppb)
{
    int64_t whole_ns = 0, rest_ns = 0;
    bool is_too_much = __builtin_mul_overflow(now_ns / NS_PER_S, drift_ppb, &whole_ns) ||
                       __builtin_mul_overflow(now_ns % NS_PER_S, drift_ppb, &rest_ns);
    return !is_too_much ? loop_sim_sum_ns(whole_ns, rest_ns / NS_PER_S) : drift_ppb > 0 ? INT64_MAX : INT64_MIN;
}

int64_t loop_sim_wall_ns(const struct loop_sim_world *world, const struct loop_sim_node *node)
{
    int64_t now_ns = loop_sim_sum_ns(world->start_ns, world->now_ns);
    if (node) {
        now_ns = loop_sim_sum_ns(now_ns, node->wall_offset_ns);
        now_ns = loop_sim_sum_ns(now_ns, drift_ns(world->now_ns, node->wall_drift_ppb));
    }
    return now_ns;
}

int loop_kernel_clock_gettime(clockid_t clock, struct timespec *time)
{
    loop_sim_count_call();
    const struct loop_sim_node *node = loop_sim_here();
    const struct loop_sim_world *world = loop_sim_world_now();
    int64_t now_ns;
    switch (clock) {
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME: now_ns = loop_sim_monotonic_ns(world); break;
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_TAI: now_ns = loop_sim_wall_ns(world, node); break;
    case CLOCK_PROCESS_CPUTIME_ID:
    case CLOCK_THREAD_CPUTIME_ID: now_ns = (int64_t)world->steps * NS_PER_STEP; break;
    default: return (int)loop_sim_return(-EINVAL);
    }
    *time = (struct timespec){.tv_sec = now_ns / NS_PER_S, .tv_nsec = (long)(now_ns % NS_PER_S)};
    return 0;
}

int loop_kernel_nanosleep(const struct timespec *duration, struct timespec *left)
{
    const struct loop_sim_world *world = loop_sim_here()->world;
    if (duration->tv_sec < 0 || duration->tv_nsec < 0 || duration->tv_nsec >= NS_PER_S) {
        return (int)loop_sim_return(-EINVAL);
    }
    int64_t until_ns = loop_sim_sum_ns(world->now_ns, loop_sim_time_ns(duration->tv_sec, duration->tv_nsec));
    until_ns = until_ns < LOOP_SIM_NEVER ? until_ns : LOOP_SIM_NEVER - 1;
    if (loop_sim_wait(NULL, until_ns) != -EINTR) {
        return 0;
    }
    if (left) {
        int64_t left_ns = until_ns - world->now_ns;
        *left = (struct timespec){.tv_sec = left_ns / NS_PER_S, .tv_nsec = (long)(left_ns % NS_PER_S)};
    }
    return (int)loop_sim_return(-EINTR);
}
