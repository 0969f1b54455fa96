/* SPDX-License-Identifier: ISC
 *
 * A request with a deadline, sent to a server that never answers.
 */
#include <loop/loop.h>
#include <net/net.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct call {
    struct loop_flow *server;
    char answer[64];
};

static void on_answer(void *arg, int64_t result)
{
    (void)arg;
    printf("the answer: %s\n", result < 0 ? strerror((int)-result) : "it came");
}

static void on_connected(void *arg, int64_t result)
{
    struct call *call = arg;

    if (result == 0) {
        loop_write(&call->server->sink, "ready?\n", 7, NULL, NULL);
        loop_read(&call->server->source, call->answer, sizeof call->answer, on_answer, call);
    }
}

static void on_call_end(void *arg, int64_t error)
{
    (void)arg;
    printf("the call: %s\n", error < 0 ? strerror((int)-error) : "done");
}

static int start_call(struct loop_scope *parent, const struct loop_address *address)
{
    struct loop_scope *scope = loop_scope_open(parent, on_call_end, NULL);
    struct call *call = scope ? loop_scope_alloc(scope, sizeof *call) : NULL;

    if (!call) {
        return -ENOMEM;
    }
    loop_scope_deadline(scope, loop_now(loop_scope_loop(scope)) + 100 * LOOP_MILLISECOND);
    loop_connect(scope, address, NULL, &call->server, on_connected, call);
    return 0;
}

/* The silent server: the kernel completes connections for it, but the program does not accept them. */
static int start(struct loop_env *env, void *arg)
{
    struct loop_listener *listener;
    struct loop_address address;
    int error = loop_address_parse(&address, "tcp:127.0.0.1:0");

    (void)arg;
    if (error == 0) {
        error = loop_listen(env->scope, &address, NULL, &listener);
    }
    if (error == 0) {
        error = loop_listener_address(listener, &address);
    }
    return error == 0 ? start_call(env->scope, &address) : error;
}

int main(void)
{
    return loop_run(0, 0, 0, NULL, start, NULL) == 0 ? 0 : 1;
}
