/* SPDX-License-Identifier: ISC
 *
 * Closing a descriptor (P6): jobs in flight end first, later calls fail, and the descriptor's number is released last.
 */
#include "sockets.h"

/* ---- P6: descriptors ---- */

LOOP_TEST(p06_a_closed_fd_takes_nothing_new)
{
    static struct loop_flow *flows[2];
    static struct loop_fd *fd;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    fd = flows[0]->fd;
    CHECK(loop_fd_is_open(fd));
    CHECK(loop_fd_peek(fd) >= 0);
    CHECK_IS(loop_fd_close(fd), 0);
    CHECK(!loop_fd_is_open(fd));
    CHECK_IS(loop_fd_peek(fd), -1);
    CHECK_IS(loop_fd_use(fd), -EBADF);
    AWAIT(loop_read(&flows[0]->source, &byte, 1, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_write(&flows[0]->sink, "x", 1, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_poll(fd, POLLIN, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_shutdown(&flows[0]->sink, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_op_send(NULL, fd, "x", 1, 0, GO));
    CHECK_IS(result, -EBADF);
    END;
}

LOOP_TEST(p06_a_second_close_is_harmless)
{
    static struct loop_flow *flows[2];

    BEGIN;
    make_flows(env->scope, flows);
    CHECK_IS(loop_fd_close(flows[0]->fd), 0);
    CHECK_IS(loop_fd_close(flows[0]->fd), -EBADF);
    CHECK_IS(loop_flow_close(flows[0]), -EBADF);
    CHECK_IS(loop_source_close(&flows[0]->source), -EBADF);
    CHECK_IS(loop_sink_close(&flows[0]->sink), -EBADF);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_fd_close(flows[0]->fd), -EBADF);
    CHECK_IS(loop_source_close(&flows[1]->source), 0);
    CHECK_IS(loop_sink_close(&flows[1]->sink), -EBADF);
    AWAIT(loop_op_close(env->scope, flows[1]->fd, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_fd_take(flows[1]->fd, GO));
    CHECK_IS(result, -EBADF);
    END;
}

static int closing_number;
static bool was_open_when_resumed;
static struct once closing_read;

static void note_open(void *unused, int64_t result)
{
    (void)unused;
    was_open_when_resumed = is_open(closing_number);
    once_resumed(&closing_read, result);
}

LOOP_TEST(p06_what_is_in_flight_ends_before_the_number_is_given_back)
{
    static struct loop_flow *flows[2];
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    closing_number = loop_fd_peek(flows[0]->fd);
    START(loop_read(&flows[0]->source, &byte, 1, note_open, NULL));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_fd_close(flows[0]->fd), 0);
    CHECK(is_open(closing_number));
    CHECK_IS(closing_read.count, 0);
    AWAIT(loop_read(&flows[1]->source, &byte, 1, GO));
    CHECK_IS(result, 0);
    ONCE_IS(closing_read, -ECANCELED);
    CHECK(was_open_when_resumed);
    CHECK(!is_open(closing_number));
    END;
}

LOOP_TEST(p06_what_is_not_yet_submitted_counts_as_use)
{
    static struct loop_flow *flows[2];
    static struct once op, send;
    static int number;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    number = loop_fd_peek(flows[0]->fd);
    START(loop_op_recv(NULL, flows[0]->fd, &byte, 1, 0, ONCE(&op)));
    START(loop_op_send(NULL, flows[0]->fd, "x", 1, 0, ONCE(&send)));
    CHECK_IS(loop_fd_close(flows[0]->fd), 0);
    CHECK(is_open(number));
    WAIT_UNTIL(op.count && send.count);
    ONCE_IS(op, -ECANCELED);
    CHECK(send.result == 1 || send.result == -ECANCELED);
    AWAIT(turns(env->scope, 3, GO));
    CHECK(!is_open(number));
    END;
}

LOOP_TEST(p06_a_used_number_stays_open)
{
    static struct loop_flow *flows[2];
    static struct once read;
    static int number;
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    number = loop_fd_use(flows[0]->fd);
    CHECK_IS(number, loop_fd_peek(flows[0]->fd));
    START(loop_read(&flows[1]->source, &byte, 1, ONCE(&read)));
    CHECK_IS(loop_fd_close(flows[0]->fd), 0);
    AWAIT(turns(env->scope, 5, GO));
    CHECK(is_open(number));
    CHECK_IS(read.count, 0);
    CHECK_IS(send(number, "x", 1, 0), 1);
    loop_fd_unuse(flows[0]->fd);
    WAIT_UNTIL(read.count);
    ONCE_IS(read, 1);
    AWAIT(loop_read(&flows[1]->source, &byte, 1, GO));
    CHECK_IS(result, 0);
    CHECK(!is_open(number));
    END;
}

LOOP_TEST(p06_closing_a_borrowed_one_ends_what_is_in_flight)
{
    static struct loop_fd *fd;
    static struct once pending;
    static int fds[2];
    static char byte;

    BEGIN;
    make_pipe(fds);
    fd = loop_fd_borrow(env->scope, fds[0]);
    START(loop_read(&loop_fd_flow(fd)->source, &byte, 1, ONCE(&pending)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_fd_close(fd), 0);
    WAIT_UNTIL(pending.count);
    ONCE_IS(pending, -ECANCELED);
    AWAIT(turns(env->scope, 3, GO));
    CHECK(is_open(fds[0]));
    CHECK_IS(write(fds[1], "z", 1), 1);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(read(fds[0], &byte, 1), 1);
    close(fds[0]);
    close(fds[1]);
    END;
}

LOOP_TEST(p06_the_next_file_with_the_same_number_is_left_alone)
{
    static struct loop_flow *flows[2], *next;
    static int number, fds[2];
    static char byte;

    BEGIN;
    make_flows(env->scope, flows);
    number = loop_fd_peek(flows[0]->fd);
    loop_fd_close(flows[0]->fd);
    AWAIT(loop_read(&flows[1]->source, &byte, 1, GO));
    CHECK_IS(result, 0);
    make_pair(fds);
    CHECK(fds[0] == number || fds[1] == number);
    next = flow_of(env->scope, number);
    CHECK_IS(send(fds[0] == number ? fds[1] : fds[0], "n", 1, 0), 1);
    AWAIT(loop_read(&flows[0]->source, &byte, 1, GO));
    CHECK_IS(result, -EBADF);
    CHECK_IS(loop_fd_close(flows[0]->fd), -EBADF);
    AWAIT(turns(env->scope, 3, GO));
    AWAIT(loop_read(&next->source, &byte, 1, GO));
    CHECK_IS(result, 1);
    close(fds[0] == number ? fds[1] : fds[0]);
    END;
}

LOOP_TEST(p06_close_ends_every_waiter_in_order)
{
    enum { N = 20 };
    static struct loop_flow *flows[2];
    static struct once reads[N];
    static char bytes[N];

    BEGIN;
    make_flows(env->scope, flows);
    for (int i = 0; i < N; i++) {
        START(loop_read(&flows[0]->source, &bytes[i], 1, ONCE(&reads[i])));
    }
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(loop_fd_close(flows[0]->fd), 0);
    WAIT_UNTIL(reads[N - 1].count);
    for (int i = 0; i < N; i++) {
        ONCE_IS(reads[i], -ECANCELED);
        CHECK(i == 0 || reads[i].order > reads[i - 1].order);
    }
    END;
}

static struct loop_flow *self_flow;
static struct once self_read;

static void close_own(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(loop_flow_close(self_flow), 0);
    once_resumed(&self_read, result);
}

LOOP_TEST(p06_a_continuation_closes_its_own_fd)
{
    static struct loop_flow *flows[2];
    static char bytes[2];

    BEGIN;
    make_flows(env->scope, flows);
    self_flow = flows[0];
    START(loop_read(&flows[0]->source, bytes, 1, close_own, NULL));
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "x", 1, 0), 1);
    WAIT_UNTIL(self_read.count);
    ONCE_IS(self_read, 1);
    AWAIT(loop_read(&flows[1]->source, bytes, 1, GO));
    CHECK_IS(result, 0);
    END;
}

static struct record own_record;

static void close_own_stream(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    record_stream(&own_record, result, chunk);
    if (chunk) {
        CHECK_IS(loop_flow_close(self_flow), 0);
    }
}

LOOP_TEST(p06_a_stream_closes_its_own_fd)
{
    static struct loop_flow *flows[2];
    static char bytes[16];

    BEGIN;
    own_record.data = bytes;
    own_record.room = sizeof bytes;
    make_flows(env->scope, flows);
    self_flow = flows[0];
    START(loop_stream(&flows[0]->source, close_own_stream, NULL));
    CHECK_IS(send(loop_fd_peek(flows[1]->fd), "some", 4, 0), 4);
    WAIT_UNTIL(own_record.ends);
    CHECK_IS(own_record.end, -ECANCELED);
    CHECK_IS(own_record.chunks, 1);
    END;
}

/* ---- closed in the middle of every operation ---- */

/* One operation on `fd` that cannot end by itself: its scope and flow, and how its result arrives. */
struct blocked {
    struct loop_scope *scope; /* of the operation */
    struct loop_flow *flow;   /* to be closed */
    struct loop_flow *other;
    int peer;
    struct once end;
};

static void on_stream_end(void *arg, int64_t result, struct loop_chunk *chunk)
{
    CHECK(!chunk);
    once_resumed(arg, result);
}

static void on_receive_end(void *arg, int64_t result, void *data)
{
    CHECK(!data);
    once_resumed(arg, result);
}

static char scratch[16];
static struct tally unheard; /* writes of which only the end counts */

static loop_job block_read(struct blocked *this)
{
    return loop_read(&this->flow->source, scratch, sizeof scratch, ONCE(&this->end));
}

static loop_job block_exact(struct blocked *this)
{
    return loop_read_exact(&this->flow->source, scratch, sizeof scratch, ONCE(&this->end));
}

static loop_job block_stream(struct blocked *this)
{
    return loop_stream(&this->flow->source, on_stream_end, &this->end);
}

static loop_job block_paused_stream(struct blocked *this)
{
    loop_job job = block_stream(this);

    CHECK_IS(loop_pause(loop_scope_loop(this->scope), job), 0);
    CHECK_IS(send(this->peer, "x", 1, 0), 1);
    return job;
}

static loop_job block_write(struct blocked *this)
{
    stuff(loop_fd_peek(this->flow->fd));
    return loop_write(&this->flow->sink, scratch, sizeof scratch, ONCE(&this->end));
}

static loop_job block_write_chunk(struct blocked *this)
{
    struct loop_chunk *chunk = loop_chunk_alloc(loop_scope_loop(this->scope));

    stuff(loop_fd_peek(this->flow->fd));
    CHECK(chunk != NULL);
    return loop_write_chunk(&this->flow->sink, chunk, 16, ONCE(&this->end));
}

static loop_job block_shutdown(struct blocked *this)
{
    stuff(loop_fd_peek(this->flow->fd));
    loop_write(&this->flow->sink, scratch, sizeof scratch, TALLY(&unheard));
    return loop_shutdown(&this->flow->sink, ONCE(&this->end));
}

static loop_job block_drained(struct blocked *this)
{
    stuff(loop_fd_peek(this->flow->fd));
    CHECK_IS(loop_sink_limit(&this->flow->sink, 10), 0);
    loop_write(&this->flow->sink, scratch, sizeof scratch, TALLY(&unheard));
    return loop_sink_wait_drained(&this->flow->sink, ONCE(&this->end));
}

static loop_job block_copy_from(struct blocked *this)
{
    return loop_copy(&this->flow->source, &this->other->sink, ONCE(&this->end));
}

static loop_job block_copy_to(struct blocked *this)
{
    stuff(loop_fd_peek(this->flow->fd));
    loop_write(&this->other->sink, scratch, sizeof scratch, NULL, NULL);
    return loop_copy(&this->other->source, &this->flow->sink, ONCE(&this->end));
}

static loop_job block_copy_between(struct blocked *this)
{
    stuff(loop_fd_peek(this->flow->fd));
    return loop_copy(&this->flow->source, &this->flow->sink, ONCE(&this->end));
}

static loop_job block_poll(struct blocked *this)
{
    return loop_poll(this->flow->fd, POLLIN, ONCE(&this->end));
}

static loop_job block_op_poll(struct blocked *this)
{
    return loop_op_poll_add(this->scope, this->flow->fd, POLLIN, ONCE(&this->end));
}

static loop_job block_op_read(struct blocked *this)
{
    return loop_op_read(this->scope, this->flow->fd, scratch, 1, LOOP_CURRENT, ONCE(&this->end));
}

static loop_job block_op_write(struct blocked *this)
{
    stuff(loop_fd_peek(this->flow->fd));
    return loop_op_write(this->scope, this->flow->fd, "x", 1, LOOP_CURRENT, ONCE(&this->end));
}

static loop_job block_recv(struct blocked *this)
{
    return loop_op_recv(this->scope, this->flow->fd, scratch, 1, 0, ONCE(&this->end));
}

static loop_job block_send(struct blocked *this)
{
    stuff(loop_fd_peek(this->flow->fd));
    return loop_op_send(this->scope, this->flow->fd, "x", 1, 0, ONCE(&this->end));
}

static struct iovec message_iov = {scratch, sizeof scratch};
static struct loop_message message = {.iov = &message_iov, .n_iov = 1};

static loop_job block_recv_msg(struct blocked *this)
{
    return loop_op_recv_msg(this->scope, this->flow->fd, &message, ONCE(&this->end));
}

static loop_job block_send_msg(struct blocked *this)
{
    stuff(loop_fd_peek(this->flow->fd));
    return loop_op_send_msg(this->scope, this->flow->fd, &message, ONCE(&this->end));
}

static loop_job block_multishot(struct blocked *this)
{
    struct loop_buffers *buffers = loop_buffers_create(this->scope, 2, 64);

    return loop_op_recv_multishot(this->scope, this->flow->fd, buffers, on_receive_end, &this->end);
}

/* For these the flow is a listener, or a socket that isn't connected yet. */
static void replace_fd(struct blocked *this, int fd)
{
    loop_fd_destroy(this->flow->fd);
    this->flow = flow_of(this->scope, fd);
}

static loop_job block_accept(struct blocked *this)
{
    struct sockaddr_in address;

    replace_fd(this, make_listener(&address));
    return loop_op_accept(this->scope, this->flow->fd, NULL, NULL, ONCE(&this->end));
}

static loop_job block_accept_multishot(struct blocked *this)
{
    struct sockaddr_in address;

    replace_fd(this, make_listener(&address));
    return loop_op_accept_multishot(this->scope, this->flow->fd, ONCE(&this->end));
}

/* A Unix socket's connect waits while the listener's backlog is full, and so does a TCP one's. */
static loop_job block_connect(struct blocked *this)
{
    struct sockaddr_in address;
    int listener = make_listener(&address);

    CHECK_IS(listen(listener, 0), 0);
    adopt(this->scope, listener);
    for (int i = 0; i < 2; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        connect(fd, (struct sockaddr *)&address, sizeof address);
        adopt(this->scope, fd);
    }
    replace_fd(this, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    return loop_op_connect(this->scope, this->flow->fd, (struct sockaddr *)&address, sizeof address, ONCE(&this->end));
}

/* From the socket into a pipe, and from a pipe into the socket. */
static loop_job block_splice_from(struct blocked *this)
{
    int fds[2];

    make_pipe(fds);
    adopt(this->scope, fds[0]);
    return loop_op_splice(this->scope, this->flow->fd, LOOP_CURRENT, adopt(this->scope, fds[1]), LOOP_CURRENT, 100,
                          ONCE(&this->end));
}

static loop_job block_splice_to(struct blocked *this)
{
    int fds[2];

    make_pipe(fds);
    CHECK_IS(write(fds[1], "bytes", 5), 5);
    adopt(this->scope, fds[1]);
    stuff(loop_fd_peek(this->flow->fd));
    return loop_op_splice(this->scope, adopt(this->scope, fds[0]), LOOP_CURRENT, this->flow->fd, LOOP_CURRENT, 5,
                          ONCE(&this->end));
}

static const struct blocker {
    const char *name;
    loop_job (*start)(struct blocked *this);
} blockers[] = {
    {"read", block_read},
    {"read_exact", block_exact},
    {"stream", block_stream},
    {"paused stream", block_paused_stream},
    {"write", block_write},
    {"write_chunk", block_write_chunk},
    {"shutdown", block_shutdown},
    {"drained", block_drained},
    {"copy from", block_copy_from},
    {"copy to", block_copy_to},
    {"copy back", block_copy_between},
    {"poll", block_poll},
    {"op_poll_add", block_op_poll},
    {"op_read", block_op_read},
    {"op_write", block_op_write},
    {"op_recv", block_recv},
    {"op_send", block_send},
    {"op_recv_msg", block_recv_msg},
    {"op_send_msg", block_send_msg},
    {"recv_multishot", block_multishot},
    {"accept", block_accept},
    {"accept_multishot", block_accept_multishot},
    {"connect", block_connect},
    {"splice from", block_splice_from},
    {"splice to", block_splice_to},
};

/* How it is ended: each of these takes the descriptor from under the operation. */
enum way { CLOSE, DESTROY, OP_CLOSE, TAKE, CANCEL_SCOPE, FAIL_SCOPE, DEADLINE, CANCEL, WAYS };

static const char *const way_names[WAYS] = {"close",        "destroy",    "op_close", "take",
                                            "scope_cancel", "scope_fail", "deadline", "cancel"};

static struct once taken, closed;
static struct once scope_ended;

static void end_it(enum way way, struct blocked *this, loop_job job, struct loop_scope *around)
{
    switch (way) {
    case CLOSE: CHECK_IS(loop_fd_close(this->flow->fd), 0); break;
    case DESTROY: loop_fd_destroy(this->flow->fd); break;
    case OP_CLOSE: CHECK(loop_op_close(around, this->flow->fd, ONCE(&closed)) != 0); break;
    case TAKE: CHECK(loop_fd_take(this->flow->fd, ONCE(&taken)) != 0); break;
    case CANCEL_SCOPE: loop_scope_cancel(this->scope); break;
    case FAIL_SCOPE: loop_scope_fail(this->scope, -EPROTO); break;
    case DEADLINE: loop_scope_deadline(this->scope, 0); break;
    case CANCEL: CHECK_IS(loop_cancel(loop_scope_loop(around), job), 0); break;
    case WAYS: break;
    }
}

static int64_t expected_end(enum way way)
{
    return way == DEADLINE ? -ETIMEDOUT : -ECANCELED;
}

static int64_t expected_scope_end(enum way way)
{
    return way == CANCEL_SCOPE ? -ECANCELED : way == FAIL_SCOPE ? -EPROTO : way == DEADLINE ? -ETIMEDOUT : 0;
}

static void begin_blocked(struct loop_env *env, struct blocked *this)
{
    int fds[2];

    memset(&taken, 0, sizeof taken);
    memset(&closed, 0, sizeof closed);
    memset(&scope_ended, 0, sizeof scope_ended);
    memset(this, 0, sizeof *this);
    this->scope = loop_scope_open(env->scope, ONCE(&scope_ended));
    make_tcp_pair(fds);
    set_small_buffers(fds[0]);
    set_small_buffers(fds[1]);
    this->flow = flow_of(this->scope, fds[0]);
    this->peer = fds[1];
    make_pair(fds);
    this->other = flow_of(this->scope, fds[0]);
    adopt(this->scope, fds[1]);
}

static void check_blocked(enum way way, const struct blocker *blocker, const struct blocked *this)
{
    if (this->end.result != expected_end(way)) {
        ck_abort_msg("%s after %s ended with %lld, not %lld", blocker->name, way_names[way],
                     (long long)this->end.result, (long long)expected_end(way));
    }
    if (way == TAKE) {
        CHECK(taken.count == 1 && taken.result >= 0 && taken.order > this->end.order);
        CHECK_IS(close((int)taken.result), 0);
    } else if (way == OP_CLOSE) {
        ONCE_IS(closed, 0);
        CHECK(closed.order > this->end.order);
    } else if (way == CANCEL) {
        CHECK_IS(loop_fd_close(this->flow->fd), 0); /* what else waits there has nothing to do with that job */
    }
}

/* Every operation, ended in every way, at once and when it has had time to begin. */
LOOP_TEST(closed_in_the_middle_every_operation_ends_once)
{
    static struct blocked this;
    static unsigned which, way, pause;
    static unsigned fds_before;
    static struct loop_stats before, after;
    static loop_job job;

    BEGIN;
    fds_before = count_fds();
    loop_get_stats(env->loop, &before);
    for (which = 0; which < COUNT_OF(blockers); which++) {
        for (way = 0; way < WAYS; way++) {
            for (pause = 0; pause < 4; pause += 3) {
                begin_blocked(env, &this);
                loop_scope_hold(this.scope);
                job = START(blockers[which].start(&this));
                if (pause > 0) {
                    AWAIT(turns(env->scope, pause, GO));
                }
                if (this.end.count) {
                    ck_abort_msg("%s ended with %lld", blockers[which].name, (long long)this.end.result);
                }
                end_it(way, &this, job, env->scope);
                WAIT_UNTIL(this.end.count && (way != TAKE || taken.count) && (way != OP_CLOSE || closed.count));
                check_blocked(way, &blockers[which], &this);
                loop_scope_unhold(this.scope);
                WAIT_UNTIL(scope_ended.count);
                CHECK_IS(scope_ended.result, expected_scope_end(way));
                close(this.peer);
                CHECK_IS(count_fds(), fds_before);
                CHECK(loop_region_avail(env->loop) == loop_region_count(env->loop));
            }
        }
    }
    AWAIT(turns(env->scope, 1, GO));
    loop_get_stats(env->loop, &after);
    CHECK_IS(after.jobs_now, before.jobs_now);
    CHECK_IS(after.fds_now, before.fds_now);
    CHECK_IS(after.scopes_now, before.scopes_now);
    END;
}
