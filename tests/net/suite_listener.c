/* SPDX-License-Identifier: ISC
 *
 * Listeners and accepts, and the limit of descriptors (P12).
 */
#include "sockets.h"

/* ---- P12: descriptors ---- */

LOOP_TEST(p12_accept_waits_at_the_limit)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static struct loop_flow *flow;
    static struct loop_fd *ballast;
    static struct loop_stats before, after;
    static struct once accepted;
    static int client;
    static char byte;

    BEGIN;
    listener = listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    client = connect_to(&address.u.ipv4);
    ballast = adopt(env->scope, open("/dev/null", O_RDONLY | O_CLOEXEC));
    AWAIT(turns(env->scope, 2, GO));
    forbid_fds();
    START(loop_accept(env->scope, listener, &flow, ONCE(&accepted)));
    loop_get_stats(env->loop, &before);
    AWAIT(loop_sleep(env->scope, 100 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &after);
    CHECK_IS(accepted.count, 0);
    CHECK(after.turns - before.turns < 50);
    CHECK(after.descriptor_waits > 0);
    CHECK(strlen(log_text()) > 0);
    loop_fd_close(ballast);
    WAIT_UNTIL(accepted.count);
    ONCE_IS(accepted, 0);
    CHECK(flow != NULL);
    limit_fds(4096);
    CHECK_IS(send(client, "x", 1, 0), 1);
    AWAIT(loop_read(&flow->source, &byte, 1, GO));
    CHECK_IS(result, 1);
    close(client);
    END;
}

LOOP_TEST(p12_a_waiting_accept_can_be_cancelled)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static struct loop_flow *flow;
    static struct once accepted;
    static loop_job job;
    static int client;

    BEGIN;
    listener = listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    client = connect_to(&address.u.ipv4);
    AWAIT(turns(env->scope, 2, GO));
    forbid_fds();
    job = START(loop_accept(env->scope, listener, &flow, ONCE(&accepted)));
    AWAIT(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, GO));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(accepted.count);
    ONCE_IS(accepted, -ECANCELED);
    CHECK(!flow);
    limit_fds(4096);
    /* The listener is not lost, nor the connection in its backlog. */
    AWAIT(loop_accept(env->scope, listener, &flow, GO));
    CHECK_IS(result, 0);
    close(client);
    END;
}
