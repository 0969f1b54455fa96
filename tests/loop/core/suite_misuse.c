/* SPDX-License-Identifier: ISC
 *
 * Public functions of loop/ called with NULL, or with destroyed objects.
 */
#include "misuse.h"

#include <loop/part.h>

#include <stdio.h>

TEST(p23_null_and_what_is_gone_are_named)
{
    misuse_check_all();
}

static int keep_loop(struct loop_env *env, void *loop)
{
    *(struct loop **)loop = env->loop;
    return 0;
}

static int call_after_the_end(void *unused)
{
    struct loop *loop;

    (void)unused;
    CHECK_IS(loop_run(0, 0, 0, NULL, keep_loop, &loop), 0);
#if NORIA_DEBUG
    return loop_stop(loop, 0);
#else
    return 0; /* there it is freed memory */
#endif
}

TEST(p23_a_loop_that_has_ended_is_named)
{
    expect_stop(call_after_the_end, NULL, "loop_stop: the loop", 0);
}

/* Every object is named by where it was freed, as an offset in the program. */
#define AT "at suite_misuse+0x"

static int64_t stats_are_zero(void)
{
    struct loop_stats stats = {.turns = 1};

    loop_get_stats(NULL, &stats);
    return stats.turns == 0;
}

static unsigned n_run;

static void count_run(void *unused)
{
    (void)unused;
    n_run++;
}

#define FN NULL, NULL

/* ---- NULL ---- */

MISUSE(loop_cancel, "the loop is NULL", loop_cancel(NULL, 1) == -EINVAL)
MISUSE(loop_daemon, "the loop is NULL", loop_daemon(NULL, 1) == -EINVAL)
MISUSE(loop_job_is_alive, "the loop is NULL", !loop_job_is_alive(NULL, 1))
MISUSE(loop_stop, "the loop is NULL", loop_stop(NULL, 0) == -EINVAL)
MISUSE(loop_open, "pointer to the loop is NULL", loop_open(NULL, keep_loop, NULL, NULL) == -EINVAL)
MISUSE(loop_number, "the loop is NULL", loop_number(NULL) == -EINVAL)
MISUSE(loop_number, "the loop is loop_run's", loop_number(here->loop) == -EINVAL)
MISUSE(loop_prepare, "the loop is NULL", loop_prepare(NULL) == -EINVAL)
MISUSE(loop_prepare, "the loop is loop_run's", loop_prepare(here->loop) == -EINVAL)
MISUSE(loop_turn, "the loop is NULL", loop_turn(NULL) == -EINVAL)
MISUSE(loop_turn, "the loop is loop_run's", loop_turn(here->loop) == -EINVAL)
MISUSE(loop_close, "the loop is loop_run's", loop_close(here->loop) == -EINVAL)
MISUSE_VOID(loop_log, "the loop is NULL", loop_log(NULL, LOOP_LOG_ERROR, "x"))
MISUSE(loop_backend_name, "the loop is NULL", strcmp(loop_backend_name(NULL), "") == 0)
MISUSE(loop_backend_detail, "the loop is NULL", strcmp(loop_backend_detail(NULL), "") == 0)
MISUSE(loop_get_stats, "the loop is NULL", stats_are_zero())
MISUSE(loop_scratch_take, "the loop is NULL", loop_scratch_take(NULL, 1) == NULL)
MISUSE_VOID(loop_scratch_give, "the loop is NULL", loop_scratch_give(NULL, NULL))
MISUSE(loop_clock_wall, "is NULL", loop_clock_wall(NULL) == -EINVAL)
MISUSE_VOID(loop_trace, "is NULL", loop_trace(NULL, "x"))
MISUSE_VOID(loop_dump, "is NULL", loop_dump(NULL))
MISUSE(loop_now, "the loop is NULL", loop_now(NULL) == -EINVAL)
MISUSE(loop_inbox_ref, "the loop is NULL", loop_inbox_ref(NULL) == NULL)
MISUSE(loop_post, "the inbox is NULL", loop_post(NULL, once_resumed, NULL) == -EINVAL)
MISUSE(loop_child_begin, "the loop is NULL", loop_child_begin(NULL) == -EINVAL)
MISUSE(loop_child_end, "the loop is NULL", loop_child_end(NULL) == -EINVAL)
MISUSE_VOID(loop_saved_mask, "the loop is NULL", loop_saved_mask(NULL, &(sigset_t){{0}}))
MISUSE(loop_resolve, "the loop is NULL", loop_resolve(NULL, 1, 0) == -EINVAL)
MISUSE(loop_poll_change, "the loop is NULL", loop_poll_change(NULL, 1, POLLIN) == -EINVAL)
MISUSE(loop_pause, "the loop is NULL", loop_pause(NULL, 1) == -EINVAL)
MISUSE(loop_resume, "the loop is NULL", loop_resume(NULL, 1) == -EINVAL)
MISUSE(loop_chunk_alloc, "the loop is NULL", loop_chunk_alloc(NULL) == NULL)
MISUSE(loop_chunk_free, "the loop is NULL", loop_chunk_free(NULL, NULL) == -EINVAL)
MISUSE(loop_chunk_keep, "the loop is NULL", loop_chunk_keep(NULL, NULL) == -EINVAL)
MISUSE(loop_chunk_detach, "the loop is NULL", loop_chunk_detach(NULL, NULL) == -EINVAL)
MISUSE(loop_chunk_detach, "chunk is NULL", loop_chunk_detach(here->loop, NULL) == -EINVAL)
MISUSE(loop_chunk_attach, "the loop is NULL", loop_chunk_attach(NULL, NULL) == -EINVAL)
MISUSE(loop_chunk_attach, "chunk is NULL", loop_chunk_attach(here->loop, NULL) == -EINVAL)
MISUSE(loop_region_avail, "the loop is NULL", loop_region_avail(NULL) == 0)
MISUSE(loop_region_count, "the loop is NULL", loop_region_count(NULL) == 0)
MISUSE(loop_region_is_fixed, "the loop is NULL", !loop_region_is_fixed(NULL))
MISUSE(loop_region_is_shared, "the loop is NULL", !loop_region_is_shared(NULL))
MISUSE(loop_part_scope, "the loop is NULL", loop_part_scope(NULL) == NULL)
MISUSE(loop_part_slot, "the loop is NULL", loop_part_slot(NULL, "") == NULL)
MISUSE(loop_part_main_scope, "the loop is NULL", loop_part_main_scope(NULL) == NULL)
MISUSE_VOID(loop_part_run_after, "the scope is NULL", loop_part_run_after(NULL, NULL))
MISUSE_VOID(loop_part_continue, "the scope is NULL", loop_part_continue(NULL, NULL, NULL, -EIO))
MISUSE_VOID(loop_part_set_child_mask, "the loop is NULL", loop_part_set_child_mask(NULL, &(sigset_t){{0}}))
MISUSE_VOID(loop_part_set_child_mask, "mask is NULL", loop_part_set_child_mask(here->loop, NULL))
MISUSE(loop_inbox_of, "the loop is NULL", loop_inbox_of(NULL) == NULL)
MISUSE(loop_inbox_loop, "the inbox is NULL", loop_inbox_loop(NULL) == NULL)
MISUSE_VOID(loop_inbox_share, "the inbox is NULL", loop_inbox_share(NULL))
MISUSE_VOID(loop_waiters_init, "the list of waiters is NULL", loop_waiters_init(NULL))
MISUSE(loop_waiters_add, "the list of waiters is NULL", loop_waiters_add(NULL, here->scope, FN) == 0)
MISUSE_VOID(loop_waiters_end, "the list of waiters is NULL", loop_waiters_end(NULL, 0))
MISUSE(loop_post_task, "the inbox is NULL", loop_post_task(NULL, NULL) == -EINVAL)
MISUSE(loop_post_task, "the task is NULL", loop_post_task(loop_inbox_of(here->loop), NULL) == -EINVAL)
MISUSE(loop_fd_count_uses, "the descriptor is NULL", loop_fd_count_uses(NULL) == 0)
MISUSE(loop_fd_is_borrowed, "the descriptor is NULL", !loop_fd_is_borrowed(NULL))
MISUSE(loop_fd_take_error, "the descriptor is NULL", loop_fd_take_error(NULL) == 0)
MISUSE_VOID(loop_fd_keep_error, "the descriptor is NULL", loop_fd_keep_error(NULL, -EIO))

MISUSE(loop_scope_open, "the scope is NULL", loop_scope_open(NULL, FN) == NULL)
MISUSE_VOID(loop_scope_cancel, "the scope is NULL", loop_scope_cancel(NULL))
MISUSE_VOID(loop_scope_fail, "the scope is NULL", loop_scope_fail(NULL, -EIO))
MISUSE_VOID(loop_scope_deadline, "the scope is NULL", loop_scope_deadline(NULL, 0))
MISUSE_VOID(loop_scope_hold, "the scope is NULL", loop_scope_hold(NULL))
MISUSE_VOID(loop_scope_unhold, "the scope is NULL", loop_scope_unhold(NULL))
MISUSE(loop_scope_on_cancel, "the scope is NULL", loop_scope_on_cancel(NULL, FN) == 0)
MISUSE_VOID(loop_scope_daemon, "the scope is NULL", loop_scope_daemon(NULL))
MISUSE(loop_scope_defer, "the scope is NULL", loop_scope_defer(NULL, count_run, NULL) == NULL && n_run == 1)
MISUSE(loop_scope_defer, "function is NULL", loop_scope_defer(here->scope, FN) == NULL)
MISUSE_VOID(loop_hook_remove, "the scope is NULL", loop_hook_remove(NULL, NULL))
static struct loop_hook *hook;

static void remove_hook_twice(void)
{
    hook = loop_scope_defer(here->scope, count_run, NULL);
    loop_hook_remove(here->scope, hook);
    loop_hook_remove(here->scope, hook);
}

MISUSE(loop_hook_remove, "the hook was removed by loop_hook_remove (" AT, (remove_hook_twice(), n_run == 0))
MISUSE_VOID(loop_hook_remove, "the hook has run", loop_hook_remove(here->scope, gone.hook))
MISUSE(loop_scope_alloc, "the scope is NULL", loop_scope_alloc(NULL, 1) == NULL)
MISUSE(loop_scope_is_cancelled, "the scope is NULL", loop_scope_is_cancelled(NULL))
MISUSE(loop_scope_error, "the scope is NULL", loop_scope_error(NULL) == -EINVAL)
MISUSE(loop_scope_loop, "the scope is NULL", loop_scope_loop(NULL) == NULL)
MISUSE(loop_sleep, "the scope is NULL", loop_sleep(NULL, 0, FN) == 0)
MISUSE(loop_poll_number, "the scope is NULL", loop_poll_number(NULL, 0, POLLIN, FN) == 0)
MISUSE(loop_sleep_until, "the scope is NULL", loop_sleep_until(NULL, 0, FN) == 0)
MISUSE(loop_signal, "the scope is NULL", loop_signal(NULL, SIGUSR1, FN) == 0)
MISUSE(loop_promise_stream, "the scope is NULL", loop_promise_stream(NULL, NULL, NULL, FN) == 0)
MISUSE(loop_promise_stream, "the pointer to the table of functions is NULL",
       loop_promise_stream(here->scope, NULL, NULL, FN) == 0)
static const struct loop_stream_ops no_ops;
MISUSE(loop_promise_stream, "the table lacks a function", loop_promise_stream(here->scope, &no_ops, NULL, FN) == 0)
MISUSE(loop_promise, "the scope is NULL", loop_promise(NULL, FN, FN) == 0)
MISUSE(loop_descriptor_wait, "the scope is NULL", loop_descriptor_wait(NULL, 0, FN) == 0)
MISUSE(loop_chunk_alloc_wait, "the scope is NULL", loop_chunk_alloc_wait(NULL, &gone.chunk, FN) == 0)
MISUSE(loop_pipe, "the scope is NULL", loop_pipe(NULL, &gone.source, &gone.sink) == -EINVAL)
MISUSE(loop_memory_source, "the scope is NULL", loop_memory_source(NULL, "", 0) == NULL)
MISUSE(loop_memory_sink, "the scope is NULL", loop_memory_sink(NULL, 0) == NULL)
MISUSE(loop_null_source, "the scope is NULL", loop_null_source(NULL) == NULL)
MISUSE(loop_null_sink, "the scope is NULL", loop_null_sink(NULL) == NULL)

MISUSE(loop_fd_adopt, "the scope is NULL", loop_fd_adopt(NULL, -1) == NULL)
MISUSE(loop_fd_adopt_stream, "the scope is NULL", loop_fd_adopt_stream(NULL, -1) == NULL)
MISUSE(loop_fd_adopt_datagram, "the scope is NULL", loop_fd_adopt_datagram(NULL, -1) == NULL)
MISUSE(loop_fd_adopt_accepted, "the scope is NULL", loop_fd_adopt_accepted(NULL, NULL, -1) == NULL)
MISUSE(loop_fd_send_fds, "the descriptor is NULL",
       loop_fd_send_fds(NULL, "a", 1, &(struct loop_fd *){NULL}, 1, FN) == 0)
MISUSE(loop_fd_borrow, "the scope is NULL", loop_fd_borrow(NULL, 0) == NULL)
MISUSE(loop_fd_use, "the descriptor is NULL", loop_fd_use(NULL) == -EINVAL)
MISUSE_VOID(loop_fd_unuse, "the descriptor is NULL", loop_fd_unuse(NULL))
MISUSE(loop_fd_peek, "the descriptor is NULL", loop_fd_peek(NULL) == -1)
MISUSE(loop_fd_poll_device, "the descriptor is NULL", loop_fd_poll_device(NULL) != NULL)
MISUSE(loop_fd_unpolled_reason, "the descriptor is NULL", loop_fd_unpolled_reason(NULL) != NULL)
MISUSE(loop_fd_is_open, "the descriptor is NULL", !loop_fd_is_open(NULL))
MISUSE(loop_fd_close, "the descriptor is NULL", loop_fd_close(NULL) == -EINVAL)
MISUSE(loop_fd_take, "the descriptor is NULL", loop_fd_take(NULL, FN) == 0)
MISUSE(loop_fd_unread, "the descriptor is NULL", loop_fd_unread(NULL, "", 1) == -EINVAL)
MISUSE(loop_fd_unread_length, "the descriptor is NULL", loop_fd_unread_length(NULL) == 0)
MISUSE(loop_fd_take_unread, "the descriptor is NULL", loop_fd_take_unread(NULL, NULL, 0) == 0)
MISUSE(loop_fd_flow, "the descriptor is NULL", loop_fd_flow(NULL) == NULL)
MISUSE(loop_fd_scope, "the descriptor is NULL", loop_fd_scope(NULL) == NULL)
MISUSE_VOID(loop_fd_pin, "the descriptor is NULL", loop_fd_pin(NULL))
MISUSE_VOID(loop_fd_unpin, "the descriptor is NULL", loop_fd_unpin(NULL))
MISUSE_VOID(loop_fd_share, "the descriptor is NULL", loop_fd_share(NULL))

MISUSE(loop_read, "the source is NULL", loop_read(NULL, NULL, 1, FN) == 0)
MISUSE(loop_read_exact, "the source is NULL", loop_read_exact(NULL, NULL, 1, FN) == 0)
MISUSE(loop_try_read, "the source is NULL", loop_try_read(NULL, NULL, 1) == -EINVAL)
MISUSE(loop_wait_readable, "the source is NULL", loop_wait_readable(NULL, FN) == 0)
MISUSE(loop_source_unread, "the source is NULL", loop_source_unread(NULL, "", 1) == -EINVAL)
MISUSE(loop_stream, "the source is NULL", loop_stream(NULL, FN) == 0)
MISUSE(loop_source_close, "the source is NULL", loop_source_close(NULL) == -EINVAL)
MISUSE(loop_copy, "the source is NULL", loop_copy(NULL, here->out, FN) == 0)
MISUSE(loop_copy, "the sink is NULL", loop_copy(here->in, NULL, FN) == 0)
MISUSE(loop_copy_report, "the source is NULL",
       loop_copy_report(NULL, here->out, &(struct loop_copy_outcome){0}, FN) == 0)
MISUSE(loop_copy_report, "the sink is NULL", loop_copy_report(here->in, NULL, &(struct loop_copy_outcome){0}, FN) == 0)
MISUSE(loop_reader_create, "the source is NULL", loop_reader_create(NULL, 0) == NULL)
MISUSE(loop_write, "the sink is NULL", loop_write(NULL, "", 1, FN) == 0)
MISUSE(loop_writev, "the sink is NULL", loop_writev(NULL, NULL, 0, FN) == 0)
MISUSE(loop_write_chunk, "the sink is NULL",
       loop_write_chunk(NULL, loop_chunk_alloc(here->loop), 1, FN) == 0 &&
           loop_region_avail(here->loop) == loop_region_count(here->loop))
MISUSE(loop_write_chunk, "the chunk is NULL",
       loop_write_chunk(loop_null_sink(here->scope), NULL, 1, once_resumed, &(struct once){0}) != 0)
MISUSE(loop_sink_queued, "the sink is NULL", loop_sink_queued(NULL) == 0)
MISUSE(loop_source_is_readable, "the source is NULL", loop_source_is_readable(NULL))
MISUSE(loop_sink_is_full, "the sink is NULL", loop_sink_is_full(NULL))
MISUSE(loop_sink_limit, "the sink is NULL", loop_sink_limit(NULL, 1) == -EINVAL)
MISUSE(loop_sink_wait_drained, "the sink is NULL", loop_sink_wait_drained(NULL, FN) == 0)
MISUSE(loop_shutdown, "the sink is NULL", loop_shutdown(NULL, FN) == 0)
MISUSE(loop_sink_close, "the sink is NULL", loop_sink_close(NULL) == -EINVAL)
MISUSE(loop_flow_close, "the flow is NULL", loop_flow_close(NULL) == -EINVAL)
MISUSE(loop_memory_data, "the sink is NULL", loop_memory_data(NULL, &(size_t){1}) == NULL)
MISUSE(loop_range_source, "the descriptor is NULL", loop_range_source(here->scope, NULL, 0, 1, &gone.source) == -EINVAL)
MISUSE(loop_range_left, "the source is NULL", loop_range_left(NULL) == 0)
MISUSE(loop_range_left, "not from loop_range_source", loop_range_left(here->in) == 0)
MISUSE(loop_writer_create, "the sink is NULL", loop_writer_create(NULL, 0) == NULL)
#if NORIA_DEBUG /* a release finds another descriptor, or none */
static loop_job read_copy(char *byte)
{
    struct loop_source *source;
    struct loop_sink *sink;

    CHECK_IS(loop_pipe(here->scope, &source, &sink), 0);
    struct loop_source copy = *source;
    return loop_read(&copy, byte, 1, FN);
}

static loop_job write_copy(const char *byte)
{
    struct loop_source *source;
    struct loop_sink *sink;

    CHECK_IS(loop_pipe(here->scope, &source, &sink), 0);
    struct loop_sink copy = *sink;
    return loop_write(&copy, byte, 1, FN);
}

MISUSE(loop_read, "the source is a copy", read_copy(&(char){0}) == 0)
MISUSE(loop_write, "the sink is a copy", write_copy("x") == 0)
#endif
MISUSE(loop_read, "no `read`", loop_read(&(struct loop_source){.scope = here->scope}, NULL, 1, FN) == 0)
MISUSE(loop_write, "no `write`", loop_write(&(struct loop_sink){.scope = here->scope}, NULL, 1, FN) == 0)

MISUSE(loop_chunk_data, "the chunk is NULL", loop_chunk_data(NULL) == NULL)
MISUSE(loop_chunk_length, "the chunk is NULL", loop_chunk_length(NULL) == 0)
MISUSE(loop_chunk_offset, "the chunk is NULL", loop_chunk_offset(NULL) == 0)
MISUSE(loop_chunk_copy_out, "the chunk is NULL", loop_chunk_copy_out(NULL, NULL, 0) == -EINVAL)

/* ---- NULL where something is to be written, or comes from ---- */

MISUSE_JOB(loop_writev, "vectors is NULL", loop_writev(here->out, NULL, 8, REFUSED))
MISUSE(loop_copy_report, "outcome is NULL", loop_copy_report(here->in, here->out, NULL, FN) == 0)
MISUSE(loop_pipe, "source is NULL", loop_pipe(here->scope, NULL, &gone.sink) == -EINVAL)
MISUSE(loop_pipe, "sink is NULL", loop_pipe(here->scope, &gone.source, NULL) == -EINVAL)
MISUSE(loop_range_source, "source is NULL", loop_range_source(here->scope, NULL, 0, 1, NULL) == -EINVAL)
MISUSE(loop_memory_data, "length is NULL", loop_memory_data(loop_memory_sink(here->scope, 8), NULL) == NULL)
MISUSE(loop_chunk_alloc_wait, "chunk is NULL", loop_chunk_alloc_wait(here->scope, NULL, FN) == 0)
MISUSE(loop_chunk_copy_out, "bytes is NULL", loop_chunk_copy_out(loop_chunk_alloc(here->loop), NULL, 8) == -EINVAL)
MISUSE_VOID(loop_get_stats, "statistics is NULL", loop_get_stats(here->loop, NULL))
MISUSE_VOID(loop_saved_mask, "mask is NULL", loop_saved_mask(here->loop, NULL))

/* ---- scopes that have ended ---- */

#define ENDED "opened by loop_scope_open (" AT

static struct loop_waiters waiters;
MISUSE(loop_waiters_add, ENDED, loop_waiters_add(&waiters, gone.scope, FN) == 0)

MISUSE(loop_scope_open, ENDED, loop_scope_open(gone.scope, FN) == NULL)
MISUSE_VOID(loop_scope_cancel, "has ended: ", loop_scope_cancel(gone.scope))
MISUSE_VOID(loop_scope_hold, ENDED, loop_scope_hold(gone.scope))
MISUSE_VOID(loop_scope_unhold, ENDED, loop_scope_unhold(gone.scope))
MISUSE_VOID(loop_scope_deadline, ENDED, loop_scope_deadline(gone.scope, 0))
MISUSE(loop_scope_on_cancel, ENDED, loop_scope_on_cancel(gone.scope, FN) == 0)
MISUSE(loop_scope_defer, ENDED, loop_scope_defer(gone.scope, count_run, NULL) == NULL && n_run == 1)
MISUSE(loop_scope_alloc, ENDED, loop_scope_alloc(gone.scope, 1) == NULL)
MISUSE(loop_scope_is_cancelled, ENDED, loop_scope_is_cancelled(gone.scope))
MISUSE(loop_scope_loop, ENDED, loop_scope_loop(gone.scope) == NULL)
MISUSE(loop_sleep, ENDED, loop_sleep(gone.scope, 0, FN) == 0)
MISUSE(loop_poll_number, ENDED, loop_poll_number(gone.scope, 0, POLLIN, FN) == 0)
MISUSE(loop_signal, ENDED, loop_signal(gone.scope, SIGUSR1, FN) == 0)
MISUSE(loop_promise, ENDED, loop_promise(gone.scope, FN, FN) == 0)
MISUSE(loop_chunk_alloc_wait, ENDED, loop_chunk_alloc_wait(gone.scope, &gone.chunk, FN) == 0)
MISUSE(loop_fd_adopt, ENDED, loop_fd_adopt(gone.scope, -1) == NULL)
MISUSE(loop_fd_borrow, ENDED, loop_fd_borrow(gone.scope, 0) == NULL)
MISUSE(loop_pipe, ENDED, loop_pipe(gone.scope, &gone.source, &gone.sink) == -EINVAL)
MISUSE(loop_memory_source, ENDED, loop_memory_source(gone.scope, "", 0) == NULL)
MISUSE(loop_memory_sink, ENDED, loop_memory_sink(gone.scope, 0) == NULL)

/* ---- descriptors that are gone, and what is part of them ---- */

#define DESTROYED "destroyed by loop_fd_destroy (" AT
#define WENT "went with its scope"

MISUSE(loop_fd_use, DESTROYED, loop_fd_use(gone.fd) == -EINVAL)
MISUSE(loop_fd_use, WENT, loop_fd_use(gone.scopes_fd) == -EINVAL)
MISUSE(loop_fd_close, DESTROYED, loop_fd_close(gone.fd) == -EINVAL)
MISUSE_VOID(loop_fd_destroy, DESTROYED, loop_fd_destroy(gone.fd))
MISUSE_VOID(loop_fd_destroy, WENT, loop_fd_destroy(gone.scopes_fd))
MISUSE(loop_fd_is_open, DESTROYED, !loop_fd_is_open(gone.fd))
MISUSE(loop_fd_peek, DESTROYED, loop_fd_peek(gone.fd) == -1)
MISUSE(loop_fd_take, DESTROYED, loop_fd_take(gone.fd, FN) == 0)
MISUSE(loop_fd_flow, DESTROYED, loop_fd_flow(gone.fd) == NULL)
MISUSE(loop_fd_scope, DESTROYED, loop_fd_scope(gone.fd) == NULL)
MISUSE(loop_fd_unread, DESTROYED, loop_fd_unread(gone.fd, "", 1) == -EINVAL)
MISUSE_VOID(loop_fd_unuse, DESTROYED, loop_fd_unuse(gone.fd))
MISUSE_VOID(loop_fd_pin, DESTROYED, loop_fd_pin(gone.fd))
MISUSE_VOID(loop_fd_unpin, DESTROYED, loop_fd_unpin(gone.fd))
MISUSE(loop_read, DESTROYED, loop_read(gone.source, NULL, 1, FN) == 0)
MISUSE(loop_read_exact, DESTROYED, loop_read_exact(gone.source, NULL, 1, FN) == 0)
MISUSE(loop_try_read, DESTROYED, loop_try_read(gone.source, NULL, 1) == -EINVAL)
MISUSE(loop_wait_readable, DESTROYED, loop_wait_readable(gone.source, FN) == 0)
MISUSE(loop_source_unread, DESTROYED, loop_source_unread(gone.source, "", 1) == -EINVAL)
MISUSE(loop_stream, DESTROYED, loop_stream(gone.source, FN) == 0)
MISUSE(loop_source_close, DESTROYED, loop_source_close(gone.source) == -EINVAL)
MISUSE(loop_copy, DESTROYED, loop_copy(gone.source, here->out, FN) == 0)
MISUSE(loop_copy, DESTROYED, loop_copy(here->in, gone.sink, FN) == 0)
MISUSE(loop_reader_create, DESTROYED, loop_reader_create(gone.source, 0) == NULL)
MISUSE(loop_write, DESTROYED, loop_write(gone.sink, "", 1, FN) == 0)
MISUSE(loop_writev, DESTROYED, loop_writev(gone.sink, NULL, 0, FN) == 0)
MISUSE(loop_write_chunk, DESTROYED,
       loop_write_chunk(gone.sink, loop_chunk_alloc(here->loop), 1, FN) == 0 &&
           loop_region_avail(here->loop) == loop_region_count(here->loop))
MISUSE(loop_sink_queued, DESTROYED, loop_sink_queued(gone.sink) == 0)
MISUSE(loop_source_is_readable, DESTROYED, loop_source_is_readable(gone.source))
MISUSE(loop_sink_is_full, DESTROYED, loop_sink_is_full(gone.sink))
MISUSE(loop_sink_limit, DESTROYED, loop_sink_limit(gone.sink, 1) == -EINVAL)
MISUSE(loop_sink_wait_drained, DESTROYED, loop_sink_wait_drained(gone.sink, FN) == 0)
MISUSE(loop_shutdown, DESTROYED, loop_shutdown(gone.sink, FN) == 0)
MISUSE(loop_sink_close, DESTROYED, loop_sink_close(gone.sink) == -EINVAL)
MISUSE(loop_flow_close, DESTROYED, loop_flow_close(gone.flow) == -EINVAL)
MISUSE(loop_writer_create, DESTROYED, loop_writer_create(gone.sink, 0) == NULL)
MISUSE(loop_read, WENT, loop_read(gone.rest, NULL, 1, FN) == 0)

/* ---- readers and writers ---- */

MISUSE(loop_reader_line, "destroyed by loop_reader_destroy (" AT, loop_reader_line(gone.reader, FN) == 0)
MISUSE(loop_reader_take, WENT, loop_reader_take(gone.scopes_reader, 1, FN) == 0)
MISUSE_VOID(loop_reader_destroy, "destroyed by loop_reader_destroy (" AT, loop_reader_destroy(gone.reader))
MISUSE(loop_writer_append, "destroyed by loop_writer_destroy (" AT, loop_writer_append(gone.writer, "", 1) == -EINVAL)
MISUSE(loop_writer_flush, WENT, loop_writer_flush(gone.scopes_writer, FN) == 0)
MISUSE_VOID(loop_writer_destroy, "destroyed by loop_writer_destroy (" AT, loop_writer_destroy(gone.writer))

#define NO_READER "the reader is NULL"
#define NO_WRITER "the writer is NULL"

__attribute__((format(printf, 1, 2))) static bool print_nowhere(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int answer = loop_writer_vprint(NULL, format, args);
    va_end(args);
    return answer == -EINVAL;
}

MISUSE(loop_reader_line, NO_READER, loop_reader_line(NULL, FN) == 0)
MISUSE(loop_reader_lines, NO_READER, loop_reader_lines(NULL, FN) == 0)
MISUSE(loop_reader_until, NO_READER, loop_reader_until(NULL, "x", 1, FN) == 0)
MISUSE(loop_reader_exact, NO_READER, loop_reader_exact(NULL, 1, FN) == 0)
MISUSE(loop_reader_take, NO_READER, loop_reader_take(NULL, 1, FN) == 0)
MISUSE(loop_reader_all, NO_READER, loop_reader_all(NULL, FN) == 0)
MISUSE(loop_reader_skip, NO_READER, loop_reader_skip(NULL, 1, FN) == 0)
MISUSE(loop_reader_fill, NO_READER, loop_reader_fill(NULL, 1, FN) == 0)
MISUSE(loop_reader_data, NO_READER, strcmp(loop_reader_data(NULL, NULL), "") == 0)
MISUSE(loop_reader_peek, NO_READER, strcmp(loop_reader_peek(NULL, NULL), "") == 0)
MISUSE(loop_reader_consume, NO_READER, loop_reader_consume(NULL, 1) == -EINVAL)
MISUSE(loop_reader_source, NO_READER, loop_reader_source(NULL) == NULL)
MISUSE(loop_writer_append, NO_WRITER, loop_writer_append(NULL, "x", 1) == -EINVAL)
MISUSE(loop_writer_append_borrowed, NO_WRITER, loop_writer_append_borrowed(NULL, "x", 1) == -EINVAL)
MISUSE(loop_writer_print, NO_WRITER, loop_writer_print(NULL, "x") == -EINVAL)
MISUSE(loop_writer_vprint, NO_WRITER, print_nowhere("x"))
MISUSE(loop_writer_flush, NO_WRITER, loop_writer_flush(NULL, FN) == 0)
MISUSE(loop_writer_wait_drained, NO_WRITER, loop_writer_wait_drained(NULL, FN) == 0)
MISUSE(loop_writer_pending, NO_WRITER, loop_writer_pending(NULL) == 0)
MISUSE(loop_writer_is_full, NO_WRITER, loop_writer_is_full(NULL))
MISUSE_VOID(loop_writer_cork, NO_WRITER, loop_writer_cork(NULL))
MISUSE_VOID(loop_writer_uncork, NO_WRITER, loop_writer_uncork(NULL))
MISUSE(loop_writer_shutdown, NO_WRITER, loop_writer_shutdown(NULL, FN) == 0)
MISUSE_VOID(loop_writer_abort, NO_WRITER, loop_writer_abort(NULL))

/* ---- chunks ---- */

#define GIVEN_BACK "given back by loop_chunk_free (" AT

MISUSE(loop_chunk_data, GIVEN_BACK, loop_chunk_data(gone.chunk) == NULL)
MISUSE(loop_chunk_length, GIVEN_BACK, loop_chunk_length(gone.chunk) == 0)
MISUSE(loop_chunk_offset, GIVEN_BACK, loop_chunk_offset(gone.chunk) == 0)
MISUSE(loop_chunk_copy_out, GIVEN_BACK, loop_chunk_copy_out(gone.chunk, NULL, 0) == -EINVAL)
MISUSE(loop_write_chunk, GIVEN_BACK,
       loop_write_chunk(loop_null_sink(here->scope), gone.chunk, 1, once_resumed, &(struct once){0}) != 0)

/* ---- the inbox ---- */

static bool put_once_too_often(void)
{
    struct loop_inbox *inbox = loop_inbox_ref(here->loop);

    loop_inbox_unref(inbox);
    loop_inbox_unref(inbox);
    return true;
}

MISUSE(loop_inbox_unref, "the loop's own", put_once_too_often())

/* ---- the low level, and work ---- */

#define NEITHER "the descriptor is NULL"

static struct loop_open_how how;

static int64_t work_nothing(void *unused)
{
    (void)unused;
    return 0;
}

static void received(void *once, int64_t result, void *bytes)
{
    (void)bytes;
    once_resumed(once, result);
}

MISUSE(loop_op_nop, "the scope is NULL", loop_op_nop(NULL, FN) == 0)
MISUSE(loop_op_cancel, "the scope is NULL", loop_op_cancel(NULL, 1, FN) == 0)
MISUSE(loop_op_timeout, "the scope is NULL", loop_op_timeout(NULL, 0, FN) == 0)
MISUSE(loop_op_openat2, NEITHER, loop_op_openat2(NULL, "/", &how, once_resumed, NULL) == 0)
MISUSE(loop_op_statx, NEITHER, loop_op_statx(NULL, NULL, "/", 0, 0, NULL, FN) == 0)
MISUSE(loop_op_read, NEITHER, loop_op_read(NULL, NULL, NULL, 0, 0, FN) == 0)
MISUSE(loop_op_readv, NEITHER, loop_op_readv(NULL, NULL, NULL, 0, 0, FN) == 0)
MISUSE(loop_op_write, NEITHER, loop_op_write(NULL, NULL, NULL, 0, 0, FN) == 0)
MISUSE(loop_op_writev, NEITHER, loop_op_writev(NULL, NULL, NULL, 0, 0, FN) == 0)
MISUSE(loop_op_read_fixed, NEITHER, loop_op_read_fixed(NULL, NULL, 0, 0, 0, FN) == 0)
MISUSE(loop_op_write_fixed, NEITHER, loop_op_write_fixed(NULL, NULL, 0, 0, 0, FN) == 0)
MISUSE(loop_op_read_chunk, NEITHER, loop_op_read_chunk(NULL, NULL, NULL, 0, 0, FN) == 0)
MISUSE(loop_op_write_chunk, NEITHER, loop_op_write_chunk(NULL, NULL, NULL, 0, 0, FN) == 0)
MISUSE(loop_op_poll_add, NEITHER, loop_op_poll_add(NULL, NULL, POLLIN, FN) == 0)
MISUSE(loop_op_poll_multishot, NEITHER, loop_op_poll_multishot(NULL, NULL, FN) == 0)
MISUSE(loop_op_splice, NEITHER, loop_op_splice(NULL, NULL, 0, NULL, 0, 1, FN) == 0)
MISUSE(loop_op_connect, NEITHER, loop_op_connect(NULL, NULL, NULL, 0, FN) == 0)
MISUSE(loop_op_accept, NEITHER, loop_op_accept(NULL, NULL, NULL, NULL, FN) == 0)
MISUSE(loop_op_accept_multishot, NEITHER, loop_op_accept_multishot(NULL, NULL, FN) == 0)
MISUSE(loop_op_recv_multishot, NEITHER, loop_op_recv_multishot(NULL, NULL, NULL, FN) == 0)
MISUSE(loop_op_recv, NEITHER, loop_op_recv(NULL, NULL, NULL, 0, 0, FN) == 0)
MISUSE(loop_op_send, NEITHER, loop_op_send(NULL, NULL, NULL, 0, 0, FN) == 0)
MISUSE(loop_op_send_msg, NEITHER, loop_op_send_msg(NULL, NULL, NULL, FN) == 0)
MISUSE(loop_op_recv_msg, NEITHER, loop_op_recv_msg(NULL, NULL, NULL, FN) == 0)
MISUSE(loop_op_shutdown, NEITHER, loop_op_shutdown(NULL, NULL, SHUT_WR, FN) == 0)
MISUSE(loop_op_close, NEITHER, loop_op_close(NULL, NULL, FN) == 0)
MISUSE(loop_op_fsync, NEITHER, loop_op_fsync(NULL, NULL, 0, FN) == 0)
MISUSE(loop_poll, NEITHER, loop_poll(NULL, POLLIN, FN) == 0)
MISUSE(loop_work, NEITHER, loop_work(NULL, work_nothing, NULL, FN) == 0)
MISUSE(loop_work_with, NEITHER, loop_work_with(NULL, NULL, work_nothing, NULL, FN) == 0)
MISUSE(loop_work_outcome, "the loop is NULL", loop_work_outcome(NULL, 0) == LOOP_WORK_UNKNOWN)
MISUSE(loop_buffers_create, "the scope is NULL", loop_buffers_create(NULL, 1, 1) == NULL)
MISUSE(loop_buffers_recycle, "group of buffers is NULL", loop_buffers_recycle(NULL, NULL) == -EINVAL)
MISUSE(loop_buffers_avail, "group of buffers is NULL", loop_buffers_avail(NULL) == 0)

/* A scope is no descriptor. */
MISUSE_JOB(loop_op_read, NEITHER, loop_op_read(here->scope, NULL, NULL, 0, 0, REFUSED))
MISUSE_JOB(loop_op_readv, NEITHER, loop_op_readv(here->scope, NULL, NULL, 0, 0, REFUSED))
MISUSE_JOB(loop_op_write, NEITHER, loop_op_write(here->scope, NULL, NULL, 0, 0, REFUSED))
MISUSE_JOB(loop_op_writev, NEITHER, loop_op_writev(here->scope, NULL, NULL, 0, 0, REFUSED))
MISUSE_JOB(loop_op_read_fixed, NEITHER, loop_op_read_fixed(here->scope, NULL, 0, 0, 0, REFUSED))
MISUSE_JOB(loop_op_write_fixed, NEITHER, loop_op_write_fixed(here->scope, NULL, 0, 0, 0, REFUSED))
MISUSE_JOB(loop_op_read_chunk, NEITHER, loop_op_read_chunk(here->scope, NULL, NULL, 0, 0, REFUSED))
MISUSE_JOB(loop_op_write_chunk, NEITHER, loop_op_write_chunk(here->scope, NULL, NULL, 0, 0, REFUSED))
MISUSE_JOB(loop_op_poll_add, NEITHER, loop_op_poll_add(here->scope, NULL, POLLIN, REFUSED))
MISUSE_JOB(loop_op_poll_multishot, NEITHER, loop_op_poll_multishot(here->scope, NULL, REFUSED))
MISUSE_JOB(loop_op_splice, NEITHER, loop_op_splice(here->scope, NULL, 0, NULL, 0, 1, REFUSED))
MISUSE_JOB(loop_op_splice, NEITHER, loop_op_splice(here->scope, loop_fd_borrow(here->scope, 0), 0, NULL, 0, 1, REFUSED))
MISUSE_JOB(loop_op_connect, NEITHER, loop_op_connect(here->scope, NULL, NULL, 0, REFUSED))
MISUSE_JOB(loop_op_accept, NEITHER, loop_op_accept(here->scope, NULL, NULL, NULL, REFUSED))
MISUSE_JOB(loop_op_accept_multishot, NEITHER, loop_op_accept_multishot(here->scope, NULL, REFUSED))
MISUSE_JOB(loop_op_recv_multishot, NEITHER,
           loop_op_recv_multishot(here->scope, NULL, loop_buffers_create(here->scope, 1, 64), received, &refused))
MISUSE_JOB(loop_op_recv, NEITHER, loop_op_recv(here->scope, NULL, NULL, 0, 0, REFUSED))
MISUSE_JOB(loop_op_send, NEITHER, loop_op_send(here->scope, NULL, NULL, 0, 0, REFUSED))
MISUSE_JOB(loop_op_send_msg, NEITHER, loop_op_send_msg(here->scope, NULL, NULL, REFUSED))
MISUSE_JOB(loop_op_recv_msg, NEITHER, loop_op_recv_msg(here->scope, NULL, NULL, REFUSED))
MISUSE_JOB(loop_op_shutdown, NEITHER, loop_op_shutdown(here->scope, NULL, SHUT_WR, REFUSED))
MISUSE_JOB(loop_op_close, NEITHER, loop_op_close(here->scope, NULL, REFUSED))
MISUSE_JOB(loop_op_fsync, NEITHER, loop_op_fsync(here->scope, NULL, 0, REFUSED))

MISUSE(loop_op_nop, ENDED, loop_op_nop(gone.scope, FN) == 0)
MISUSE(loop_op_timeout, ENDED, loop_op_timeout(gone.scope, 0, FN) == 0)
MISUSE(loop_op_openat2, ENDED, loop_op_openat2(gone.scope, "/", &how, once_resumed, NULL) == 0)
MISUSE(loop_work, ENDED, loop_work(gone.scope, work_nothing, NULL, FN) == 0)
MISUSE(loop_op_read, DESTROYED, loop_op_read(NULL, gone.fd, NULL, 0, 0, FN) == 0)
MISUSE(loop_op_read, DESTROYED, loop_op_read(here->scope, gone.fd, NULL, 0, 0, FN) == 0)
MISUSE(loop_op_read_fixed, DESTROYED, loop_op_read_fixed(NULL, gone.fd, 0, 0, 0, FN) == 0)
MISUSE(loop_op_poll_add, DESTROYED, loop_op_poll_add(NULL, gone.fd, POLLIN, FN) == 0)
MISUSE(loop_op_poll_multishot, DESTROYED, loop_op_poll_multishot(NULL, gone.fd, FN) == 0)
MISUSE(loop_op_splice, DESTROYED, loop_op_splice(here->scope, gone.fd, 0, gone.fd, 0, 1, FN) == 0)
MISUSE(loop_op_recv_multishot, DESTROYED, loop_op_recv_multishot(NULL, gone.fd, NULL, FN) == 0)
MISUSE(loop_op_send_msg, DESTROYED, loop_op_send_msg(NULL, gone.fd, NULL, FN) == 0)
MISUSE(loop_op_shutdown, DESTROYED, loop_op_shutdown(NULL, gone.fd, SHUT_WR, FN) == 0)
MISUSE(loop_op_close, DESTROYED, loop_op_close(NULL, gone.fd, FN) == 0)
MISUSE(loop_op_fsync, WENT, loop_op_fsync(NULL, gone.scopes_fd, 0, FN) == 0)
MISUSE(loop_poll, DESTROYED, loop_poll(gone.fd, POLLIN, FN) == 0)
MISUSE(loop_work_with, DESTROYED,
       loop_work_with(here->scope, &(struct loop_work_options){.fd = gone.fd}, work_nothing, NULL, FN) == 0)
MISUSE(loop_work_with, DESTROYED,
       loop_work_with(here->scope, &(struct loop_work_options){.second = gone.fd}, work_nothing, NULL, FN) == 0)
