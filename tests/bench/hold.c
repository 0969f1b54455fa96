/* SPDX-License-Identifier: ISC
 *
 * hold ADDRESS N [touch]: opens N connections, sends a byte on each and waits for its echo if `touch` is said, writes
 * "holding N", and keeps them until its standard input ends. For measuring what a connection costs the server that does
 * nothing.
 */
#include <net/net.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE 64 /* connects in flight: a listener's backlog is not what is measured */

struct holder {
    struct loop_env *env;
    struct loop_address address;
    unsigned n_wanted, n_started, n_ready;
    bool touches;
    char end;
    struct peer *peers;
};

struct peer {
    struct holder *holder;
    struct loop_flow *flow;
    char byte;
};

static void start_next(struct holder *holder);

static void fail(struct holder *holder, int64_t error)
{
    fprintf(stderr, "hold: %s\n", strerror((int)-error));
    loop_scope_fail(holder->env->scope, error);
}

static void on_ready(void *arg, int64_t result)
{
    struct peer *peer = arg;
    struct holder *holder = peer->holder;
    if (result < 0) {
        fail(holder, result);
        return;
    }
    if (++holder->n_ready == holder->n_wanted) {
        printf("holding %u\n", holder->n_wanted);
        fflush(stdout);
    }
    start_next(holder);
}

static void on_connected(void *arg, int64_t result)
{
    struct peer *peer = arg;
    if (result < 0 || !peer->holder->touches) {
        on_ready(peer, result);
        return;
    }
    loop_write(&peer->flow->sink, "x", 1, NULL, NULL);
    loop_read(&peer->flow->source, &peer->byte, 1, on_ready, peer);
}

static void start_next(struct holder *holder)
{
    if (holder->n_started < holder->n_wanted) {
        struct peer *peer = &holder->peers[holder->n_started++];
        peer->holder = holder;
        loop_connect(holder->env->scope, &holder->address, NULL, &peer->flow, on_connected, peer);
    }
}

static void on_input_end(void *arg, int64_t result)
{
    (void)result;
    struct holder *holder = arg;
    loop_scope_cancel(holder->env->scope);
}

static int start(struct loop_env *env, void *arg)
{
    struct holder *holder = arg;
    holder->env = env;
    loop_read(env->in, &holder->end, 1, on_input_end, holder);
    for (unsigned i = 0; i < AT_ONCE; i++) {
        start_next(holder);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct holder holder = {0};
    if (argc < 3 || loop_address_parse(&holder.address, argv[1]) || atoi(argv[2]) <= 0) {
        fprintf(stderr, "hold: ADDRESS N [touch]\n");
        return 2;
    }
    holder.n_wanted = (unsigned)atoi(argv[2]);
    holder.touches = argc > 3 && !strcmp(argv[3], "touch");
    holder.peers = calloc(holder.n_wanted, sizeof *holder.peers);
    if (!holder.peers) {
        return 1;
    }
    int result = loop_run(256, 0, 0, NULL, start, &holder);
    free(holder.peers);
    return result == -ECANCELED || result == 0 ? 0 : 1;
}
