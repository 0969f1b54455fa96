/* SPDX-License-Identifier: ISC
 *
 * Replacements that do not go on: a successor that hangs or fails, a predecessor that stops in the middle; and which of
 * the two has the file of a Unix socket then.
 */
#include "programs.h"

#include <sys/file.h>

/* Starts a successor, which takes the sockets, and lasts until stop_program. */
static void take_over(struct program *program, struct loop_scope *scope)
{
    open_program(program, scope, 'b');
    loop_scope_hold(program->scope);
    CHECK(loop_service_take_over(program->service, &control, ONCE(&program->taken)) != 0);
}

static void stop_program(struct program *program)
{
    if (program->server) {
        loop_server_stop(program->server, LOOP_NEVER);
    }
    loop_scope_cancel(program->scope);
    loop_scope_unhold(program->scope);
}

static bool has_ended(const struct program *program)
{
    return !program->server || program->ended.count;
}

/* Row 0 by TCP; 1 by a Unix socket; 2 and the successor that hangs has begun to serve. */
LOOP_TEST_ROWS(a_successor_that_hangs_is_told_and_the_next_one_takes_over, 3)
{
    static struct program first, hangs, third;
    static struct client client;

    BEGIN;
    begin();
    offering.timeout_ns = 300 * LOOP_MILLISECOND; /* the third has to be ready in that time, on a busy machine too */
    start_first(&first, env->scope, place(script.row > 0));
    take_over(&hangs, env->scope);
    WAIT_UNTIL(hangs.taken.count);
    ONCE_IS(hangs.taken, 1);
    if (script.row == 2) {
        CHECK_IS(serve_echo(&hangs, NULL), 0);
    }
    take_over(&third, env->scope);
    WAIT_UNTIL(third.taken.count);
    ONCE_IS(third.taken, 1);
    CHECK(strstr(log_text(), "was not ready within 300 ms"));
    CHECK_IS(first.replaced.count, 0);
    CHECK_IS(loop_service_count(hangs.service), 0);
    START(loop_service_ready(hangs.service, ONCE(&hangs.ready)));
    WAIT_UNTIL(hangs.ready.count);
    ONCE_IS(hangs.ready, -ETIMEDOUT);
    CHECK_IS(first.replaced.count, 0);
    stop_program(&hangs);
    WAIT_UNTIL(has_ended(&hangs));
    CHECK_IS(exists("server"), script.row > 0);
    CHECK_IS(serve_echo(&third, NULL), 0);
    START(loop_service_ready(third.service, ONCE(&third.ready)));
    WAIT_UNTIL(third.ready.count && first.replaced.count && first.ended.count);
    ONCE_IS(third.ready, 0);
    ONCE_IS(first.replaced, 0);
    CHECK_IS(exists("server"), script.row > 0);
    connect_client(&client, env->scope);
    WAIT_UNTIL(client.connected.count);
    read_letter(&client);
    WAIT_UNTIL(client.got.count);
    CHECK_IS(client.letter, 'b');
    loop_fd_destroy(client.flow->fd);
    stop_program(&third);
    WAIT_UNTIL(has_ended(&third));
    CHECK(!exists("server") && !exists("control"));
    remove_directory(directory);
    END;
}

/* A socket has its file before it listens. */
LOOP_TEST(a_predecessor_that_is_about_to_listen_is_waited_for)
{
    static struct program second;
    static struct loop_listener *listener;
    static struct loop_flow *flow;
    static struct once accepted;
    static char lock_name[sizeof control.u.local.sun_path + 5];
    static int number, lock;

    BEGIN;
    begin();
    CHECK(snprintf(lock_name, sizeof lock_name, "%s.lock", control.u.local.sun_path) > 0);
    lock = open(lock_name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(lock >= 0 && flock(lock, LOCK_EX) == 0);
    number = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_IS(bind(number, &control.u.any, control.length), 0);
    take_over(&second, env->scope);
    AWAIT(turns(env->scope, 20, GO));
    CHECK_IS(second.taken.count, 0);
    CHECK_IS(listen(number, 10), 0);
    CHECK_IS(unlink(lock_name) + close(lock), 0);
    CHECK_IS(loop_listener_adopt(env->scope, number, LOOP_LISTENER_OWNS_FILE, &listener), 0);
    START(loop_accept(env->scope, listener, &flow, ONCE(&accepted)));
    WAIT_UNTIL(accepted.count);
    START(loop_write(&flow->sink, "noria 1 0\n", 10, NULL, NULL));
    WAIT_UNTIL(second.taken.count);
    ONCE_IS(second.taken, 0);
    stop_program(&second);
    loop_fd_destroy(flow->fd);
    loop_listener_close(listener);
    remove_directory(directory);
    END;
}

static int listen_at_control(void)
{
    int number = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK_IS(bind(number, &control.u.any, control.length), 0);
    CHECK_IS(listen(number, 10), 0);
    return number;
}

/* The successor waits in the backlog of a predecessor that sends nothing any more. Row 0: it is killed; 1: it has given
 * way to another one, which listens there now. */
LOOP_TEST_ROWS(a_predecessor_that_ends_before_it_sends_has_gone, 2)
{
    static struct program second;
    static struct loop_listener *listener;
    static struct loop_flow *flow;
    static struct once accepted;
    static int number;

    BEGIN;
    begin();
    number = listen_at_control();
    take_over(&second, env->scope);
    AWAIT(turns(env->scope, 20, GO));
    CHECK_IS(second.taken.count, 0);
    if (script.row == 1) {
        CHECK_IS(unlink(control.u.local.sun_path), 0);
        CHECK_IS(loop_listener_adopt(env->scope, listen_at_control(), LOOP_LISTENER_OWNS_FILE, &listener), 0);
        START(loop_accept(env->scope, listener, &flow, ONCE(&accepted)));
    }
    close(number);
    if (script.row == 1) {
        WAIT_UNTIL(accepted.count);
        START(loop_write(&flow->sink, "noria 1 0\n", 10, NULL, NULL));
    }
    WAIT_UNTIL(second.taken.count);
    ONCE_IS(second.taken, 0);
    stop_program(&second);
    if (script.row == 1) {
        loop_fd_destroy(flow->fd);
        loop_listener_close(listener);
    }
    remove_directory(directory);
    END;
}

/* A program that found out by taking the lock would make the other one fail with -EADDRINUSE. */
LOOP_TEST(looking_for_a_predecessor_makes_no_file)
{
    static struct program second;
    static struct stat before, after;

    BEGIN;
    begin();
    CHECK_IS(close(listen_at_control()), 0); /* it stays behind, and refuses */
    CHECK_IS(stat(directory, &before), 0);
    AWAIT(loop_sleep(env->scope, 20 * LOOP_MILLISECOND, GO)); /* longer than the clock of the files stands still */
    take_over(&second, env->scope);
    WAIT_UNTIL(second.taken.count);
    ONCE_IS(second.taken, 0);
    CHECK_IS(stat(directory, &after), 0);
    CHECK(before.st_mtim.tv_sec == after.st_mtim.tv_sec && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
    stop_program(&second);
    remove_directory(directory);
    END;
}

/* The predecessor decides, also when its answer crosses that of the successor. */
LOOP_TEST(a_successor_that_is_ready_too_late_is_told)
{
    static struct program late;
    static struct loop_listener *listener;
    static struct loop_flow *flow;
    static struct once accepted;

    BEGIN;
    begin();
    CHECK_IS(loop_listen(env->scope, &control, NULL, &listener), 0);
    START(loop_accept(env->scope, listener, &flow, ONCE(&accepted)));
    take_over(&late, env->scope);
    WAIT_UNTIL(accepted.count);
    START(loop_write(&flow->sink, "noria 1 0\n", 10, NULL, NULL));
    WAIT_UNTIL(late.taken.count);
    ONCE_IS(late.taken, 0);
    START(loop_service_ready(late.service, ONCE(&late.ready)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(late.ready.count, 0);
    START(loop_write(&flow->sink, "late\n", 5, NULL, NULL));
    WAIT_UNTIL(late.ready.count);
    ONCE_IS(late.ready, -ETIMEDOUT);
    late.ready = (struct once){0};
    START(loop_service_ready(late.service, ONCE(&late.ready)));
    WAIT_UNTIL(late.ready.count);
    ONCE_IS(late.ready, -ETIMEDOUT);
    CHECK(flow != NULL);
    loop_fd_destroy(flow->fd);
    stop_program(&late);
    loop_listener_close(listener);
    remove_directory(directory);
    END;
}

/* The predecessor stops after it has sent the sockets. Row 0: before the successor serves; 1: after that; 2: and all of
 * the predecessor is cancelled; 3: and the successor never serves. */
LOOP_TEST_ROWS(the_file_of_a_socket_goes_with_it, 4)
{
    static struct program first, second;
    static struct client client;

    BEGIN;
    begin();
    start_first(&first, env->scope, place(1));
    take_over(&second, env->scope);
    WAIT_UNTIL(second.taken.count);
    ONCE_IS(second.taken, 1);
    if (script.row == 1 || script.row == 2) {
        CHECK_IS(serve_echo(&second, NULL), 0);
    }
    if (script.row == 2) {
        loop_scope_cancel(first.scope);
    } else {
        loop_server_stop(first.server, LOOP_NEVER);
    }
    WAIT_UNTIL(first.ended.count && first.replaced.count);
    ONCE_IS(first.replaced, -ECANCELED);
    CHECK(exists("server"));
    if (script.row == 0) {
        CHECK_IS(serve_echo(&second, NULL), 0);
    }
    START(loop_service_ready(second.service, ONCE(&second.ready)));
    WAIT_UNTIL(second.ready.count);
    ONCE_IS(second.ready, 0);
    CHECK(exists("server"));
    if (script.row < 3) {
        connect_client(&client, env->scope);
        WAIT_UNTIL(client.connected.count);
        ONCE_IS(client.connected, 0);
        read_letter(&client);
        WAIT_UNTIL(client.got.count);
        CHECK_IS(client.letter, 'b');
        loop_fd_destroy(client.flow->fd);
    }
    stop_program(&second);
    WAIT_UNTIL(has_ended(&second));
    AWAIT(turns(env->scope, 3, GO));
    CHECK(!exists("server"));
    remove_directory(directory);
    END;
}

/* Row 1: the predecessor has stopped serving meanwhile, but has not ended; 2: the successor ends by a deadline. */
LOOP_TEST_ROWS(a_successor_that_fails_leaves_the_file_to_the_predecessor, 3)
{
    static struct program first, second;
    static struct client client;
    static struct loop_scope *around;
    static struct once over;

    BEGIN;
    begin();
    start_first(&first, env->scope, place(1));
    loop_scope_hold(first.scope);
    around = loop_scope_open(env->scope, ONCE(&over));
    take_over(&second, around);
    WAIT_UNTIL(second.taken.count);
    CHECK_IS(serve_echo(&second, NULL), 0);
    if (script.row == 1) {
        loop_server_stop(first.server, LOOP_NEVER);
        WAIT_UNTIL(first.ended.count);
        CHECK(exists("server"));
    }
    if (script.row == 2) {
        loop_scope_deadline(around, loop_now(env->loop));
        loop_scope_unhold(second.scope);
    } else {
        stop_program(&second);
    }
    WAIT_UNTIL(second.ended.count && over.count);
    ONCE_IS(over, script.row == 2 ? -ETIMEDOUT : 0);
    AWAIT(turns(env->scope, 3, GO));
    if (script.row != 1) {
        CHECK(exists("server"));
        connect_client(&client, env->scope);
        WAIT_UNTIL(client.connected.count);
        ONCE_IS(client.connected, 0);
        read_letter(&client);
        WAIT_UNTIL(client.got.count);
        CHECK_IS(client.letter, 'a');
        loop_fd_destroy(client.flow->fd);
        loop_server_stop(first.server, LOOP_NEVER);
        WAIT_UNTIL(first.ended.count);
    }
    CHECK(!exists("server"));
    loop_scope_unhold(first.scope);
    WAIT_UNTIL(first.replaced.count);
    remove_directory(directory);
    END;
}

LOOP_TEST(a_program_that_is_ready_while_it_takes_over_waits_for_the_predecessor)
{
    static struct program first, second;

    BEGIN;
    begin();
    start_first(&first, env->scope, place(1));
    WAIT_UNTIL(first.ready.count);
    take_over(&second, env->scope);
    START(loop_service_ready(second.service, ONCE(&second.ready)));
    WAIT_UNTIL(second.taken.count);
    ONCE_IS(second.taken, 1);
    CHECK_IS(serve_echo(&second, NULL), 0);
    WAIT_UNTIL(second.ready.count);
    ONCE_IS(second.ready, 0);
    WAIT_UNTIL(first.replaced.count && first.ended.count);
    ONCE_IS(first.replaced, 0);
    CHECK(exists("server"));
    stop_program(&second);
    WAIT_UNTIL(second.ended.count);
    CHECK(!exists("server"));
    remove_directory(directory);
    END;
}

/* Row 0: the job of loop_service_ready is cancelled before the predecessor is told; 1: after that; 2: that of
 * loop_service_take_over is, and the program is ready without a predecessor. */
LOOP_TEST_ROWS(being_ready_is_cancelled, 3)
{
    static struct program first, second;
    static loop_job taking, ready;

    BEGIN;
    begin();
    start_first(&first, env->scope, place(1));
    WAIT_UNTIL(first.ready.count);
    open_program(&second, env->scope, 'b');
    loop_scope_hold(second.scope);
    taking = START(loop_service_take_over(second.service, &control, ONCE(&second.taken)));
    if (script.row == 1) {
        WAIT_UNTIL(second.taken.count);
        CHECK_IS(serve_echo(&second, NULL), 0);
    }
    ready = START(loop_service_ready(second.service, ONCE(&second.ready)));
    CHECK_IS(loop_cancel(env->loop, script.row == 2 ? taking : ready), 0);
    WAIT_UNTIL(second.ready.count && second.taken.count);
    CHECK_IS(second.ready.result, script.row == 2 ? 0 : -ECANCELED);
    CHECK_IS(second.taken.result, script.row == 2 ? -ECANCELED : 1);
    if (script.row == 1) {
        WAIT_UNTIL(first.replaced.count && first.ended.count);
        ONCE_IS(first.replaced, 0);
    } else {
        AWAIT(turns(env->scope, 3, GO));
        CHECK_IS(first.replaced.count, 0);
        loop_server_stop(first.server, LOOP_NEVER);
        WAIT_UNTIL(first.ended.count);
    }
    AWAIT(turns(env->scope, 3, GO));
    stop_program(&second);
    WAIT_UNTIL(has_ended(&second));
    AWAIT(turns(env->scope, 3, GO));
    CHECK(!exists("server"));
    remove_directory(directory);
    END;
}

/* The successor has done nothing wrong. */
LOOP_TEST(an_offer_that_ends_by_a_deadline_accuses_no_successor)
{
    static struct program first, second;
    static struct loop_scope *around;
    static struct once over;

    BEGIN;
    begin();
    around = loop_scope_open(env->scope, ONCE(&over));
    start_first(&first, around, place(1));
    take_over(&second, env->scope);
    WAIT_UNTIL(second.taken.count);
    ONCE_IS(second.taken, 1);
    loop_scope_deadline(around, loop_now(env->loop));
    WAIT_UNTIL(over.count);
    ONCE_IS(over, -ETIMEDOUT);
    CHECK(!strstr(log_text(), "successor"));
    stop_program(&second);
    remove_directory(directory);
    END;
}
