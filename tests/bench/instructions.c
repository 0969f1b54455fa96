/* SPDX-License-Identifier: ISC
 *
 * instructions PATH ROUNDS: runs one of the loop's hot paths N times per round, always in the same way.
 * tests/bench/instructions counts the instructions it executes. Functions whose names begin with outside_ play the part
 * of the peer; their instructions are excluded. Prints the number of operations, and the number of system calls that
 * the outside_ functions made.
 */
#include <loop/loop.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NOT_INLINED __attribute__((noinline))

enum { N = 64, MESSAGE = 64 };

struct connection {
    struct loop_flow *flow;
    int peer;   /* the other end of its socket */
    bool waits; /* an answer is outstanding */
    char answer[MESSAGE];
};

static struct loop_env *env;
static struct connection connections[N];
static loop_fn *next_round;
static char message[MESSAGE] = "a message";
static long rounds_left, operations, outside_calls;
static unsigned timers_left;
static loop_job timers[N];

static void stop(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

/* Runs after one turn of the loop: starts the next round, or ends the loop after the last one. */
static void go_on(loop_fn *round)
{
    next_round = round;
    if (rounds_left-- > 0) {
        operations += N;
        loop_sleep(env->scope, 0, next_round, NULL);
    } else {
        loop_scope_cancel(env->scope);
    }
}

/* ---- messages ---- */

/* Reads the answers of the last round. Returns true when all bytes have arrived. */
NOT_INLINED static bool outside_receive(void)
{
    char answer[MESSAGE + 1];

    for (int i = 0; i < N; i++) {
        if (!connections[i].waits) {
            continue;
        }
        outside_calls++;
        ssize_t n = recv(connections[i].peer, answer, sizeof answer, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            return false;
        }
        if (n != MESSAGE || memcmp(answer, message, MESSAGE) != 0) {
            stop("an answer");
        }
        connections[i].waits = false;
    }
    return true;
}

NOT_INLINED static void outside_send(void)
{
    message[MESSAGE - 1]++;
    for (int i = 0; i < N; i++) {
        outside_calls++;
        if (send(connections[i].peer, message, MESSAGE, MSG_DONTWAIT) != MESSAGE) {
            stop("a message");
        }
        connections[i].waits = true;
    }
}

static void exchange(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    if (!outside_receive()) {
        loop_sleep(env->scope, 0, exchange, NULL);
        return;
    }
    if (rounds_left > 0) {
        outside_send();
    }
    go_on(exchange);
}

static void open_connections(void)
{
    for (int i = 0; i < N; i++) {
        int fds[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
            stop("socketpair");
        }
        connections[i].flow = loop_fd_flow(loop_fd_adopt(env->scope, fds[0]));
        connections[i].peer = fds[1];
    }
}

static void ended(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
}

static void begin_echo(void)
{
    open_connections();
    for (int i = 0; i < N; i++) {
        loop_copy(&connections[i].flow->source, &connections[i].flow->sink, ended, NULL);
    }
    go_on(exchange);
}

static void on_message(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct connection *connection = arg;

    if (chunk) {
        memcpy(connection->answer, loop_chunk_data(chunk), (size_t)result);
        loop_write(&connection->flow->sink, connection->answer, (size_t)result, NULL, NULL);
    }
}

static void begin_stream(void)
{
    open_connections();
    for (int i = 0; i < N; i++) {
        loop_stream(&connections[i].flow->source, on_message, &connections[i]);
    }
    go_on(exchange);
}

/* ---- pipes ---- */

/* Each player reads from one pipe and writes to the other. */
struct player {
    struct loop_source *source;
    struct loop_sink *sink;
    char message[MESSAGE];
};

static struct player asking[N / 2], answering[N / 2];
static unsigned answers_left;

static void play(void *unused, int64_t result);

static void on_question(void *arg, int64_t result)
{
    struct player *player = arg;

    if (result > 0) {
        loop_write(player->sink, player->message, (size_t)result, NULL, NULL);
        loop_read(player->source, player->message, MESSAGE, on_question, player);
    }
}

static void on_answer(void *arg, int64_t result)
{
    struct player *player = arg;

    if (result > 0) {
        loop_read(player->source, player->message, MESSAGE, on_answer, player);
        if (--answers_left == 0) {
            go_on(play);
        }
    }
}

static void play(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    answers_left = N / 2;
    for (int i = 0; i < N / 2; i++) {
        loop_write(asking[i].sink, message, MESSAGE, NULL, NULL);
    }
}

static void begin_pipe(void)
{
    for (int i = 0; i < N / 2; i++) {
        if (loop_pipe(env->scope, &asking[i].source, &answering[i].sink) != 0 ||
            loop_pipe(env->scope, &answering[i].source, &asking[i].sink) != 0) {
            stop("loop_pipe");
        }
        loop_read(asking[i].source, asking[i].message, MESSAGE, on_answer, &asking[i]);
        loop_read(answering[i].source, answering[i].message, MESSAGE, on_question, &answering[i]);
    }
    go_on(play);
}

/* ---- timers ---- */

static void start_timers(void *unused, int64_t result);

static void on_timer(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    if (--timers_left == 0) {
        go_on(start_timers);
    }
}

/* Waits past the deadlines of all timers, so that they fire together. */
NOT_INLINED static void outside_pause(void)
{
    outside_calls++;
    nanosleep(&(struct timespec){.tv_nsec = 2 * LOOP_MILLISECOND}, NULL);
}

static void start_timers(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    timers_left = N;
    for (int i = 0; i < N; i++) {
        loop_sleep(env->scope, i * 10 * LOOP_MICROSECOND, on_timer, NULL);
    }
    outside_pause();
}

static void begin_fire(void)
{
    go_on(start_timers);
}

static void start_and_cancel(void *unused, int64_t result);

static void on_cancelled(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    if (--timers_left == 0) {
        go_on(start_and_cancel);
    }
}

static void start_and_cancel(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    timers_left = N;
    for (int i = 0; i < N; i++) {
        timers[i] = loop_sleep(env->scope, 30 * LOOP_SECOND + i * LOOP_MILLISECOND, on_cancelled, NULL);
    }
    for (int i = 0; i < N; i++) {
        loop_cancel(env->loop, timers[i]);
    }
}

static void begin_cancel(void)
{
    go_on(start_and_cancel);
}

/* ---- main ---- */

static const struct path {
    const char *name;
    void (*begin)(void);
} paths[] = {
    {"echo", begin_echo},        {"stream", begin_stream},          {"pipe", begin_pipe},
    {"timer-fires", begin_fire}, {"timer-cancelled", begin_cancel},
};

static int begin(struct loop_env *of_the_loop, void *path)
{
    env = of_the_loop;
    ((const struct path *)path)->begin();
    return 0;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 3 && i < sizeof paths / sizeof *paths; i++) {
        if (strcmp(argv[1], paths[i].name) == 0) {
            rounds_left = strtol(argv[2], NULL, 10);
            int answer = loop_run_with(&(struct loop_options){.queue_depth = 0}, begin, (void *)(uintptr_t)&paths[i]);
            printf("%ld %ld\n", operations, outside_calls);
            return answer == 0 || answer == -ECANCELED ? EXIT_SUCCESS : EXIT_FAILURE;
        }
    }
    fprintf(stderr, "usage: instructions PATH ROUNDS\n");
    return 2;
}
