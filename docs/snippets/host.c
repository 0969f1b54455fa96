/* SPDX-License-Identifier: ISC
 *
 * A loop inside the program's own event loop, which is a plain poll(2): it reads standard input itself, and has Noria
 * send each line through a pair of sockets and back.
 */
#include <loop/loop.h>
#include <net/net.h>

#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct app {
    struct loop *loop;
    struct loop_flow *ends[2];
    char sent[256], received[256];
    unsigned n_on_the_way;
};

/* main of the loop. The job that never ends keeps the loop open while it has nothing to do. */
static int start(struct loop_env *env, void *arg)
{
    struct app *app = arg;

    loop_sleep(env->scope, LOOP_NEVER, NULL, NULL);
    return loop_socketpair(env->scope, &app->ends[0], &app->ends[1]);
}

static void on_line(void *arg, int64_t result)
{
    struct app *app = arg;

    app->n_on_the_way--;
    if (result > 0) {
        printf("%" PRId64 " bytes came back: %.*s", result, (int)result, app->received);
    }
}

/* A function of the host: what it starts begins with the next turn. */
static bool send_input(struct app *app)
{
    ssize_t n = read(STDIN_FILENO, app->sent, sizeof app->sent);

    if (n <= 0) {
        return false;
    }
    loop_write(&app->ends[0]->sink, app->sent, (size_t)n, NULL, NULL);
    loop_read(&app->ends[1]->source, app->received, sizeof app->received, on_line, app);
    app->n_on_the_way++;
    return true;
}

/* Rounds up, so that no timer is early. */
static int milliseconds(int64_t ns)
{
    int64_t ms = ns / LOOP_MILLISECOND + (ns % LOOP_MILLISECOND > 0);

    return ns == LOOP_NEVER ? -1 : ms < INT_MAX ? (int)ms : INT_MAX;
}

static void run(struct app *app)
{
    bool has_input = true;

    while (has_input || app->n_on_the_way > 0) {
        struct pollfd ready[] = {
            {.fd = loop_number(app->loop), .events = POLLIN},
            {.fd = has_input && app->n_on_the_way == 0 ? STDIN_FILENO : -1, .events = POLLIN},
        };

        if (poll(ready, 2, milliseconds(loop_prepare(app->loop))) > 0 && ready[1].revents) {
            has_input = send_input(app);
        }
        loop_turn(app->loop);
    }
}

int main(void)
{
    struct app app = {0};

    if (loop_open(NULL, start, &app, &app.loop) != 0) {
        return 1;
    }
    run(&app);
    return loop_close(app.loop) == 0 ? 0 : 1;
}
