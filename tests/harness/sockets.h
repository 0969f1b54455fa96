/* SPDX-License-Identifier: ISC
 *
 * Addresses, listeners and a server, for suites that need connections.
 */
#ifndef TESTS_SOCKETS_H
#define TESTS_SOCKETS_H

#include "harness.h"

#include <stdio.h>

static inline struct loop_address parsed(const char *text)
{
    struct loop_address address;

    CHECK_IS(loop_address_parse(&address, text), 0);
    return address;
}

__attribute__((unused)) static char unix_text[200];

/* Returns "unix:" and the path of a socket in a directory. The next call overwrites the text. */
static inline const char *unix_path(const char *directory)
{
    snprintf(unix_text, sizeof unix_text, "unix:%s/socket", directory);
    return unix_text;
}

/* Returns the last result of unix_path without "unix:". */
static inline const char *socket_file(void)
{
    return unix_text + 5;
}

/* Listens, and stores the listening address. */
static inline struct loop_listener *listen_at(struct loop_scope *scope, struct loop_address *address, const char *text)
{
    struct loop_listener *listener = NULL;

    *address = parsed(text);
    CHECK_IS(loop_listen(scope, address, NULL, &listener), 0);
    CHECK(listener != NULL);
    CHECK_IS(loop_listener_address(listener, address), 0);
    return listener;
}

/* Creates a socket file without a listener, as a killed server leaves it. */
static inline void make_stale(const struct loop_address *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK_IS(bind(fd, &address->u.any, address->length), 0);
    CHECK_IS(listen(fd, 1), 0);
    close(fd);
}

/* Creates a held child scope, which does not end before it is unheld. */
static inline struct loop_scope *open_held(struct loop_scope *parent, struct once *ended)
{
    struct loop_scope *scope = loop_scope_open(parent, ended ? once_resumed : NULL, ended);

    CHECK(scope != NULL);
    loop_scope_hold(scope);
    return scope;
}

/* ---- a server ---- */

__attribute__((unused)) static struct serving {
    struct loop_server *server;
    struct loop_address address;
    struct once ended;
    unsigned connections, over;
    struct loop_flow *last;
} serving;

static inline void connection_over(void *unused)
{
    (void)unused;
    serving.over++;
    script_poke();
}

static inline void echo_connection(struct loop_flow *peer, void *unused)
{
    (void)unused;
    serving.connections++;
    CHECK(loop_scope_defer(peer->scope, connection_over, NULL));
    CHECK(loop_copy(&peer->source, &peer->sink, NULL, NULL) != 0);
    script_poke();
}

static inline void hold_connection(struct loop_flow *peer, void *unused)
{
    (void)unused;
    serving.connections++;
    serving.last = peer;
    CHECK(loop_sleep(peer->scope, LOOP_NEVER, NULL, NULL) != 0);
    script_poke();
}

/* Serves on loopback, and stores the server, its address and its result in `serving`. */
static inline void serve(struct loop_scope *scope, struct loop_serve_options options, loop_connection_fn *fn)
{
    options.on_end = once_resumed;
    options.on_end_arg = &serving.ended;
    serving.address = parsed("tcp:127.0.0.1:0");
    CHECK_IS(loop_serve(scope, &serving.address, &options, &serving.server, fn, NULL), 0);
    CHECK(serving.server != NULL);
    CHECK_IS(loop_listener_address(loop_server_listener(serving.server), &serving.address), 0);
}

static inline void must_end_well(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 0);
}

/* Serves on loopback, and checks that the server ends with 0. */
static inline void serve_well(struct loop_scope *scope, loop_connection_fn *fn)
{
    struct loop_serve_options options = {.on_end = must_end_well};

    serving.address = parsed("tcp:127.0.0.1:0");
    CHECK_IS(loop_serve(scope, &serving.address, &options, &serving.server, fn, NULL), 0);
    CHECK_IS(loop_listener_address(loop_server_listener(serving.server), &serving.address), 0);
}

/* Echo by a copy, and by lent chunks. */
static inline void echo_by_copy(struct loop_flow *peer, void *unused)
{
    (void)unused;
    loop_copy(&peer->source, &peer->sink, NULL, NULL);
}

static inline void echo_lent(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct loop_flow *peer = arg;

    if (chunk) {
        loop_write_chunk(&peer->sink, chunk, (size_t)result, NULL, NULL);
    } else if (result < 0) {
        loop_scope_fail(peer->scope, result);
    }
}

static inline void echo_by_chunks(struct loop_flow *peer, void *unused)
{
    (void)unused;
    loop_stream(&peer->source, echo_lent, peer);
}

static inline struct loop_server_stats served(void)
{
    struct loop_server_stats stats;

    loop_server_get_stats(serving.server, &stats);
    return stats;
}

static inline struct loop_flow *visit(struct loop_scope *scope)
{
    return flow_of(scope, connect_to(&serving.address.u.ipv4));
}

/* Sends a word, and ends when it has been echoed. */
static inline loop_job talk(struct loop_flow *client, loop_fn *fn, void *arg)
{
    static char word[4];

    CHECK_IS(send(loop_fd_peek(client->fd), "word", 4, 0), 4);
    return loop_read_exact(&client->source, word, 4, fn, arg);
}

#endif
