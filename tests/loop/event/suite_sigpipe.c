/* SPDX-License-Identifier: ISC
 *
 * SIGPIPE (P19): the loop's writes never raise it in the program.
 */
#include "sockets.h"

#include <pthread.h>
#include <sys/wait.h>

/* ---- P19: SIGPIPE ---- */

static bool sigpipe_is_pending(void)
{
    sigset_t pending;

    sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 1;
}

static bool sigpipe_is_blocked(void)
{
    sigset_t mask;

    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    return sigismember(&mask, SIGPIPE) == 1;
}

LOOP_TEST(p19_sigpipe_never_kills)
{
    static struct loop_source *source;
    static struct loop_sink *sink;
    static struct loop_flow *flows[2];

    BEGIN;
    CHECK_IS(loop_pipe(env->scope, &source, &sink), 0);
    loop_source_close(source);
    AWAIT(turns(env->scope, 2, GO));
    AWAIT(loop_write(sink, "x", 1, GO));
    CHECK_IS(result, -EPIPE);
    make_flows(env->scope, flows);
    loop_flow_close(flows[1]);
    AWAIT(turns(env->scope, 2, GO));
    AWAIT(loop_write(&flows[0]->sink, "x", 1, GO));
    CHECK_IS(result, -EPIPE);
    AWAIT(loop_op_send(NULL, flows[0]->fd, "x", 1, 0, GO));
    CHECK_IS(result, -EPIPE);
    AWAIT(loop_op_write(NULL, flows[0]->fd, "x", 1, LOOP_CURRENT, GO));
    CHECK_IS(result, -EPIPE);
    END;
}

static int write_to_nobody(struct loop_env *env, void *unused)
{
    static struct once write;
    int fds[2];

    (void)unused;
    CHECK(sigpipe_is_blocked());
    make_pipe(fds);
    close(fds[0]);
    CHECK(loop_write(&flow_of(env->scope, fds[1])->sink, "x", 1, ONCE(&write)) != 0);
    return 0;
}

TEST(p19_a_sigpipe_of_the_loop_is_taken_back)
{
    struct sigaction action;

    CHECK(!sigpipe_is_blocked());
    CHECK_IS(run(write_to_nobody, NULL), 0);
    CHECK(!sigpipe_is_pending() && !sigpipe_is_blocked());
    CHECK_IS(sigaction(SIGPIPE, NULL, &action), 0);
    CHECK(action.sa_handler == SIG_DFL);
}

TEST(p19_a_sigpipe_that_was_pending_before_stays)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_kill(pthread_self(), SIGPIPE);
    CHECK(sigpipe_is_pending());
    CHECK_IS(run(write_to_nobody, NULL), 0);
    CHECK(sigpipe_is_pending() && sigpipe_is_blocked());
    CHECK_IS(sigtimedwait(&set, NULL, &(struct timespec){0, 0}), SIGPIPE);
}

static volatile sig_atomic_t handled;

static void count_signal(int number)
{
    handled = number;
}

TEST(p19_the_programs_own_handler_stays)
{
    struct sigaction action = {.sa_handler = count_signal}, after;

    CHECK_IS(sigaction(SIGPIPE, &action, NULL), 0);
    CHECK_IS(run(write_to_nobody, NULL), 0);
    CHECK_IS(handled, 0);
    CHECK_IS(sigaction(SIGPIPE, NULL, &after), 0);
    CHECK(after.sa_handler == count_signal);
}

/* ---- SIGPIPE ---- */

/* Writes in every way there is to a socket (Unix, TCP) or a pipe whose other end has gone. */
static struct tally broken;

static unsigned long n_broken; /* how many there are to be */

static void on_broken(void *unused, int64_t result)
{
    (void)unused;
    CHECK(result == -EPIPE || result == -ECONNRESET);
    broken.count++;
}

static void write_in_every_way(struct loop_scope *scope, struct loop_flow *flow, bool is_socket)
{
    static struct iovec iov = {(char *)(uintptr_t) "xy", 2};
    static const struct loop_message message = {.iov = &iov, .n_iov = 1};
    struct loop_chunk *chunk = loop_chunk_alloc(loop_scope_loop(scope));

    loop_op_write(NULL, flow->fd, "x", 1, LOOP_CURRENT, on_broken, NULL);
    loop_op_writev(NULL, flow->fd, &iov, 1, LOOP_CURRENT, on_broken, NULL);
    n_broken += 5 + (is_socket ? 2 : 1) + (chunk ? 1 : 0);
    if (is_socket) {
        loop_op_send(NULL, flow->fd, "x", 1, 0, on_broken, NULL);
        loop_op_send_msg(NULL, flow->fd, &message, on_broken, NULL);
    } else {
        loop_op_splice(NULL, adopt(scope, make_file("abc", 3)), 0, flow->fd, LOOP_CURRENT, 3, on_broken, NULL);
    }
    loop_copy(loop_memory_source(scope, "xyz", 3), &flow->sink, on_broken, NULL);
    loop_write(&flow->sink, "x", 1, on_broken, NULL);
    loop_writev(&flow->sink, &iov, 1, on_broken, NULL);
    if (chunk) {
        loop_write_chunk(&flow->sink, chunk, 1, on_broken, NULL);
    }
}

static int write_to_many(struct loop_env *env, void *unused)
{
    int fds[2];

    (void)unused;
    make_pipe(fds);
    close(fds[0]);
    write_in_every_way(env->scope, flow_of(env->scope, fds[1]), false);
    make_pair(fds);
    close(fds[0]);
    write_in_every_way(env->scope, flow_of(env->scope, fds[1]), true);
    make_tcp_pair(fds);
    close_with_reset(fds[0]);
    write_in_every_way(env->scope, flow_of(env->scope, fds[1]), true);
    return 0;
}

TEST(sigpipe_kills_nobody_whatever_is_written_and_however)
{
    struct sigaction action;

    CHECK(!sigpipe_is_pending());
    CHECK_IS(run(write_to_many, NULL), 0);
    CHECK(n_broken >= 20);
    CHECK_IS(broken.count, n_broken);
    CHECK(!sigpipe_is_pending());
    CHECK_IS(sigaction(SIGPIPE, NULL, &action), 0);
    CHECK(action.sa_handler == SIG_DFL);
}

TEST(sigpipe_that_was_pending_before_stays_pending)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_kill(pthread_self(), SIGPIPE);
    CHECK_IS(run(write_to_many, NULL), 0);
    CHECK(n_broken >= 20);
    CHECK_IS(broken.count, n_broken);
    CHECK(sigpipe_is_pending());
    CHECK_IS(sigtimedwait(&set, NULL, &(struct timespec){0, 0}), SIGPIPE);
}

static int write_and_die(void *unused)
{
    int fds[2];

    (void)unused;
    run(write_to_many, NULL);
    make_pipe(fds);
    close(fds[0]);
    return write(fds[1], "x", 1) == 1 ? 1 : 2;
}

TEST(sigpipe_kills_as_ever_when_the_loop_has_ended)
{
    int status = in_child(write_and_die, NULL);

    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
}
