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

/* What everybody reads at once, at most. */
#define SERVER_READ_BYTES 65536

enum server_mode { SERVER_ECHO, SERVER_UDP, SERVER_PROXY };

struct server {
    enum server_mode mode;
    struct bench_address listen, upstream;
    bool option; /* the one a program may have was given */
};

/* Reads the arguments, or ends the program with status 2. `option` may be NULL. */
struct server server_arguments(int argc, char **argv, const char *option);

/* Listens, or binds the datagram socket. */
int server_listen(const struct server *server);

/* The line that says so, for those who listen by other means. */
void server_announce(int fd);

/* A nonblocking socket connected to `upstream`; -1 where that fails. */
int server_connect_upstream(const struct server *server);

/* Where the accepted stream goes on: itself for an echo, a new connection to `upstream` for a proxy. Closes `near` and
 * returns -1 where that fails. */
int server_far_end(const struct server *server, int near);

#endif
