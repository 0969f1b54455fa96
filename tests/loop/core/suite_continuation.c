/* SPDX-License-Identifier: ISC
 *
 * Continuations that end their own descriptor, scope or job.
 */
#include "sockets.h"

/* ---- closed in the middle of every operation ---- */

static char scratch[16];
static struct tally unheard; /* writes of which only the end counts */

static struct once scope_ended;

/* ---- continuations that do what they like ---- */

/* What a continuation does to the things it lives in. */
enum deed { CLOSES, DESTROYS, CANCELS_SCOPE, FAILS_SCOPE, CANCELS_PARENT, STARTS_A_HUNDRED, CANCELS_ITSELF, DEEDS };

static struct doer {
    enum deed deed;
    struct loop_scope *parent, *scope;
    struct loop_flow *flow;
    int peer;
    loop_job job;
    unsigned calls, ends;
    struct tally hundred;
} doer;

static struct once parent_ended;

static void do_it(void)
{
    struct loop *loop = loop_scope_loop(doer.scope);

    switch (doer.deed) {
    case CLOSES: CHECK_IS(loop_fd_close(doer.flow->fd), 0); break;
    case DESTROYS: loop_fd_destroy(doer.flow->fd); break;
    case CANCELS_SCOPE: loop_scope_cancel(doer.scope); break;
    case FAILS_SCOPE: loop_scope_fail(doer.scope, -EPROTO); break;
    case CANCELS_PARENT: loop_scope_cancel(doer.parent); break;
    case STARTS_A_HUNDRED:
        for (int i = 0; i < 100; i++) {
            CHECK(loop_op_nop(doer.scope, TALLY(&doer.hundred)) != 0);
        }
        CHECK_IS(doer.hundred.count, 0);
        break;
    case CANCELS_ITSELF: loop_cancel(loop, doer.job); break;
    case DEEDS: break;
    }
}

/* The first call does it; one that goes on by itself is ended afterwards. */
static void on_first(int64_t result, bool is_end)
{
    CHECK_IS(doer.ends, 0);
    doer.ends += is_end;
    if (doer.calls++ == 0) {
        CHECK(result >= 0);
        do_it();
    }
    if (!is_end && doer.deed == STARTS_A_HUNDRED) {
        loop_cancel(loop_scope_loop(doer.scope), doer.job);
    }
}

static void doer_resumed(void *unused, int64_t result)
{
    (void)unused;
    on_first(result, true);
}

static void doer_streamed(void *unused, int64_t result, struct loop_chunk *chunk)
{
    (void)unused;
    on_first(result, !chunk);
}

static void doer_received(void *buffers, int64_t result, void *data)
{
    if (data) {
        CHECK_IS(loop_buffers_recycle(buffers, data), 0);
    }
    on_first(result, !data);
}

static void doer_accepted(void *unused, int64_t result)
{
    (void)unused;
    if (result >= 0) {
        close((int)result);
    }
    on_first(result, result < 0);
}

static loop_job do_in_read(void)
{
    CHECK_IS(send(doer.peer, "four", 4, 0), 4);
    return loop_read(&doer.flow->source, scratch, 4, doer_resumed, NULL);
}

static loop_job do_in_exact(void)
{
    CHECK_IS(send(doer.peer, "four", 4, 0), 4);
    return loop_read_exact(&doer.flow->source, scratch, 4, doer_resumed, NULL);
}

static loop_job do_in_stream(void)
{
    CHECK_IS(send(doer.peer, "four", 4, 0), 4);
    return loop_stream(&doer.flow->source, doer_streamed, NULL);
}

static loop_job do_in_write(void)
{
    loop_job job = loop_write(&doer.flow->sink, "x", 1, doer_resumed, NULL);

    loop_write(&doer.flow->sink, "y", 1, TALLY(&unheard));
    return job;
}

static loop_job do_in_copy(void)
{
    CHECK_IS(shutdown(doer.peer, SHUT_WR), 0);
    return loop_copy(&doer.flow->source, &doer.flow->sink, doer_resumed, NULL);
}

static loop_job do_in_poll(void)
{
    return loop_poll(doer.flow->fd, POLLOUT, doer_resumed, NULL);
}

static loop_job do_in_shutdown(void)
{
    return loop_shutdown(&doer.flow->sink, doer_resumed, NULL);
}

static loop_job do_in_op_send(void)
{
    return loop_op_send(doer.scope, doer.flow->fd, "x", 1, 0, doer_resumed, NULL);
}

static loop_job do_in_multishot(void)
{
    struct loop_buffers *buffers = loop_buffers_create(doer.scope, 4, 64);

    CHECK_IS(send(doer.peer, "four", 4, 0), 4);
    return loop_op_recv_multishot(doer.scope, doer.flow->fd, buffers, doer_received, buffers);
}

static loop_job do_in_accept_multishot(void)
{
    struct sockaddr_in address;

    loop_fd_destroy(doer.flow->fd);
    doer.flow = flow_of(doer.scope, make_listener(&address));
    adopt(doer.scope, connect_to(&address));
    adopt(doer.scope, connect_to(&address));
    return loop_op_accept_multishot(doer.scope, doer.flow->fd, doer_accepted, NULL);
}

static loop_job do_in_timer(void)
{
    return loop_sleep(doer.scope, 0, doer_resumed, NULL);
}

static int64_t do_nothing(void *unused)
{
    (void)unused;
    return 0;
}

static loop_job do_in_work(void)
{
    return loop_work(doer.scope, do_nothing, NULL, doer_resumed, NULL);
}

static loop_job (*const doings[])(void) = {
    do_in_read,
    do_in_exact,
    do_in_stream,
    do_in_write,
    do_in_copy,
    do_in_poll,
    do_in_work,
    do_in_shutdown,
    do_in_op_send,
    do_in_multishot,
    do_in_accept_multishot,
    do_in_timer,
};

static void begin_deed(struct loop_env *env, enum deed deed)
{
    int fds[2];

    memset(&parent_ended, 0, sizeof parent_ended);
    memset(&scope_ended, 0, sizeof scope_ended);
    memset(&doer, 0, sizeof doer);
    doer.deed = deed;
    doer.parent = loop_scope_open(env->scope, ONCE(&parent_ended));
    doer.scope = loop_scope_open(doer.parent, ONCE(&scope_ended));
    make_tcp_pair(fds);
    doer.flow = flow_of(doer.scope, fds[0]);
    doer.peer = fds[1];
}

LOOP_TEST(continuations_that_end_what_they_live_in)
{
    static unsigned which, deed, fds_before;
    static struct loop_stats before, after;

    BEGIN;
    fds_before = count_fds();
    loop_get_stats(env->loop, &before);
    for (which = 0; which < COUNT_OF(doings); which++) {
        for (deed = 0; deed < DEEDS; deed++) {
            begin_deed(env, deed);
            doer.job = START(doings[which]());
            WAIT_UNTIL(scope_ended.count && parent_ended.count);
            CHECK(doer.calls > 0);
            CHECK_IS(doer.ends, 1);
            CHECK_IS(doer.hundred.count, deed == STARTS_A_HUNDRED ? 100 : 0);
            CHECK_IS(scope_ended.result, deed == FAILS_SCOPE      ? -EPROTO
                                         : deed == CANCELS_SCOPE  ? -ECANCELED
                                         : deed == CANCELS_PARENT ? -ECANCELED
                                                                  : 0);
            CHECK_IS(parent_ended.result, deed == CANCELS_PARENT ? -ECANCELED : 0);
            close(doer.peer);
            CHECK_IS(count_fds(), fds_before);
        }
    }
    AWAIT(turns(env->scope, 1, GO));
    loop_get_stats(env->loop, &after);
    CHECK_IS(after.fds_now, before.fds_now);
    CHECK_IS(after.scopes_now, before.scopes_now);
    END;
}
