/* SPDX-License-Identifier: ISC
 *
 * Each waiting operation when it is cancelled, when its scope ends, and when its descriptor is closed.
 */
#include "harness.h"

/* ---- shutdown, close, cancel, timeout ---- */

LOOP_TEST(cancel_as_a_job)
{
    static struct once target;
    static loop_job job;

    BEGIN;
    job = START(loop_sleep(env->scope, LOOP_NEVER, ONCE(&target)));
    AWAIT(loop_op_cancel(env->scope, job, GO));
    CHECK_IS(result, 0);
    WAIT_UNTIL(target.count);
    ONCE_IS(target, -ECANCELED);
    AWAIT(loop_op_cancel(env->scope, job, GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(loop_op_cancel(env->scope, 0, GO));
    CHECK_IS(result, -ENOENT);
    AWAIT(loop_op_cancel(env->scope, UINT64_MAX, GO));
    CHECK_IS(result, -ENOENT);
    END;
}

/* ---- cancel of each that can wait ---- */

static struct loop_flow *waiting[2];
static struct loop_fd *waiting_pipe[2], *waiting_listener, *waiting_full;
static struct loop_chunk *waiting_chunk;
static struct loop_buffers *waiting_buffers;
static char waiting_bytes[64];
static struct iovec waiting_vector = {waiting_bytes, 64};
static struct loop_message waiting_message;

static loop_job wait_read(loop_fn *fn, void *arg)
{
    return loop_op_read(NULL, waiting[0]->fd, waiting_bytes, 64, LOOP_CURRENT, fn, arg);
}

static loop_job wait_read_pipe(loop_fn *fn, void *arg)
{
    return loop_op_read(NULL, waiting_pipe[0], waiting_bytes, 64, LOOP_CURRENT, fn, arg);
}

static loop_job wait_readv(loop_fn *fn, void *arg)
{
    return loop_op_readv(NULL, waiting[0]->fd, &waiting_vector, 1, LOOP_CURRENT, fn, arg);
}

static loop_job wait_read_chunk(loop_fn *fn, void *arg)
{
    return loop_op_read_chunk(NULL, waiting_pipe[0], waiting_chunk, 64, LOOP_CURRENT, fn, arg);
}

static loop_job wait_write(loop_fn *fn, void *arg)
{
    return loop_op_write(NULL, waiting_full, waiting_bytes, 64, LOOP_CURRENT, fn, arg);
}

static loop_job wait_writev(loop_fn *fn, void *arg)
{
    return loop_op_writev(NULL, waiting_full, &waiting_vector, 1, LOOP_CURRENT, fn, arg);
}

static loop_job wait_recv(loop_fn *fn, void *arg)
{
    return loop_op_recv(NULL, waiting[0]->fd, waiting_bytes, 64, 0, fn, arg);
}

static loop_job wait_send(loop_fn *fn, void *arg)
{
    return loop_op_send(NULL, waiting_full, waiting_bytes, 64, 0, fn, arg);
}

static loop_job wait_recv_msg(loop_fn *fn, void *arg)
{
    return loop_op_recv_msg(NULL, waiting[0]->fd, &waiting_message, fn, arg);
}

static loop_job wait_send_msg(loop_fn *fn, void *arg)
{
    return loop_op_send_msg(NULL, waiting_full, &waiting_message, fn, arg);
}

static loop_job wait_poll(loop_fn *fn, void *arg)
{
    return loop_op_poll_add(NULL, waiting[0]->fd, POLLIN, fn, arg);
}

static loop_job wait_accept(loop_fn *fn, void *arg)
{
    return loop_op_accept(NULL, waiting_listener, NULL, NULL, fn, arg);
}

static loop_job wait_accept_multishot(loop_fn *fn, void *arg)
{
    return loop_op_accept_multishot(NULL, waiting_listener, fn, arg);
}

static loop_job wait_splice(loop_fn *fn, void *arg)
{
    return loop_op_splice(NULL, waiting[0]->fd, LOOP_CURRENT, waiting_pipe[1], LOOP_CURRENT, 64, fn, arg);
}

static loop_job (*const waits[])(loop_fn *fn, void *arg) = {
    wait_read, wait_read_pipe, wait_readv,    wait_read_chunk, wait_write,  wait_writev,           wait_recv,
    wait_send, wait_recv_msg,  wait_send_msg, wait_poll,       wait_accept, wait_accept_multishot, wait_splice};

static void make_waiting(struct loop_scope *scope)
{
    struct sockaddr_in address;
    int fds[2];

    make_flows(scope, waiting);
    make_pipe(fds);
    waiting_pipe[0] = adopt(scope, fds[0]);
    waiting_pipe[1] = adopt(scope, fds[1]);
    waiting_listener = adopt(scope, make_listener(&address));
    make_pair(fds);
    waiting_full = adopt(scope, fds[0]);
    stuff(fds[0]);
    adopt(scope, fds[1]);
    waiting_chunk = loop_chunk_alloc(loop_scope_loop(scope));
    waiting_buffers = loop_buffers_create(scope, 4, 64);
    waiting_message = (struct loop_message){.iov = &waiting_vector, .n_iov = 1};
}

/* At once, before it can have been submitted, and after it has waited for a while. */
LOOP_TEST(every_operation_that_waits_can_be_cancelled)
{
    static struct once ended;
    static loop_job job;
    static unsigned i, delay;

    BEGIN;
    make_waiting(env->scope);
    for (delay = 0; delay < 4; delay++) {
        for (i = 0; i < COUNT_OF(waits); i++) {
            memset(&ended, 0, sizeof ended);
            job = START(waits[i](ONCE(&ended)));
            if (delay > 0) {
                AWAIT(turns(env->scope, delay, GO));
            }
            CHECK_IS(ended.count, 0);
            CHECK_IS(loop_cancel(env->loop, job), 0);
            CHECK_IS(loop_cancel(env->loop, job), -ENOENT);
            WAIT_UNTIL(ended.count);
            if (ended.result != -ECANCELED) {
                ck_abort_msg("operation %u, after %u turns: %lld", i, delay, (long long)ended.result);
            }
        }
    }
    CHECK_IS(loop_chunk_free(env->loop, waiting_chunk), 0);
    END;
}

static void cancel_their_scope(struct loop_scope *scope)
{
    loop_scope_cancel(scope);
}

static void close_their_descriptors(struct loop_scope *scope)
{
    (void)scope;
    loop_fd_close(waiting[0]->fd);
    loop_fd_close(waiting_pipe[0]);
    loop_fd_close(waiting_listener);
    loop_fd_close(waiting_full);
}

static void (*const ends[])(struct loop_scope *scope) = {cancel_their_scope, close_their_descriptors};

LOOP_TEST_ROWS(every_operation_that_waits_ends_with_its_scope_and_when_its_descriptors_close, COUNT_OF(ends))
{
    static struct loop_scope *scope;
    static struct once ended, scope_ended;
    static unsigned i, delay;

    BEGIN;
    for (delay = 0; delay < 3; delay++) {
        for (i = 0; i < COUNT_OF(waits); i++) {
            memset(&ended, 0, sizeof ended);
            memset(&scope_ended, 0, sizeof scope_ended);
            scope = loop_scope_open(env->scope, ONCE(&scope_ended));
            make_waiting(scope);
            START(waits[i](ONCE(&ended)));
            if (delay > 0) {
                AWAIT(turns(env->scope, delay, GO));
            }
            ends[script.row](scope);
            WAIT_UNTIL(scope_ended.count);
            ONCE_IS(ended, -ECANCELED);
            CHECK_IS(loop_chunk_free(env->loop, waiting_chunk), 0);
        }
    }
    END;
}

/* Its data comes in the same turn as the cancel: what won is delivered, and nothing is lost. */
LOOP_TEST(every_read_against_its_data)
{
    static loop_job (*const reads[])(loop_fn *, void *) = {wait_read, wait_readv, wait_recv, wait_recv_msg};
    static struct once ended;
    static loop_job job;
    static unsigned i, round;
    static char got[8];

    BEGIN;
    make_waiting(env->scope);
    for (round = 0; round < 40; round++) {
        for (i = 0; i < COUNT_OF(reads); i++) {
            memset(&ended, 0, sizeof ended);
            waiting_message = (struct loop_message){.iov = &waiting_vector, .n_iov = 1};
            job = START(reads[i](ONCE(&ended)));
            if (round % 2) {
                AWAIT(turns(env->scope, 2, GO));
            }
            CHECK_IS(send(loop_fd_peek(waiting[1]->fd), "d", 1, 0), 1);
            loop_cancel(env->loop, job);
            WAIT_UNTIL(ended.count);
            CHECK(ended.result == 1 || ended.result == -ECANCELED);
            if (ended.result < 0) {
                AWAIT(loop_op_recv(NULL, waiting[0]->fd, got, 8, 0, GO));
                CHECK_IS(result, 1);
            }
        }
    }
    CHECK_IS(loop_chunk_free(env->loop, waiting_chunk), 0);
    END;
}

LOOP_TEST(an_operation_in_another_scope_than_its_descriptor)
{
    static struct loop_scope *scope;
    static struct loop_flow *flows[2];
    static struct once ended, read;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    scope = loop_scope_open(env->scope, ONCE(&ended));
    START(loop_op_recv(scope, flows[0]->fd, &byte, 1, 0, ONCE(&read)));
    AWAIT(turns(env->scope, 2, GO));
    loop_scope_cancel(scope);
    WAIT_UNTIL(ended.count);
    ONCE_IS(read, -ECANCELED);
    CHECK(loop_fd_is_open(flows[0]->fd));
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "x", 1, 0), 1);
    AWAIT(loop_op_recv(NULL, flows[0]->fd, &byte, 1, 0, GO));
    CHECK_IS(result, 1);
    END;
}
