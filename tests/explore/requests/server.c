/* SPDX-License-Identifier: ISC
 *
 * The server of the world requests.
 */
#include "requests.h"

#include "../explore.h"

#include <domain/domain.h>
#include <errno.h>
#include <loop/reader.h>
#include <loop/writer.h>
#include <stdio.h>
#include <string.h>

/* One connection of the server. */
struct peer {
    struct system *system;
    struct loop_flow *flow;
    struct loop_reader *reader;
    struct loop_writer *writer;
    loop_job lines;
    bool is_known, is_done, is_moving;
    unsigned key;
    struct loop_detached *detached; /* is_moving: what the server is to serve again */
    char out[LARGEST];
};

/* ---- the server's connections ---- */

static void on_peer_end(void *arg)
{
    struct peer *peer = arg;
    struct system *system = peer->system;

    system->n_open--;
    if (!peer->is_done && peer->is_known) {
        system->is_excused[peer->key] = true;
    }
}

static void on_peer_shut_down(void *arg, int64_t result)
{
    struct peer *peer = arg;

    peer->is_done = result == 0;
}

/* ---- moving a connection ---- */

/* Has the server serve a connection again, in one of its loops. Called in the loop of the server. */
static void serve_again(void *arg, int64_t result)
{
    struct peer *peer = arg;
    struct system *system = peer->system;
    int64_t error = result < 0 ? result : -ESHUTDOWN;

    system->is_excused[peer->key] = true; /* until a request is read from it there */
    if (result == 0 && !system->has_ended) {
        error = loop_server_adopt(system->server, peer->detached);
    }
    if (error == 0) {
        loop_simulation_sometimes("a connection was moved");
    } else {
        loop_detached_destroy(peer->detached);
    }
}

static void on_detached(void *arg, int64_t result)
{
    struct peer *peer = arg;

    if (result < 0) {
        loop_scope_fail(peer->flow->scope, (int)result);
        return;
    }
    peer->is_done = true; /* here */
    if (peer->system->n_domains == 0) {
        serve_again(peer, 0);
    } else {
        int error = loop_post(peer->system->inbox, serve_again, peer);
        if (error != 0) {
            serve_again(peer, error);
        }
    }
}

static void detach(struct peer *peer)
{
    explore_must(peer->flow->scope, loop_fd_detach(peer->flow->fd, &peer->detached, on_detached, peer));
}

/* Everything has been written. What the reader has read goes with the connection. A job that reads lines ends first. */
static void on_flushed_to_move(void *arg, int64_t result)
{
    struct peer *peer = arg;

    if (result < 0) {
        loop_scope_fail(peer->flow->scope, (int)result);
        return;
    }
    peer->is_moving = true;
    loop_writer_destroy(peer->writer);
    loop_reader_destroy(peer->reader);
    if (!peer->system->reads_lines) {
        detach(peer);
    }
}

static void move(struct peer *peer)
{
    if (peer->system->reads_lines) {
        loop_pause(loop_scope_loop(peer->flow->scope), peer->lines);
    }
    explore_must(peer->flow->scope, loop_writer_flush(peer->writer, on_flushed_to_move, peer));
}

/* ---- requests ---- */

static void read_request(struct peer *peer);

/* Appends an answer, all of it: the limit of the writer is beyond what is asked for. */
static bool answer(struct peer *peer, unsigned key, size_t length)
{
    int error = loop_writer_print(peer->writer, "%u %zu\n", key, length);

    explore_fill(peer->out, length, key, 0);
    if (error == 0 && peer->system->writing == BY_BORROWING) {
        error = loop_writer_append_borrowed(peer->writer, peer->out, length);
    } else if (error == 0) {
        error = loop_writer_append(peer->writer, peer->out, length);
    }
    if (error != 0) {
        loop_scope_fail(peer->flow->scope, error);
    }
    return error == 0;
}

static void on_flushed(void *arg, int64_t result)
{
    struct peer *peer = arg;

    if (result == 0 && peer->system->reads_lines) {
        loop_resume(loop_scope_loop(peer->flow->scope), peer->lines);
    } else if (result == 0) {
        read_request(peer);
    } else {
        loop_scope_fail(peer->flow->scope, result);
    }
}

/* Waits until what was appended may be followed by more. */
static void go_on(struct peer *peer)
{
    bool is_full = loop_writer_pending(peer->writer) > LARGEST;

    if (peer->system->writing == BY_BORROWING || is_full) {
        if (is_full) {
            loop_simulation_sometimes("the server waited for room");
        }
        if (peer->system->reads_lines) {
            loop_pause(loop_scope_loop(peer->flow->scope), peer->lines);
        }
        loop_job job = peer->system->writing == BY_BORROWING ? loop_writer_flush(peer->writer, on_flushed, peer)
                                                             : loop_writer_wait_drained(peer->writer, on_flushed, peer);
        explore_must(peer->flow->scope, job);
    } else if (!peer->system->reads_lines) {
        read_request(peer);
    }
}

static void on_request(void *arg, int64_t result)
{
    struct peer *peer = arg;
    unsigned key, number;
    size_t length, padding, len;

    if (peer->is_moving) {
        detach(peer);
        return;
    } else if (result == 0) {
        explore_must(peer->flow->scope, loop_writer_shutdown(peer->writer, on_peer_shut_down, peer));
        return;
    } else if (result < 0) {
        loop_scope_fail(peer->flow->scope, result);
        return;
    }
    const char *line = loop_reader_data(peer->reader, &len);
    if (sscanf(line, "%u %u %zu %zu ", &key, &number, &length, &padding) != 4 || length > LARGEST ||
        key >= N_CLIENTS * MOST_ATTEMPTS || len < padding || strspn(line + len - padding, "x") != padding) {
        /* A client that gives up may end in the middle of a line, so it must have given up. */
        loop_simulation_sometimes("the server read a part of a request");
        loop_scope_fail(peer->flow->scope, -EPROTO);
        return;
    }
    peer->is_known = peer->system->is_known[key] = true;
    peer->key = key;
    peer->system->is_excused[key] = false;
    if (peer->system->writing == BY_CORK) {
        number % 2 ? loop_writer_uncork(peer->writer) : loop_writer_cork(peer->writer);
    }
    if (!answer(peer, key, length)) {
        return;
    }
    if (peer->system->moves && number == 2) {
        move(peer);
    } else {
        go_on(peer);
    }
}

static void read_request(struct peer *peer)
{
    explore_must(peer->flow->scope, loop_reader_line(peer->reader, on_request, peer));
}

static void on_connection(struct loop_flow *flow, void *arg)
{
    struct system *system = arg;
    struct peer *peer = loop_world_alloc(loop_node_world(system->server_node), sizeof *peer);

    if (system->has_ended) { /* a stop serves what has waited in the backlog */
        loop_world_fail(NULL, "a connection after the end");
    } else if (++system->n_open > system->most_open && system->most_open > 0) {
        loop_world_fail(NULL, "too many connections: %u", system->n_open);
    }
    *peer = (struct peer){.system = system, .flow = flow};
    if (!loop_scope_defer(flow->scope, on_peer_end, peer)) {
        loop_scope_fail(flow->scope, -ENOMEM);
        return;
    }
    peer->reader = loop_reader_create(&flow->source, 0);
    peer->writer = loop_writer_create(&flow->sink, 4 * LARGEST);
    if (!peer->reader || !peer->writer) {
        loop_scope_fail(flow->scope, -ENOMEM);
    } else if (system->reads_lines) {
        peer->lines = loop_reader_lines(peer->reader, on_request, peer);
        explore_must(flow->scope, peer->lines);
    } else {
        read_request(peer);
    }
}

/* ---- the server ---- */

static void on_server_end(void *arg, int64_t result)
{
    struct system *system = arg;

    if (system->has_ended) {
        loop_world_fail(NULL, "a server that ends twice");
    } else if (system->n_open > 0) {
        loop_world_fail(NULL, "a server that ends before its connections: %u", system->n_open);
    } else if (result == 0 && !system->has_stopped && !system->is_signalled) {
        loop_world_fail(NULL, "a server that ends by itself");
    }
    system->has_ended = true;
    if (result == 0) {
        loop_simulation_sometimes("a server was stopped");
    }
}

static void stop(void *arg, int64_t result)
{
    static const int64_t graces[] = {LOOP_SECOND, 0, 20 * LOOP_MILLISECOND};
    struct system *system = arg;

    if (result == 0 && !system->has_ended) {
        if (system->n_open > 0) {
            loop_simulation_sometimes("a server was told to stop while connections were open");
        }
        system->has_stopped = true;
        loop_server_stop(system->server, loop_now(system->env->loop) + EXPLORE_ONE_OF(graces));
    }
}

static void drop_inbox(void *arg)
{
    struct system *system = arg;

    loop_inbox_unref(system->inbox);
}

int requests_serve(struct loop_env *env, void *arg)
{
    struct system *system = arg;
    struct loop_address address;
    const struct loop_domains_options domain_options = {.loop.way = system->has_completions ? LOOP_WAY_COMPLETIONS
                                                                                            : LOOP_WAY_READINESS};

    system->env = env;
    system->has_stopped = system->has_ended = system->is_signalled = false;
    system->n_open = 0;
    system->inbox = loop_inbox_ref(env->loop);
    if (!loop_scope_defer(env->scope, drop_inbox, system)) {
        return -ENOMEM;
    }
    loop_address_parse(&address, "tcp:0.0.0.0:7000");
    int error = loop_serve(env->scope, &address,
                           &(struct loop_serve_options){.listen.reuse_addr = true,
                                                        .max_connections = system->most_open,
                                                        .domains = system->n_domains,
                                                        .domain_options = system->n_domains ? &domain_options : NULL,
                                                        .stop_on_signals = true,
                                                        .grace_ns = 50 * LOOP_MILLISECOND,
                                                        .on_end = on_server_end,
                                                        .on_end_arg = system},
                           &system->server, on_connection, system);
    if (error == 0 && system->stop_after_ns > 0) {
        loop_job job = loop_sleep(env->scope, system->stop_after_ns, stop, system);
        system->stop_after_ns = 0;
        if (job) {
            loop_daemon(env->loop, job);
        }
    }
    return error;
}
