/* SPDX-License-Identifier: ISC
 *
 * What suites about the two ways of flows share.
 */
#ifndef TESTS_LOOP_FLOW_WAY_H
#define TESTS_LOOP_FLOW_WAY_H

#include "sockets.h"

#define COMPLETIONS .way = LOOP_WAY_COMPLETIONS

/* How many streams the ring receives for, of `count` that wait. */
static inline uint64_t expected_flows(const struct loop_env *env, uint64_t count)
{
    const char *hard = getenv("NORIA_HARD");
    bool is_refused = hard && !strcmp(hard, "refuse");
    return !is_refused && !strcmp(loop_backend_name(env->loop), "io_uring") ? count : 0;
}

/* Whether the ring does so much, of what it could do by `count`. Where flows change their way it is any part. */
static inline bool is_done_by_ring(const struct loop_env *env, uint64_t n, uint64_t count)
{
    return is_hard("ways") ? n <= count : n == expected_flows(env, count);
}

static inline struct loop_stats stats_of(const struct loop_env *env)
{
    struct loop_stats stats;
    loop_get_stats(env->loop, &stats);
    return stats;
}

#endif
