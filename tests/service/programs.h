/* SPDX-License-Identifier: ISC
 *
 * Programs that replace each other, for the suites of service/: each is a service with one server, in one loop.
 */
#ifndef TESTS_SERVICE_PROGRAMS_H
#define TESTS_SERVICE_PROGRAMS_H

#include "sockets.h"

#include <service/service.h>

#include <stdio.h>
#include <sys/stat.h>

static const char *directory;
static struct loop_address control, address;
static struct loop_service_offer_options offering;

static inline void begin(void)
{
    char text[200];

    directory = make_directory();
    snprintf(text, sizeof text, "unix:%s/control", directory);
    control = parsed(text);
}

static inline bool exists(const char *name)
{
    char path[200];
    struct stat status;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    return lstat(path, &status) == 0;
}

/* ---- a program with one server ---- */

struct program {
    struct loop_scope *scope;
    struct loop_service *service;
    struct loop_server *server;
    struct once taken, ready, replaced, ended;
    unsigned n_connections;
    char letter; /* what it answers */
};

static inline void on_connection(struct loop_flow *peer, void *arg)
{
    struct program *program = arg;

    program->n_connections++;
    CHECK(loop_write(&peer->sink, &program->letter, 1, NULL, NULL) != 0);
    CHECK(loop_copy(&peer->source, &peer->sink, NULL, NULL) != 0);
}

static inline void open_program(struct program *program, struct loop_scope *scope, char letter)
{
    *program = (struct program){.scope = loop_scope_open(scope, NULL, NULL), .letter = letter};
    CHECK(program->scope != NULL);
    CHECK_IS(loop_service_open(program->scope, &program->service), 0);
}

static inline int serve_echo(struct program *program, const struct loop_address *at)
{
    const struct loop_serve_options options = {.on_end = once_resumed, .on_end_arg = &program->ended};

    return loop_service_serve(program->service, "echo", at, &options, &program->server, on_connection, program);
}

static inline void start_first(struct program *program, struct loop_scope *scope, const char *at)
{
    address = parsed(at);
    open_program(program, scope, 'a');
    CHECK_IS(serve_echo(program, &address), 0);
    CHECK_IS(loop_listener_address(loop_server_listener(program->server), &address), 0);
    CHECK(loop_service_ready(program->service, ONCE(&program->ready)) != 0);
    CHECK(loop_service_offer(program->service, &control, &offering, ONCE(&program->replaced)) != 0);
}

struct client {
    struct loop_flow *flow;
    struct once connected, got;
    char letter;
};

static inline void connect_client(struct client *client, struct loop_scope *scope)
{
    *client = (struct client){.flow = NULL};
    CHECK(loop_connect(scope, &address, NULL, &client->flow, ONCE(&client->connected)) != 0);
}

static inline void read_letter(struct client *client)
{
    client->got = (struct once){0};
    CHECK(loop_read_exact(&client->flow->source, &client->letter, 1, ONCE(&client->got)) != 0);
}

static const char *const places[] = {"tcp:127.0.0.1:0", "unix:server"};

static inline const char *place(int row)
{
    static char text[200];

    if (row == 0) {
        return places[0];
    }
    snprintf(text, sizeof text, "unix:%s/server", directory);
    return text;
}

#endif
