/* SPDX-License-Identifier: ISC
 *
 * The options of a loop: defaults, limits, and the variables of the environment.
 */
#include <loop/core/log.h>
#include <loop/core/region.h>
#include <loop/ground/hard.h>
#include <loop/kernel/process.h>
#include <loop/run/options.h>

#include <errno.h>
#include <signal.h>
#include <string.h>

#define QUEUE_DEPTH 64u
#define QUEUE_DEPTH_MAX 32768u
#define BLOCK_SIZE 4096u
#define SINK_LIMIT_BYTES ((size_t)1 << 20)
#define POOL_THREADS 64u
#define POOL_THREADS_MIN 4u
#define POOL_THREADS_MAX 1024u

static int read_backend_name(struct loop_options *options)
{
    const char *name = loop_kernel_getenv("LOOP_BACKEND");
    if (options->backend != LOOP_BACKEND_AUTO || !name || !*name) {
        return 0;
    }
    if (!strcmp(name, "uring")) {
        options->backend = LOOP_BACKEND_URING;
    } else if (!strcmp(name, "epoll")) {
        options->backend = LOOP_BACKEND_EPOLL;
    } else {
        loop_log_options(options, LOOP_LOG_ERROR, "LOOP_BACKEND is \"%s\"; it can be uring or epoll", name);
        return -EINVAL;
    }
    return 0;
}

static int read_way_name(struct loop_options *options)
{
    const char *name = loop_kernel_getenv("LOOP_WAY");
    if (options->way != LOOP_WAY_AUTO || !name || !*name) {
        return 0;
    }
    if (!strcmp(name, "readiness")) {
        options->way = LOOP_WAY_READINESS;
    } else if (!strcmp(name, "completions")) {
        options->way = LOOP_WAY_COMPLETIONS;
    } else {
        loop_log_options(options, LOOP_LOG_ERROR, "LOOP_WAY is \"%s\"; it can be readiness or completions", name);
        return -EINVAL;
    }
    return 0;
}

static unsigned at_most(unsigned n, unsigned most)
{
    return n < most ? n : most;
}

/* Without a bound it is the default, or the floor where that is higher. Without a floor that is the default, or the
 * bound where that is lower. */
static void fill_in_pool(struct loop_options *options)
{
    unsigned wanted = options->pool_threads_min > POOL_THREADS ? options->pool_threads_min : POOL_THREADS;
    options->pool_threads = at_most(options->pool_threads ? options->pool_threads : wanted, POOL_THREADS_MAX);
    options->pool_threads_min =
        at_most(options->pool_threads_min ? options->pool_threads_min : POOL_THREADS_MIN, options->pool_threads);
}

static void fill_in_defaults(struct loop_options *options)
{
    if (options->queue_depth == 0) {
        options->queue_depth = QUEUE_DEPTH;
    }
    if (options->n_blocks == 0) {
        options->n_blocks = options->queue_depth;
    }
    if (options->block_size == 0) {
        options->block_size = BLOCK_SIZE;
    }
    if (options->sink_limit_bytes == 0) {
        options->sink_limit_bytes = SINK_LIMIT_BYTES;
    }
    fill_in_pool(options);
}

static void apply_hard_modes(struct loop_options *options)
{
    if (loop_hard()->depth > 0) {
        options->queue_depth = loop_hard()->depth;
    }
    if (loop_hard()->has_one_chunk) {
        options->n_blocks = 1;
    }
}

/* Checks the options of the pool. Returns 0 or -EINVAL. */
static int check_pool(const struct loop_options *options)
{
    int number = options->interrupt_signal;
    if (number && (number < SIGRTMIN || number > SIGRTMAX)) {
        loop_log_options(options, LOOP_LOG_ERROR,
                         "interrupt_signal %d is no real-time signal: SIGRTMIN to SIGRTMAX are", number);
        return -EINVAL;
    }
    return options->pool_threads > 0 && options->pool_threads_min > options->pool_threads ? -EINVAL : 0;
}

int loop_options_check(struct loop_options *options)
{
    if (options->queue_depth > QUEUE_DEPTH_MAX) {
        loop_log_options(options, LOOP_LOG_ERROR, "a queue_depth of %u is beyond the kernel's limit of %u",
                         options->queue_depth, QUEUE_DEPTH_MAX);
        return -EINVAL;
    }
    bool is_negative = options->busy_poll_ns < 0 || options->timer_leeway_ns < 0;
    if (options->backend > LOOP_BACKEND_EPOLL || options->way > LOOP_WAY_COMPLETIONS || is_negative ||
        check_pool(options)) {
        return -EINVAL;
    }
    fill_in_defaults(options);
    if (options->block_size > LOOP_REGION_MAX || options->n_blocks > LOOP_REGION_MAX / options->block_size) {
        loop_log_options(options, LOOP_LOG_ERROR, "a region of %u blocks of %zu bytes is too large: 1 GiB is the most",
                         options->n_blocks, options->block_size);
        return -EINVAL;
    }
    apply_hard_modes(options);
    int error = read_backend_name(options);
    return error ? error : read_way_name(options);
}
