/* SPDX-License-Identifier: ISC
 *
 * Loops that run inside the event loop of a host: loop_open, loop_prepare, loop_turn, loop_close.
 */
#include <loop/core/backend.h>
#include <loop/core/check.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/kernel/process.h>
#include <loop/part.h>
#include <loop/run/life.h>
#include <loop/run/options.h>
#include <loop/run/thread.h>
#include <loop/turn/turn.h>

#include <errno.h>

/* ---- checks ---- */

/* Returns 0 for a loop with a host, called on its thread. */
static int check_hosted(const struct loop *loop, const char *function)
{
    if (!loop_is_good(loop, function)) {
        return -EINVAL;
    }
    if (!loop->is_hosted) {
        loop_misuse(loop, function, "the loop is loop_run's, which makes its turns itself",
                    "call it for a loop that loop_open has made");
        return -EINVAL;
    }
    return 0;
}

/* Returns 0 if also no function of this loop is on the stack. */
static int check_outside(const struct loop *loop, const char *function)
{
    int error = check_hosted(loop, function);
    if (!error && loop->is_turning) {
        loop_misuse(loop, function, "it was called inside a continuation of this loop",
                    "return to the loop; to end it call loop_stop");
        error = -EDEADLK;
    }
    return error;
}

/* ---- opening ---- */

int loop_open(const struct loop_options *options, loop_main_fn *main, void *arg, struct loop **loop)
{
    struct loop_options copy = options ? *options : (struct loop_options){0};
    if (!main || !loop_check_pointer(loop, "loop", __func__)) {
        return -EINVAL;
    }
    if (loop_thread_runs() == LOOP_THREAD_RUN) {
        loop_log_options(&copy, LOOP_LOG_ERROR,
                         "loop_open inside loop_run: use that loop, or call loop_open before it or on another thread");
        return -EDEADLK;
    }
    int error = loop_options_check(&copy);
    if (error) {
        return error;
    }
    copy.busy_poll_ns = 0;
    struct loop_thread_state before = loop_thread_begin(LOOP_THREAD_TURN, loop_kernel_getpid());
    error = loop_life_begin(&(struct loop_origin){.options = &copy, .is_hosted = true}, main, arg, loop);
    loop_thread_restore(before);
    return error;
}

int loop_number(const struct loop *loop)
{
    int error = check_hosted(loop, __func__);
    return error ? error : loop->host_number;
}

/* ---- turns ---- */

int64_t loop_prepare(struct loop *loop)
{
    int error = check_outside(loop, __func__);
    return error ? error : loop_turn_prepare(loop);
}

static int turn(struct loop *loop)
{
    int64_t ignored_ns; /* a turn does not wait */
    loop_turn_woken(loop);
    if (!loop_turn_begin(loop, &ignored_ns)) {
        return 0;
    }
    int error = loop->backend->turn(loop);
    if (error) {
        loop_life_break(loop, error);
    }
    return !loop_turn_has_ended(loop);
}

int loop_turn(struct loop *loop)
{
    int error = check_outside(loop, __func__);
    if (error) {
        return error;
    }
    struct loop_thread_state before = loop_thread_begin(LOOP_THREAD_TURN, loop->process);
    loop->is_turning = true;
    int goes_on = turn(loop);
    loop->is_turning = false;
    loop_thread_restore(before);
    return goes_on;
}

/* ---- closing ---- */

int loop_close(struct loop *loop)
{
    if (!loop) {
        return 0;
    }
    int error = check_outside(loop, __func__);
    if (error) {
        return error;
    }
    if (loop_thread_runs() == LOOP_THREAD_RUN) {
        loop_misuse(loop, __func__, "it was called inside loop_run of another loop, which it could block",
                    "call it after that loop_run");
        return -EDEADLK;
    }
    struct loop_thread_state before = loop_thread_begin(LOOP_THREAD_TURN, loop->process);
    loop->is_turning = true;
    if (!loop->is_stopped && !loop->main_has_ended) {
        (void)loop_stop(loop, 0);
    }
    loop_life_run(loop);
    int status = loop_life_end(loop);
    loop_thread_restore(before);
    return status;
}
