/* SPDX-License-Identifier: ISC
 *
 * For the suites of what is behind a write that fails: a flow whose peer is read by the test, and runs in which the
 * first uses of some calls fail as NORIA_FAIL makes them.
 */
#ifndef TESTS_FAILING_H
#define TESTS_FAILING_H

#include "harness.h"

#if NORIA_HARD_MODES

#include <loop/kernel/fail.h>

#include <stdio.h>

static struct loop_flow *flow;
static struct once writes[3];
static int fds[2];
static char got[16];

/* Runs a script in which the first use of some calls fails. */
static inline void run_failing(const char *what, void (*steps)(struct loop_env *env, int64_t result))
{
    CHECK(loop_kernel_fail_set(what));
    script_run(&(struct loop_options){.way = LOOP_WAY_READINESS}, steps);
    CHECK(loop_kernel_fail_set(NULL));
}

/* Makes a pair of Unix sockets in `fds`, and the flow of the first in `scope`. */
static inline void open_pair(struct loop_scope *scope, int type)
{
    CHECK_IS(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), 0);
    flow = flow_of(scope, fds[0]);
}

/* Makes such a pair, and fills the first socket. */
static inline void open_full(struct loop_scope *scope)
{
    open_pair(scope, SOCK_STREAM);
    stuff(fds[0]);
}

static inline void start_first(void *arg, int64_t result)
{
    (void)arg;
    (void)result;
    START(loop_write(&flow->sink, "ab", 2, ONCE(&writes[0])));
}

/* Has start_first and `second` called one after the other by continuations: what becomes of the write is not known yet
 * when `second` runs. */
static inline void start_both(struct loop_env *env, loop_fn *second)
{
    loop_job first_job = START(loop_promise(env->scope, NULL, NULL, start_first, NULL));
    loop_job second_job = START(loop_promise(env->scope, NULL, NULL, second, NULL));
    CHECK_IS(loop_resolve(env->loop, first_job, 0), 0);
    CHECK_IS(loop_resolve(env->loop, second_job, 0), 0);
}

/* ---- watches that fail ---- */

/* The number of watches before a script begins depends on what the standard streams are: the loop asks epoll whether it
 * can poll them. So a script in which a watch fails runs twice. The trial counts the watches before NEXT_WATCH_FAILS
 * and ends there. */
static bool is_trial;
static unsigned n_watches, n_polls;

static inline unsigned uses_of(const char *name)
{
    for (size_t i = 0; i < loop_kernel_fail_count(); i++) {
        if (strcmp(loop_kernel_fail_name(i), name) == 0) {
            return loop_kernel_fail_uses(i);
        }
    }
    return 0;
}

/* Ends the trial. In the run after it the next watch fails. */
#define NEXT_WATCH_FAILS                                                                                               \
    do {                                                                                                               \
        if (is_trial) {                                                                                                \
            n_watches = uses_of("epoll_ctl");                                                                          \
            n_polls = uses_of("ring-poll");                                                                            \
            close(fds[1]);                                                                                             \
            loop_scope_cancel(env->scope);                                                                             \
            script.expected = -ECANCELED;                                                                              \
            script.is_done = true;                                                                                     \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)

static inline void run_trial(void (*steps)(struct loop_env *env, int64_t result))
{
    is_trial = true;
    run_failing(NULL, steps);
    is_trial = false;
}

static inline void run_unwatched(void (*steps)(struct loop_env *env, int64_t result))
{
    char what[128];

    (void)snprintf(what, sizeof what, "epoll_ctl:ENOMEM:%u,ring-poll:ENOMEM:%u", n_watches + 1, n_polls + 1);
    if (!loop_kernel_fail_set(what)) { /* a build without the ring knows no such call */
        (void)snprintf(what, sizeof what, "epoll_ctl:ENOMEM:%u", n_watches + 1);
    }
    run_failing(what, steps);
}

/* ---- what arrives ---- */

/* Checks what has arrived. */
#define ARRIVED(text)                                                                                                  \
    do {                                                                                                               \
        CHECK_IS(recv(fds[1], got, sizeof got, MSG_DONTWAIT), strlen(text));                                           \
        CHECK(memcmp(got, text, strlen(text)) == 0);                                                                   \
    } while (0)

/* Checks that nothing has arrived, and no end. */
#define NOTHING_ARRIVED                                                                                                \
    do {                                                                                                               \
        CHECK_IS(recv(fds[1], got, sizeof got, MSG_DONTWAIT), -1);                                                     \
        CHECK_IS(errno, EAGAIN);                                                                                       \
    } while (0)

#endif

#endif
