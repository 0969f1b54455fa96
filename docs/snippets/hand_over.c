/* SPDX-License-Identifier: ISC
 *
 * Reads the first line of a connection in one loop, and serves the rest in another.
 */
#include <domain/domain.h>
#include <loop/reader.h>
#include <net/net.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct handing {
    struct loop_env *env;
    struct loop_domain_group *domains;
    loop_job running;
    struct loop_flow *peer, *client;
    struct loop_reader *reader;
    struct loop_detached *detached;
    char answer[8];
};

static void on_answer(void *arg, int64_t count)
{
    struct handing *handing = arg;

    printf("the domain has answered: %.*s\n", (int)count, handing->answer);
    loop_flow_close(handing->client); /* which ends the copy, and with it the call */
}

/* Runs in the domain. The connection belongs to the scope of the call, which ends with the copy. */
static void serve_there(struct loop_incoming *call, struct loop_scope *scope, void *arg)
{
    struct handing *handing = arg;
    struct loop_fd *fd = loop_fd_attach(scope, handing->detached);

    handing->detached = NULL;
    if (!fd) {
        loop_call_return(call, -ENOMEM);
        return;
    }
    struct loop_flow *peer = loop_fd_flow(fd);
    loop_copy(&peer->source, &peer->sink, NULL, NULL);
}

static void on_served(void *arg, int64_t result)
{
    struct handing *handing = arg;

    loop_detached_destroy(handing->detached); /* NULL, unless the domain has ended before it could begin */
    if (result < 0) {
        loop_scope_fail(handing->env->scope, result);
    }
    loop_cancel(handing->env->loop, handing->running);
}

static void on_detached(void *arg, int64_t result)
{
    struct handing *handing = arg;

    if (result < 0) {
        loop_scope_fail(handing->env->scope, result);
        return;
    }
    loop_call(handing->env->scope, loop_domains_inbox(handing->domains, 0), serve_there, handing, on_served, handing);
}

static void on_line(void *arg, int64_t result)
{
    struct handing *handing = arg;

    if (result > 0) {
        printf("this loop has read: %s\n", loop_reader_data(handing->reader, NULL));
    }
    loop_reader_destroy(handing->reader); /* what it has buffered goes back to the connection, and moves with it */
    loop_fd_detach(handing->peer->fd, &handing->detached, on_detached, handing);
}

static void on_started(void *arg, int64_t result)
{
    struct handing *handing = arg;

    if (result == 0) {
        handing->reader = loop_reader_create(&handing->peer->source, 0);
        loop_reader_line(handing->reader, on_line, handing);
    }
}

static int wait_for_calls(struct loop_env *env, unsigned index, void *arg)
{
    (void)index;
    (void)arg;
    return loop_sleep(env->scope, LOOP_NEVER, NULL, NULL) ? 0 : -ENOMEM;
}

static void on_end(void *arg, int64_t result)
{
    const struct handing *handing = arg;

    if (result < 0 && result != -ECANCELED) {
        loop_scope_fail(handing->env->scope, result);
    }
}

static int start(struct loop_env *env, void *arg)
{
    struct handing *handing = arg;
    int error = loop_socketpair(env->scope, &handing->peer, &handing->client);

    handing->env = env;
    if (error < 0) {
        return error;
    }
    loop_write(&handing->client->sink, "to whom\nhello", 13, NULL, NULL);
    loop_read_exact(&handing->client->source, handing->answer, 5, on_answer, handing);
    handing->running = loop_domains(env->scope, 1, NULL, &handing->domains, wait_for_calls, NULL, on_end, handing);
    loop_domains_wait_started(env->scope, handing->domains, on_started, handing);
    return 0;
}

int main(void)
{
    static struct handing handing;

    return loop_run(0, 0, 0, NULL, start, &handing) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
