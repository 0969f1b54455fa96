/* SPDX-License-Identifier: ISC
 *
 * The lifetime of scopes and descriptors, and what extends it. Uses internals of the library to check the references
 * that its own parts hold (pins).
 */
#include "harness.h"

#include <loop/part.h>
#include <loop/flow/own/pin.h>

static uint64_t fds_now(const struct loop *loop)
{
    struct loop_stats stats;

    loop_get_stats(loop, &stats);
    return stats.fds_now;
}

static uint64_t scopes_now(const struct loop *loop)
{
    struct loop_stats stats;

    loop_get_stats(loop, &stats);
    return stats.scopes_now;
}

/* A Unix socket whose peer is `*peer`. */
static struct loop_fd *adopt_one(struct loop_scope *scope, int *peer)
{
    int pair[2];

    make_pair(pair);
    set_nonblocking(pair[1]);
    *peer = pair[1];
    return adopt(scope, pair[0]);
}

/* ---- until on_end ---- */

static struct loop_scope *other_scope;
static struct loop_fd *members[2];
static int member_peers[2];
static struct once group_ended;

static void take_places(void *unused, int64_t error)
{
    int peer;

    (void)unused;
    for (unsigned i = 0; i < 4; i++) {
        struct loop_fd *newcomer = adopt_one(other_scope, &peer);
        CHECK(newcomer != members[0] && newcomer != members[1]);
        close(peer);
    }
    for (unsigned i = 0; i < COUNT_OF(members); i++) {
        CHECK(!loop_fd_is_open(members[i]));
        CHECK_IS(loop_fd_peek(members[i]), -1);
        CHECK_IS(loop_fd_close(members[i]), -EBADF);
    }
    once_resumed(&group_ended, error);
}

LOOP_TEST(objects_of_descriptors_live_until_on_end_has_returned)
{
    static struct loop_scope *scope;

    BEGIN;
    other_scope = env->scope;
    scope = loop_scope_open(env->scope, take_places, NULL);
    members[0] = adopt_one(scope, &member_peers[0]);
    members[1] = adopt_one(scope, &member_peers[1]);
    CHECK_IS(loop_fd_close(members[0]), 0); /* also of one that was closed long before */
    WAIT_UNTIL(group_ended.count);
    ONCE_IS(group_ended, 0);
    close(member_peers[0]);
    close(member_peers[1]);
    END;
}

LOOP_TEST(a_descriptor_destroyed_in_on_end_is_given_back)
{
    static struct loop_scope *scope;
    static uint64_t before;

    BEGIN;
    before = fds_now(env->loop);
    scope = loop_scope_open(env->scope, ONCE(&group_ended));
    loop_fd_destroy(adopt_one(scope, &member_peers[0]));
    adopt_one(scope, &member_peers[1]);
    WAIT_UNTIL(group_ended.count);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(fds_now(env->loop), before);
    close(member_peers[0]);
    close(member_peers[1]);
    END;
}

/* One member's poll is in the ring and must be cancelled before on_end; the other has nothing there. Bytes sent to
 * both in the meantime must not reach a newly adopted descriptor. */
static int newcomer_peers[64];
static unsigned n_newcomers;
static struct loop_env *world;

static void broadcast(void *unused, int64_t result)
{
    int *peer = &newcomer_peers[n_newcomers];

    (void)unused;
    (void)result;
    if (group_ended.count || n_newcomers == COUNT_OF(newcomer_peers)) {
        return;
    }
    struct loop_fd *newcomer = adopt_one(world->scope, peer);
    n_newcomers++;
    CHECK(newcomer != members[0] && newcomer != members[1]);
    for (unsigned i = 0; i < COUNT_OF(members); i++) {
        loop_write(&loop_fd_flow(members[i])->sink, "to all", 6, NULL, NULL);
    }
    CHECK_IS(drain(*peer), 0);
    turns(world->scope, 1, broadcast, NULL);
}

static void begin_broadcast(void *unused)
{
    (void)unused;
    turns(world->scope, 1, broadcast, NULL);
}

LOOP_TEST(a_broadcast_while_a_scope_ends_reaches_nobody_else)
{
    static struct loop_scope *scope;
    static struct once reading;
    static char byte;

    BEGIN;
    world = env;
    scope = loop_scope_open(env->scope, ONCE(&group_ended));
    CHECK(loop_scope_defer(scope, begin_broadcast, NULL));
    members[0] = adopt_one(scope, &member_peers[0]);
    members[1] = adopt_one(scope, &member_peers[1]);
    START(loop_read(&loop_fd_flow(members[0])->source, &byte, 1, ONCE(&reading)));
    AWAIT(turns(env->scope, 3, GO));
    loop_scope_cancel(scope);
    WAIT_UNTIL(group_ended.count);
    AWAIT(turns(env->scope, 3, GO));
    for (unsigned i = 0; i < n_newcomers; i++) {
        CHECK_IS(drain(newcomer_peers[i]), 0);
        close(newcomer_peers[i]);
    }
    ONCE_IS(reading, -ECANCELED);
    close(member_peers[0]);
    close(member_peers[1]);
    END;
}

/* ---- what a continuation does to what it was resumed for ---- */

static struct loop_fd *polled;
static struct once polled_ended;

static void destroy_polled(void *unused, int64_t events)
{
    (void)unused;
    loop_fd_destroy(polled);
    once_resumed(&polled_ended, events & POLLOUT);
}

LOOP_TEST(a_continuation_may_destroy_the_descriptor_that_became_writable)
{
    static int peer;

    BEGIN;
    polled = adopt_one(env->scope, &peer);
    stuff(loop_fd_peek(polled));
    START(loop_poll(polled, POLLOUT, destroy_polled, NULL));
    AWAIT(turns(env->scope, 3, GO));
    drain(peer);
    WAIT_UNTIL(polled_ended.count);
    ONCE_IS(polled_ended, POLLOUT);
    AWAIT(turns(env->scope, 3, GO));
    close(peer);
    END;
}

/* ---- pins ---- */

LOOP_TEST(a_pin_keeps_the_object_and_nothing_else)
{
    static struct loop_fd *fd;
    static int peer;
    static char byte;
    static uint64_t before;

    BEGIN;
    before = fds_now(env->loop);
    fd = adopt_one(env->scope, &peer);
    loop_scope_hold(env->scope); /* the jobs on what is gone don't */
    loop_fd_pin(fd);
    loop_fd_pin(fd);
    loop_fd_destroy(fd);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(read(peer, &byte, 1), 0); /* the peer sees the end: it is closed */
    CHECK_IS(fds_now(env->loop), before + 1);
    CHECK(!loop_fd_is_open(fd));
    CHECK_IS(loop_fd_use(fd), -EBADF);
    CHECK_IS(loop_fd_close(fd), -EBADF);
    AWAIT(loop_read(&loop_fd_flow(fd)->source, &byte, 1, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_write(&loop_fd_flow(fd)->sink, "a", 1, GO));
    CHECK_IS(result, -EBADF);
    AWAIT(loop_shutdown(&loop_fd_flow(fd)->sink, GO));
    CHECK_IS(result, -EBADF);
    loop_fd_unpin(fd);
    CHECK_IS(fds_now(env->loop), before + 1);
    loop_fd_unpin(fd);
    CHECK_IS(fds_now(env->loop), before);
    close(peer);
    loop_scope_unhold(env->scope);
    END;
}

LOOP_TEST(a_pin_outlives_the_scope)
{
    static struct loop_scope *scope;
    static struct loop_flow *flow;
    static struct loop_source *source;
    static struct loop_sink *sink;
    static int peer;
    static uint64_t before;

    BEGIN;
    before = fds_now(env->loop);
    scope = loop_scope_open(env->scope, ONCE(&group_ended));
    flow = loop_fd_flow(adopt_one(scope, &peer));
    source = &flow->source;
    sink = &flow->sink;
    loop_scope_hold(env->scope);
    loop_source_pin(source);
    loop_sink_pin(sink);
    WAIT_UNTIL(group_ended.count);
    AWAIT(turns(env->scope, 1, GO)); /* on_end returns */
    AWAIT(loop_write(sink, "a", 1, GO));
    CHECK_IS(result, -EBADF);
    START(loop_write(sink, "a", 1, NULL, NULL)); /* an error that no continuation receives, and that fails no scope */
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(loop_scope_error(env->scope), 0);
    AWAIT(loop_read(source, &(char){0}, 1, GO));
    CHECK_IS(result, -EBADF);
    loop_source_unpin(source);
    CHECK_IS(fds_now(env->loop), before + 1);
    loop_sink_unpin(sink);
    CHECK_IS(fds_now(env->loop), before);
    close(peer);
    loop_scope_unhold(env->scope);
    END;
}

LOOP_TEST(a_pin_dropped_before_the_close_changes_nothing)
{
    static struct loop_fd *fd;
    static int peer;
    static uint64_t before;

    BEGIN;
    before = fds_now(env->loop);
    fd = adopt_one(env->scope, &peer);
    loop_fd_pin(fd);
    loop_fd_unpin(fd);
    AWAIT(loop_write(&loop_fd_flow(fd)->sink, "abc", 3, GO));
    CHECK_IS(result, 3);
    CHECK_IS(drain(peer), 3);
    loop_fd_destroy(fd);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(fds_now(env->loop), before);
    close(peer);
    END;
}

LOOP_TEST(a_pinned_scope_ends_and_takes_no_work)
{
    static struct loop_scope *scope;
    static uint64_t before;

    BEGIN;
    before = scopes_now(env->loop);
    scope = loop_scope_open(env->scope, ONCE(&group_ended));
    loop_scope_pin(scope);
    WAIT_UNTIL(group_ended.count);
    AWAIT(turns(env->scope, 1, GO));
    CHECK_IS(scopes_now(env->loop), before + 1);
    CHECK_IS(loop_sleep(scope, 0, NULL, NULL), 0);
    CHECK(!loop_scope_open(scope, NULL, NULL));
    loop_scope_cancel(scope);
    loop_scope_unpin(scope);
    CHECK_IS(scopes_now(env->loop), before);
    END;
}
