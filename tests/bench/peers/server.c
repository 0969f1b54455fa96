/* SPDX-License-Identifier: ISC
 *
 * Arguments and listening sockets of the benchmark servers. See server.h.
 */
#include "server.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void parse_address(struct bench_address *address, const char *text, int type)
{
    if (!bench_address_parse(address, text) || address->type != type) {
        bench_refuse("'%s' is no address for this", text);
    }
}

static enum server_mode parse_mode(const char *text)
{
    static const char *const names[] = {[SERVER_ECHO] = "echo", [SERVER_UDP] = "udp", [SERVER_PROXY] = "proxy"};

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            return (enum server_mode)i;
        }
    }
    bench_refuse("the mode is echo, udp or proxy, not '%s'", text);
}

struct server server_arguments(int argc, char **argv, const char *option)
{
    struct server server = {0};

    if (option && argc > 1 && strcmp(argv[1], option) == 0) {
        server.option = true;
        argc--;
        argv++;
    }
    if (argc < 3) {
        bench_refuse("usage: %s%s%s MODE LISTEN [UPSTREAM]", argv[0], option ? " " : "", option ? option : "");
    }
    server.mode = parse_mode(argv[1]);
    if (argc != (server.mode == SERVER_PROXY ? 4 : 3)) {
        bench_refuse("a proxy takes LISTEN and UPSTREAM, the others LISTEN alone");
    }
    parse_address(&server.listen, argv[2], server.mode == SERVER_UDP ? SOCK_DGRAM : SOCK_STREAM);
    if (server.mode == SERVER_PROXY) {
        parse_address(&server.upstream, argv[3], SOCK_STREAM);
    }
    bench_raise_descriptor_limit();
    return server;
}

void server_announce(int fd)
{
    struct bench_address address = bench_address_of(fd);
    char text[BENCH_ADDRESS_TEXT_SIZE];

    bench_address_format(&address, text);
    printf("listening on %s\n", text);
    fflush(stdout);
}

int server_listen(const struct server *server)
{
    int fd = bench_listen(&server->listen);

    server_announce(fd);
    return fd;
}

int server_connect_upstream(const struct server *server)
{
    int fd = bench_connect(&server->upstream);

    if (fd >= 0) {
        bench_set_nonblocking(fd);
    }
    return fd;
}

int server_far_end(const struct server *server, int near)
{
    int far = server->mode == SERVER_PROXY ? server_connect_upstream(server) : near;

    if (far < 0) {
        close(near);
    }
    return far;
}
