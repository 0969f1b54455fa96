/* SPDX-License-Identifier: ISC
 *
 * The life of a loop: creates its parts, the lower rooms first, calls main, makes turns until main's scope has ended,
 * and destroys the parts in the reverse order.
 */
#include <loop/backend/epoll/epoll.h>
#include <loop/backend/uring/uring.h>
#include <loop/core/backend.h>
#include <loop/core/check.h>
#include <loop/core/close.h>
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/core/number.h>
#include <loop/core/region.h>
#include <loop/core/scope.h>
#include <loop/core/scratch.h>
#include <loop/event/inbox.h>
#include <loop/event/signal.h>
#include <loop/flow/buffered/reader_life.h>
#include <loop/flow/buffered/writer_life.h>
#include <loop/flow/copy_buffer.h>
#include <loop/flow/descriptor/file.h>
#include <loop/flow/own/own.h>
#include <loop/ground/clock.h>
#include <loop/ground/list.h>
#include <loop/ground/slab.h>
#include <loop/ground/wheel.h>
#include <loop/kernel/file.h>
#include <loop/kernel/memory.h>
#include <loop/kernel/process.h>
#include <loop/kernel/thread.h>
#include <loop/part.h>
#include <loop/run/child.h>
#include <loop/run/env.h>
#include <loop/run/leak.h>
#include <loop/run/life.h>
#include <loop/run/part.h>
#include <loop/run/thread.h>
#include <loop/syscall/interrupt.h>
#include <loop/syscall/pool.h>
#include <loop/turn/turn.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* ---- the backend ---- */

static int init_backend(struct loop *loop, const struct loop_backend_ops *backend)
{
    loop->backend = backend;
    int error = backend->init(loop);
    if (error) {
        loop->backend = NULL;
    }
    return error;
}

static int try_uring(struct loop *loop)
{
#if NORIA_URING
    return init_backend(loop, &loop_backend_uring);
#else
    (void)snprintf(
        loop->backend_detail, sizeof loop->backend_detail,
        "io_uring can't be had: this library was built without it (NORIA_URING=OFF); use a build that has it");
    return -ENOSYS;
#endif
}

static int use_epoll(struct loop *loop)
{
    char reason[sizeof loop->backend_detail];
    memcpy(reason, loop->backend_detail, sizeof reason);
    int error = init_backend(loop, &loop_backend_epoll);
    if (error) {
        loop_log_options(&loop->options, LOOP_LOG_ERROR, "%s", loop->backend_detail);
    } else if (*reason) {
        memcpy(loop->backend_detail, reason, sizeof reason);
    }
    return error;
}

static int ask_fallback(const struct loop *loop)
{
    const struct loop_options *options = &loop->options;
    if (options->fallback) {
        return options->fallback(loop->backend_detail, options->fallback_arg);
    }
    loop_log_options(options, LOOP_LOG_WARNING, "running on epoll: %s", loop->backend_detail);
    return 0;
}

static int choose_backend(struct loop *loop)
{
    if (loop->options.backend == LOOP_BACKEND_EPOLL) {
        return use_epoll(loop);
    }
    int error = try_uring(loop);
    if (!error) {
        return 0;
    }
    if (loop->options.backend == LOOP_BACKEND_URING) {
        loop_log_options(&loop->options, LOOP_LOG_ERROR, "io_uring was demanded: %s", loop->backend_detail);
        return error;
    }
    int refused = ask_fallback(loop);
    return refused ? refused : use_epoll(loop);
}

/* ---- making and unmaking ---- */

static void on_main_end(void *arg, int64_t error)
{
    struct loop *loop = arg;
    bool is_error = error < 0 && !(loop->is_stopped && error == -ECANCELED);
    if (loop->main_result == 0 && is_error) {
        loop->main_result = (int)error;
    }
    loop_inbox_close(loop->inbox); /* the last posts run while the objects they use still exist */
    loop->main_has_ended = true;
    loop_scope_cancel(loop->own_scope);
    loop_scope_drop_hold(loop->own_scope, false);
}

static void on_own_end(void *arg, int64_t error)
{
    (void)error;
    struct loop *loop = arg;
    loop->own_has_ended = true;
    loop_fds_leave_queues(loop);
}

static struct loop *make(const struct loop_origin *origin)
{
    struct loop *loop = loop_kernel_calloc(1, sizeof *loop);
    if (!loop) {
        return NULL;
    }
    loop->options = *origin->options;
    loop->is_hosted = origin->is_hosted;
    loop->host_number = -1;
    loop->thread = loop_kernel_pthread_self();
    loop->thread_id = loop_kernel_gettid();
    loop->process = loop_kernel_getpid();
    loop_list_init(&loop->run_queue);
    loop_list_init(&loop->after);
    loop_list_init(&loop->after_child.link);
    loop->last_ending = &loop->ending;
    loop->unix_message = (struct msghdr){.msg_iov = &loop->unix_vector, .msg_iovlen = 1};
    loop_slab_init(&loop->jobs[LOOP_JOB_SMALL], LOOP_JOB_SMALL_BYTES, LOOP_JOB_SMALL);
    loop_slab_init(&loop->jobs[LOOP_JOB_LARGE], sizeof(struct loop_job), LOOP_JOB_LARGE);
    loop_slab_init(&loop->jobs[LOOP_JOB_BARE], LOOP_JOB_BARE_BYTES, LOOP_JOB_BARE);
    loop_slab_init(&loop->fds, sizeof(struct loop_fd), 0);
    loop_slab_init(&loop->fds_more, sizeof(struct loop_fd_more), 0);
    loop_slab_init(&loop->scopes, sizeof(struct loop_scope), 0);
    loop_slab_init(&loop->scopes_more, sizeof(struct loop_scope_more), 0);
    loop_slab_init(&loop->deadlines, sizeof(struct loop_deadline), 0);
    loop_hooks_init(loop);
    loop_readers_init(loop);
    loop_writers_init(loop);
    loop_owns_init(loop);
    loop_wheel_init(&loop->timers, loop_clock_read());
    loop_signals_init(loop);
    return loop;
}

static void unmake(struct loop *loop)
{
    assert(loop_jobs_in_use(loop) == 0 && loop_slab_in_use(&loop->scopes) == 0);
    assert(loop_slab_in_use(&loop->fds) == loop_leaked_pins(loop));
    assert(loop_slab_in_use(&loop->readers) == 0 && loop_slab_in_use(&loop->writers) == 0);
    assert(loop_wheel_is_empty(&loop->timers));
    loop_copy_finish(loop);
    loop_file_finish(loop);
    loop_scratch_finish(loop);
    loop_parts_finish(loop);
    loop_scopes_finish(loop);
    for (unsigned size = 0; size < LOOP_JOB_SIZES; size++) {
        loop_slab_finish(&loop->jobs[size]);
    }
    loop_slab_finish(&loop->fds);
    loop_slab_finish(&loop->fds_more);
    loop_numbers_finish(loop);
    loop_slab_finish(&loop->scopes);
    loop_slab_finish(&loop->scopes_more);
    loop_slab_finish(&loop->deadlines);
    loop_slab_finish(&loop->hooks);
    loop_slab_finish(&loop->readers);
    loop_slab_finish(&loop->writers);
    loop_owns_finish(loop);
    loop_region_finish(loop);
    if (loop->inbox) {
        if (!loop->main_has_ended) {
            loop_inbox_close(loop->inbox);
        }
        loop_inbox_finish(loop->inbox);
    }
    loop_inbox_unref(loop->inbox);
    loop_check_end(loop);
    loop_kernel_free(loop);
}

static int furnish_scopes(struct loop *loop)
{
    loop_scope_add_hold(loop->own_scope, false);
    loop_scope_add_hold(loop->main_scope, false);
    int error = loop_turn_watch_inbox(loop);
    return error ? error : loop_env_init(loop);
}

static int prepare(struct loop *loop, const struct loop_share *share)
{
    const struct loop_options *options = &loop->options;
    int error = loop_region_init(loop, share, options->n_blocks, options->block_size);
    if (error) {
        loop_log_options(&loop->options, LOOP_LOG_ERROR, "no region of %u blocks of %zu bytes: %s", options->n_blocks,
                         options->block_size, strerror(-error));
        return error;
    }
    loop->inbox = loop_inbox_create(loop, options->post_capacity);
    if (!loop->inbox) {
        return -errno;
    }
    /* One page of the slab has room for both: either both scopes have memory or none. */
    loop->own_scope = loop_scope_open_root(loop, on_own_end, loop);
    loop->main_scope = loop->own_scope ? loop_scope_open_root(loop, on_main_end, loop) : NULL;
    if (!loop->main_scope) {
        return -ENOMEM;
    }
    loop->own_scope->is_part = true;
    return 0;
}

/* ---- beginning and ending ---- */

int loop_stop(struct loop *loop, int status)
{
    if (!loop_is_good(loop, __func__)) {
        return -EINVAL;
    }
    if (loop->is_stopped || loop->main_has_ended) {
        return -EALREADY;
    }
    loop->is_stopped = true;
    loop->main_result = status;
    loop_scope_cancel(loop->main_scope);
    return 0;
}

static void call_main(struct loop *loop, loop_main_fn *main, void *arg)
{
    int result = main(&loop->env, arg);
    if (result != 0) {
        (void)loop_stop(loop, result);
    }
}

/* Creates the environment and calls main. If the environment cannot be created, main is not called. */
static int furnish(struct loop *loop, loop_main_fn *main, void *arg)
{
    int error = furnish_scopes(loop);
    if (error) {
        loop->main_result = error;
    } else {
        call_main(loop, main, arg);
    }
    loop_scope_drop_hold(loop->main_scope, false);
    return error;
}

void loop_life_break(struct loop *loop, int error)
{
    loop->backend = loop->backend->broken;
    loop->broken.error = error;
    loop->main_result = error;
    if (!loop->main_has_ended) {
        loop_scope_fail(loop->main_scope, error);
    }
}

void loop_life_run(struct loop *loop)
{
    int error = loop->backend->run(loop);
    if (error) {
        loop_life_break(loop, error);
        (void)loop->backend->run(loop);
    }
}

/* Restores the thread and frees a loop that has no backend. */
static void leave(struct loop *loop)
{
    loop_thread_leave(loop);
    loop_interrupt_end(&loop->options);
    loop_env_vacate_standard(loop->occupied);
    loop_leaks_name(loop);
    unmake(loop);
}

int loop_life_end(struct loop *loop)
{
    int result = loop->main_result;
    loop_child_finish(loop);
    loop_pool_finish(loop);
    loop->backend->finish(loop);
    if (loop->host_number >= 0) {
        loop_kernel_close(loop->host_number);
    }
    leave(loop);
    return result;
}

/* Duplicates the descriptor of the backend for the host, who polls it until loop_close whatever becomes of the
 * backend. */
static int open_for_host(struct loop *loop)
{
    int number = loop->is_hosted ? loop_kernel_dup(loop->backend->number(loop), 3) : -1;
    loop->host_number = number;
    return loop->is_hosted && number < 0 ? -errno : 0;
}

/* Creates the parts. Returns 0 or -errno. */
static int build(struct loop *loop, const struct loop_share *share)
{
    int error = prepare(loop, share);
    if (!error) {
        error = choose_backend(loop);
    }
    if (!error) {
        error = open_for_host(loop);
        if (error) {
            loop->backend->finish(loop);
        }
    }
    return error;
}

static int no_memory(const struct loop_options *options)
{
    loop_interrupt_end(options);
    return -ENOMEM;
}

/* Creates a loop with its backend. Returns 0 or -errno, with nothing left. */
static int create(const struct loop_origin *origin, struct loop **created)
{
    int error = loop_interrupt_begin(origin->options);
    struct loop *loop = error ? NULL : make(origin);
    if (!loop) {
        return error ? error : no_memory(origin->options);
    }
    loop_check_begin(loop);
    loop->occupied = loop_env_occupy_standard();
    loop_thread_enter(loop);
    error = build(loop, origin->share);
    if (!error) {
        *created = loop;
        return 0;
    }
    if (loop->main_scope) {
        loop_slab_put(&loop->scopes, loop->main_scope);
        loop_slab_put(&loop->scopes, loop->own_scope);
    }
    leave(loop);
    return error;
}

int loop_life_begin(const struct loop_origin *origin, loop_main_fn *main, void *arg, struct loop **begun)
{
    struct loop *loop;
    int error = create(origin, &loop);
    if (error) {
        return error;
    }
    loop->is_turning = origin->is_hosted;
    error = furnish(loop, main, arg);
    loop->is_turning = false;
    if (error) {
        loop_life_run(loop);
        return loop_life_end(loop);
    }
    *begun = loop;
    return 0;
}
