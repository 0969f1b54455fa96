/* SPDX-License-Identifier: ISC
 *
 * Arguments and listening sockets of the benchmark servers.
 *
 * server_X [OPTION] MODE LISTEN [UPSTREAM]
 *
 *   echo    sends back the bytes of each stream
 *   udp     sends back each datagram
 *   proxy   forwards each stream to UPSTREAM
 *
 * When ready, a server prints one line, "listening on ADDRESS", and serves until it is killed.
 */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include "bench.h"

/* The largest read of every server. */
#define SERVER_READ_BYTES 65536

enum server_mode { SERVER_ECHO, SERVER_UDP, SERVER_PROXY };

struct server {
    enum server_mode mode;
    struct bench_address listen, upstream;
    bool option; /* the program's own option was given */
};

/* Parses the arguments, or exits with status 2. `option` may be NULL. */
struct server server_arguments(int argc, char **argv, const char *option);

/* Returns a listening socket, or a bound datagram socket. */
int server_listen(const struct server *server);

/* Prints the line "listening on ADDRESS", for servers that listen by other means. */
void server_announce(int fd);

/* Returns a nonblocking socket connected to `upstream`, or -1 on an error. */
int server_connect_upstream(const struct server *server);

/* Returns the destination of an accepted stream: `near` itself for an echo, a new connection to `upstream` for a
 * proxy. On an error closes `near` and returns -1. */
int server_far_end(const struct server *server, int near);

#endif
