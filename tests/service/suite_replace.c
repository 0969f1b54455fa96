/* SPDX-License-Identifier: ISC
 *
 * Sockets that are handed to a successor (<service/service.h>). Predecessor and successor are two services of one loop.
 */
#include "programs.h"

LOOP_TEST_ROWS(a_successor_serves_and_the_predecessor_finishes, 2)
{
    static struct program first, second;
    static struct client early, waiting, late;

    BEGIN;
    begin();
    start_first(&first, env->scope, place(script.row));
    connect_client(&early, env->scope);
    WAIT_UNTIL(early.connected.count && first.ready.count);
    ONCE_IS(first.ready, 0);
    read_letter(&early);
    WAIT_UNTIL(early.got.count);
    CHECK_IS(early.letter, 'a');

    open_program(&second, env->scope, 'b');
    START(loop_service_take_over(second.service, &control, ONCE(&second.taken)));
    WAIT_UNTIL(second.taken.count);
    ONCE_IS(second.taken, 1);
    CHECK_TEXT(loop_service_name(second.service, 0), "echo");
    CHECK_IS(first.replaced.count, 0);
    CHECK_IS(serve_echo(&second, NULL), 0);
    CHECK_IS(loop_service_count(second.service), 0);
    connect_client(&waiting, env->scope); /* either of them accepts it */
    START(loop_service_ready(second.service, ONCE(&second.ready)));
    WAIT_UNTIL(second.ready.count && first.replaced.count && waiting.connected.count);
    ONCE_IS(second.ready, 0);
    ONCE_IS(first.replaced, 0);
    ONCE_IS(waiting.connected, 0);
    read_letter(&waiting);
    WAIT_UNTIL(waiting.got.count);
    ONCE_IS(waiting.got, 1);
    connect_client(&late, env->scope);
    WAIT_UNTIL(late.connected.count);
    read_letter(&late);
    WAIT_UNTIL(late.got.count);
    CHECK_IS(late.letter, 'b');

    CHECK_IS(first.ended.count, 0); /* the early one is still served */
    CHECK(loop_write(&early.flow->sink, "x", 1, NULL, NULL) != 0);
    read_letter(&early);
    WAIT_UNTIL(early.got.count);
    CHECK_IS(early.letter, 'x');
    loop_fd_destroy(early.flow->fd);
    loop_fd_destroy(waiting.flow->fd);
    WAIT_UNTIL(first.ended.count);
    ONCE_IS(first.ended, 0);
    CHECK_IS(exists("server"), script.row == 1);
    loop_fd_destroy(late.flow->fd);
    loop_server_stop(second.server, LOOP_NEVER);
    WAIT_UNTIL(second.ended.count);
    CHECK(!exists("server") && !exists("control"));
    remove_directory(directory);
    END;
}

LOOP_TEST(twenty_replacements_lose_no_connection)
{
    static struct program programs[21];
    static struct client clients[21][8];
    static unsigned at, n_connections;

    BEGIN;
    begin();
    start_first(&programs[0], env->scope, "tcp:127.0.0.1:0");
    for (at = 1; at <= 20; at++) {
        open_program(&programs[at], env->scope, 'b');
        for (unsigned i = 0; i < 4; i++) {
            connect_client(&clients[at][i], env->scope);
        }
        START(loop_service_take_over(programs[at].service, &control, ONCE(&programs[at].taken)));
        WAIT_UNTIL(programs[at].taken.count);
        ONCE_IS(programs[at].taken, 1);
        CHECK_IS(serve_echo(&programs[at], NULL), 0);
        for (unsigned i = 4; i < 8; i++) {
            connect_client(&clients[at][i], env->scope);
        }
        START(loop_service_ready(programs[at].service, ONCE(&programs[at].ready)));
        WAIT_UNTIL(programs[at].ready.count && programs[at - 1].replaced.count);
        START(loop_service_offer(programs[at].service, &control, NULL, ONCE(&programs[at].replaced)));
        static unsigned i;
        for (i = 0; i < 8; i++) {
            WAIT_UNTIL(clients[at][i].connected.count);
            ONCE_IS(clients[at][i].connected, 0);
            read_letter(&clients[at][i]);
            WAIT_UNTIL(clients[at][i].got.count);
            ONCE_IS(clients[at][i].got, 1);
            loop_fd_destroy(clients[at][i].flow->fd);
        }
        WAIT_UNTIL(programs[at - 1].ended.count);
        ONCE_IS(programs[at - 1].ended, 0);
    }
    for (unsigned n = 0; n <= 20; n++) {
        n_connections += programs[n].n_connections;
    }
    CHECK_IS(n_connections, 160);
    loop_server_stop(programs[20].server, LOOP_NEVER);
    WAIT_UNTIL(programs[20].ended.count && programs[20].replaced.count);
    CHECK(!exists("control"));
    remove_directory(directory);
    END;
}

LOOP_TEST(a_server_that_retires_before_its_domains_have_started_leaves_its_file)
{
    static struct loop_server *server;
    static struct once ended;
    const struct loop_serve_options options = {.domains = 1, .on_end = once_resumed, .on_end_arg = &ended};

    BEGIN;
    begin();
    address = parsed(place(1));
    CHECK_IS(loop_serve(env->scope, &address, &options, &server, on_connection, NULL), 0);
    CHECK(exists("server"));
    loop_server_retire(server, LOOP_NEVER);
    WAIT_UNTIL(ended.count);
    ONCE_IS(ended, 0);
    CHECK(exists("server"));
    remove_directory(directory);
    END;
}

LOOP_TEST(a_successor_that_fails_leaves_the_predecessor)
{
    static struct program first, second;
    static struct client client;
    static int i;

    BEGIN;
    begin();
    start_first(&first, env->scope, "tcp:127.0.0.1:0");
    for (i = 0; i < 3; i++) {
        open_program(&second, env->scope, 'b');
        START(loop_service_take_over(second.service, &control, ONCE(&second.taken)));
        WAIT_UNTIL(second.taken.count);
        ONCE_IS(second.taken, 1);
        loop_scope_cancel(second.scope);
        AWAIT(turns(env->scope, 5, GO));
    }
    CHECK_IS(first.replaced.count, 0);
    connect_client(&client, env->scope);
    WAIT_UNTIL(client.connected.count);
    read_letter(&client);
    WAIT_UNTIL(client.got.count);
    CHECK_IS(client.letter, 'a');
    loop_fd_destroy(client.flow->fd);
    loop_server_stop(first.server, LOOP_NEVER);
    WAIT_UNTIL(first.ended.count && first.replaced.count);
    ONCE_IS(first.replaced, -ECANCELED);
    remove_directory(directory);
    END;
}

/* ---- odd cases ---- */

LOOP_TEST(without_a_predecessor_nothing_is_taken)
{
    static struct program program;

    BEGIN;
    begin();
    open_program(&program, env->scope, 'a');
    START(loop_service_take_over(program.service, &control, ONCE(&program.taken)));
    WAIT_UNTIL(program.taken.count);
    ONCE_IS(program.taken, 0);
    CHECK_IS(serve_echo(&program, NULL), -ENOENT);
    START(loop_service_ready(program.service, ONCE(&program.ready)));
    WAIT_UNTIL(program.ready.count);
    ONCE_IS(program.ready, 0);
    remove_directory(directory);
    END;
}

static const char *const messages[] = {
    "noria 2 1\n0 a\n",
    "noria 1 1\n",
    "noria 1 \n",
    "noria 1 33\n",
    "noria 1 1\n0 echo\nmore",
    "GET / HTTP/1.1\r\n",
    "noria 1 1\n7 a\n",
    "noria 1 1\n0 a\n",
    "",
};

LOOP_TEST_ROWS(messages_that_are_none, COUNT_OF(messages))
{
    static struct program program;
    static struct loop_listener *listener;
    static struct loop_flow *flow;
    static struct once accepted;

    BEGIN;
    begin();
    CHECK_IS(loop_listen(env->scope, &control, NULL, &listener), 0);
    START(loop_accept(env->scope, listener, &flow, ONCE(&accepted)));
    open_program(&program, env->scope, 'a');
    START(loop_service_take_over(program.service, &control, ONCE(&program.taken)));
    WAIT_UNTIL(accepted.count);
    if (*messages[script.row]) {
        START(loop_write(&flow->sink, messages[script.row], strlen(messages[script.row]), NULL, NULL));
        AWAIT(turns(env->scope, 3, GO));
    }
    CHECK(flow != NULL);
    loop_fd_destroy(flow->fd);
    if (!*messages[script.row]) { /* the first that is cut may be that of a predecessor that has gone */
        AWAIT(loop_accept(env->scope, listener, &flow, GO));
        CHECK_IS(program.taken.count, 0);
        loop_fd_destroy(flow->fd);
    }
    WAIT_UNTIL(program.taken.count);
    CHECK(program.taken.result == -EPROTO || program.taken.result == -ECONNRESET);
    loop_listener_close(listener);
    remove_directory(directory);
    END;
}

LOOP_TEST(a_second_offer_is_refused)
{
    static struct program program;
    static struct once second;

    BEGIN;
    begin();
    start_first(&program, env->scope, "tcp:127.0.0.1:0");
    START(loop_service_offer(program.service, &control, NULL, ONCE(&second)));
    WAIT_UNTIL(second.count);
    ONCE_IS(second, -EBUSY);
    loop_server_stop(program.server, LOOP_NEVER);
    WAIT_UNTIL(program.replaced.count);
    remove_directory(directory);
    END;
}

LOOP_TEST(an_offer_is_cancelled)
{
    static struct program program;
    static struct once offer;
    static loop_job job;

    BEGIN;
    begin();
    open_program(&program, env->scope, 'a');
    loop_scope_hold(program.scope);
    job = START(loop_service_offer(program.service, &control, NULL, ONCE(&offer)));
    AWAIT(turns(env->scope, 2, GO));
    CHECK(exists("control"));
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(offer.count);
    ONCE_IS(offer, -ECANCELED);
    CHECK(!exists("control"));
    offer = (struct once){0};
    START(loop_service_offer(program.service, &control, NULL, ONCE(&offer)));
    AWAIT(turns(env->scope, 2, GO));
    loop_scope_unhold(program.scope);
    WAIT_UNTIL(offer.count);
    ONCE_IS(offer, -ECANCELED);
    remove_directory(directory);
    END;
}

LOOP_TEST(addresses_and_names_that_are_none)
{
    static struct program program;
    static const struct loop_service_offer_options negative = {.timeout_ns = -1};
    static struct once offer, taken, second;
    static const char *const names[] = {"", "two words", "a\n", "1234567890123456789012345678901234567890123456789"};
    struct loop_address tcp = parsed("tcp:127.0.0.1:0");

    BEGIN;
    open_program(&program, env->scope, 'a');
    loop_scope_hold(program.scope);
    tcp = parsed("tcp:127.0.0.1:0");
    for (unsigned i = 0; i < COUNT_OF(names); i++) {
        CHECK_IS(loop_service_serve(program.service, names[i], &tcp, NULL, NULL, on_connection, &program), -EINVAL);
    }
    START(loop_service_offer(program.service, &tcp, NULL, ONCE(&offer)));
    START(loop_service_take_over(program.service, &tcp, ONCE(&taken)));
    WAIT_UNTIL(offer.count && taken.count);
    ONCE_IS(offer, -EINVAL);
    begin();
    START(loop_service_offer(program.service, &control, &negative, ONCE(&second)));
    WAIT_UNTIL(second.count);
    ONCE_IS(second, -EINVAL);
    CHECK(!exists("control"));
    remove_directory(directory);
    ONCE_IS(taken, -EINVAL);
    CHECK_IS(loop_service_take(program.service, NULL), -ENOENT);
    CHECK(loop_service_name(program.service, 0) == NULL);
    CHECK_IS(loop_service_watchdog_ns(program.service), 0);
    CHECK_IS(loop_service_notify(program.service, "STATUS=nobody hears"), 0);
    CHECK_IS(loop_service_notify(program.service, ""), -EINVAL);
    loop_scope_unhold(program.scope);
    END;
}

/* ---- bad days ---- */

#if !HAS_SANITIZER

static struct tally of_poor;
static unsigned long jobs_taken;
static struct loop_service *services[2];
static struct loop_scope *poor_scope;

static void count_taken(loop_job job)
{
    jobs_taken += job != 0;
}

static void say_nothing(struct loop_flow *peer, void *arg)
{
    (void)peer;
    (void)arg;
}

static void on_poor_taken(void *arg, int64_t result)
{
    tally_resumed(&of_poor, result);
    if (result >= 0) {
        (void)loop_service_serve(services[1], "echo", arg, NULL, NULL, say_nothing, NULL);
        count_taken(loop_service_ready(services[1], TALLY(&of_poor)));
    }
}

static int start_poor(struct loop_env *env, void *unused)
{
    static struct loop_address where, at;

    (void)unused;
    where = parsed("unix:@noria-poor-server");
    at = parsed("unix:@noria-poor-control");
    poor_scope = loop_scope_open(env->scope, TALLY(&of_poor));
    if (!poor_scope) {
        return -ENOMEM;
    }
    jobs_taken++;
    loop_scope_deadline(poor_scope, loop_now(env->loop) + 5 * LOOP_MILLISECOND);
    for (unsigned i = 0; i < 2; i++) {
        if (loop_service_open(poor_scope, &services[i])) {
            return 0;
        }
    }
    if (loop_service_serve(services[0], "echo", &where, NULL, NULL, say_nothing, NULL) == 0) {
        count_taken(loop_service_offer(services[0], &at, NULL, TALLY(&of_poor)));
        count_taken(loop_service_take_over(services[1], &at, on_poor_taken, &where));
    }
    return 0;
}

TEST(without_memory_a_replacement_loses_and_leaves_nothing)
{
    unsigned long n = 0;
    bool failed;

    do {
        jobs_taken = 0;
        of_poor = (struct tally){0};
        n++;
        fail_allocation(n / 2, n % 2);
        run(start_poor, NULL);
        failed = allocation_failed() || n < 4;
        fail_allocation(0, false);
        if (of_poor.count != jobs_taken) {
            ck_abort_msg("allocation %lu: %lu jobs, %lu ends", n / 2, jobs_taken, of_poor.count);
        }
    } while (failed);
    CHECK(n > 40);
}

#endif

/* Cancels both programs after each number of turns. */
LOOP_TEST_ROWS(replacements_are_cancelled_at_every_turn, 12)
{
    static struct program first, second;

    BEGIN;
    begin();
    start_first(&first, env->scope, "tcp:127.0.0.1:0");
    open_program(&second, env->scope, 'b');
    loop_scope_hold(first.scope);
    loop_scope_hold(second.scope);
    START(loop_service_take_over(second.service, &control, ONCE(&second.taken)));
    AWAIT(turns(env->scope, (unsigned)script.row / 2 + 1, GO));
    if (second.taken.count && second.taken.result == 1) {
        CHECK_IS(serve_echo(&second, NULL), 0);
        START(loop_service_ready(second.service, ONCE(&second.ready)));
    } else {
        second.ready.count = 1;
    }
    loop_scope_cancel(script.row % 2 ? first.scope : second.scope);
    AWAIT(turns(env->scope, 2, GO));
    loop_scope_cancel(script.row % 2 ? second.scope : first.scope);
    WAIT_UNTIL(first.replaced.count && second.taken.count && second.ready.count);
    CHECK_IS(first.replaced.count + second.taken.count + second.ready.count, 3);
    loop_scope_unhold(first.scope);
    loop_scope_unhold(second.scope);
    remove_directory(directory);
    END;
}
