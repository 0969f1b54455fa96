/* SPDX-License-Identifier: ISC
 *
 * Datagram sockets: opening, round trips, invalid arguments, and the absence of wake-ups and allocations.
 */
#include "datagrams.h"
#include "sockets.h"

#include <stdio.h>
#include <sys/stat.h>

/* ---- there and back ---- */

static void check_echo(struct loop_env *env, int64_t result, const char *server_text, const char *client_text)
{
    static struct loop_datagram_socket *server, *client;
    static struct loop_address server_at, client_at;
    static struct heard by_server = {.echo = true}, by_client;
    static struct loop_datagram_stats stats;

    BEGIN;
    server = bound(env->scope, server_text, &server_at);
    client = bound(env->scope, client_text, &client_at);
    START(listen_with(&by_server, server));
    START(listen_with(&by_client, client));
    CHECK_IS(loop_datagram_put(client, &server_at, "one", 3), 0);
    CHECK_IS(loop_datagram_put(client, &server_at, "two!", 4), 0);
    WAIT_UNTIL(by_client.n == 2);
    CHECK(memcmp(by_server.first, "ot", 2) == 0 && memcmp(by_client.first, "ot", 2) == 0);
    CHECK_IS(by_client.len, 4);
    CHECK(is_same(&by_server.sender, &client_at) && is_same(&by_client.sender, &server_at));
    AWAIT(loop_datagram_send(client, &server_at, "three", 5, GO));
    CHECK_IS(result, 5);
    WAIT_UNTIL(by_client.n == 3);
    AWAIT(turns(env->scope, 2, GO));
    loop_datagram_get_stats(server, &stats);
    CHECK(stats.received == 3 && stats.sent == 3 && stats.failed == 0 && stats.dropped == 0 && stats.truncated == 0);
    CHECK_IS(loop_datagram_close(server), 0);
    CHECK_IS(loop_datagram_close(client), 0);
    WAIT_UNTIL(by_server.ends && by_client.ends);
    CHECK(by_server.end == -ECANCELED && by_client.end == -ECANCELED);
    END;
}

LOOP_TEST(echo_over_ipv4)
{
    check_echo(env, result, "udp:127.0.0.1:0", "udp:127.0.0.1:0");
}

LOOP_TEST(echo_over_ipv6)
{
    static bool has_ipv6;
    static struct loop_address address;
    int probe = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    address = parsed("udp:[::1]:0");
    has_ipv6 = probe >= 0 && bind(probe, &address.u.any, address.length) == 0;
    if (probe >= 0) {
        close(probe);
    }
    check_echo(env, result, has_ipv6 ? "udp:[::1]:0" : "udp:127.0.0.1:0", has_ipv6 ? "udp:[::1]:0" : "udp:127.0.0.1:0");
}

LOOP_TEST(echo_over_unix_abstract)
{
    check_echo(env, result, own_name("server"), own_name("client"));
}

LOOP_TEST(both_families_at_one_socket)
{
    static struct loop_datagram_socket *server, *client;
    static struct loop_address address, at;
    static struct heard by_server = {.echo = true}, by_client;

    BEGIN;
    server = bound(env->scope, "udp::0", &address);
    at = parsed("udp:127.0.0.1:0");
    at.u.ipv4.sin_port = address.u.ipv4.sin_port; /* which is where sin6_port is */
    client = connected(env->scope, &at);
    START(listen_with(&by_server, server));
    START(listen_with(&by_client, client));
    CHECK_IS(loop_datagram_put(client, NULL, "x", 1), 0);
    WAIT_UNTIL(by_client.n == 1);
    loop_datagram_close(server);
    loop_datagram_close(client);
    END;
}

LOOP_TEST(a_unix_socket_is_given_a_name_when_it_asks)
{
    static struct loop_datagram_socket *server, *client;
    static struct loop_address server_at, client_at;
    static struct loop_address any = {.length = sizeof(sa_family_t), .u.any.sa_family = AF_UNIX};
    static struct loop_datagram_options options = {.bind_to = &any, .connect_to = &server_at};
    static struct heard by_server = {.echo = true}, by_client;

    BEGIN;
    server = bound(env->scope, own_name("server"), &server_at);
    CHECK_IS(loop_datagram_open(env->scope, &options, &client), 0);
    CHECK_IS(loop_datagram_address(client, &client_at), 0);
    CHECK(client_at.length > sizeof(sa_family_t));
    START(listen_with(&by_server, server));
    START(listen_with(&by_client, client));
    CHECK_IS(loop_datagram_put(client, NULL, "x", 1), 0);
    WAIT_UNTIL(by_client.n == 1);
    CHECK(is_same(&by_server.sender, &client_at));
    loop_datagram_close(server);
    loop_datagram_close(client);
    END;
}

LOOP_TEST(who_has_no_name_is_not_answered)
{
    static struct loop_datagram_socket *server, *client;
    static struct loop_address address;
    static struct heard heard;

    BEGIN;
    server = bound(env->scope, own_name("server"), &address);
    client = connected(env->scope, &address);
    START(listen_with(&heard, server));
    CHECK_IS(loop_datagram_put(client, NULL, "x", 1), 0);
    WAIT_UNTIL(heard.n == 1);
    CHECK_IS(heard.sender.length, 0);
    CHECK_IS(loop_datagram_put(server, &heard.sender, "y", 1), -EDESTADDRREQ);
    AWAIT(loop_datagram_send(server, &heard.sender, "y", 1, GO));
    CHECK_IS(result, -EDESTADDRREQ);
    AWAIT(loop_datagram_send(server, NULL, "y", 1, GO));
    CHECK_IS(result, -EDESTADDRREQ);
    loop_datagram_close(server);
    loop_datagram_close(client);
    END;
}

LOOP_TEST(a_pair_is_adopted)
{
    static struct loop_datagram_socket *ends[2];
    static struct heard heard;
    static int fds[2];

    BEGIN;
    CHECK_IS(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
    CHECK_IS(loop_datagram_adopt(env->scope, fds[0], NULL, &ends[0]), 0);
    CHECK_IS(loop_datagram_adopt(env->scope, fds[1], NULL, &ends[1]), 0);
    START(listen_with(&heard, ends[1]));
    AWAIT(loop_datagram_send(ends[0], NULL, "pair", 4, GO));
    CHECK_IS(result, 4);
    WAIT_UNTIL(heard.n == 1);
    CHECK_IS(heard.len, 4);
    loop_datagram_close(ends[1]);
    END;
}

/* ---- costs ---- */

LOOP_TEST(p18_an_idle_socket_costs_nothing)
{
    static struct loop_datagram_socket *server, *client;
    static struct loop_address address;
    static struct heard by_server = {.echo = true}, by_client;
    static struct loop_stats before, after;

    BEGIN;
    server = bound(env->scope, "udp:127.0.0.1:0", &address);
    client = connected(env->scope, &address);
    START(listen_with(&by_server, server));
    START(listen_with(&by_client, client));
    CHECK_IS(loop_datagram_put(client, NULL, "x", 1), 0);
    WAIT_UNTIL(by_client.n == 1);
    AWAIT(loop_sleep(env->scope, 10 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &before);
    AWAIT(loop_sleep(env->scope, 200 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &after);
    CHECK(after.turns - before.turns <= 3);
    loop_datagram_close(server);
    loop_datagram_close(client);
    END;
}

#if !HAS_SANITIZER

static struct loop_address client_at;

static void answer_once_more(struct heard *heard)
{
    char answer[] = "made here";

    CHECK_IS(loop_datagram_put(heard->socket, &client_at, answer, sizeof answer), 0);
}

LOOP_TEST(p14_a_warm_echo_allocates_nothing)
{
    static struct loop_datagram_socket *server;
    static struct loop_address address;
    static struct heard heard = {.echo = true, .at = answer_once_more};
    static unsigned long before;
    static int client, i;

    BEGIN;
    server = bound(env->scope, "udp:127.0.0.1:0", &address);
    client = plain("udp:127.0.0.1:0", &client_at);
    START(listen_with(&heard, server));
    for (i = 0; i < 200; i++) {
        if (i == 100) {
            before = allocations();
        }
        send_letters(client, &address, "abc");
        WAIT_UNTIL(heard.n == 3 * ((unsigned)i + 1));
    }
    CHECK_IS(allocations() - before, 0);
    close(client);
    loop_datagram_close(server);
    END;
}

#endif

/* ---- opening ---- */

/* The file of a closed socket. */
static void leave_file_behind(const struct loop_address *address)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    CHECK_IS(bind(fd, &address->u.any, address->length), 0);
    close(fd);
}

static int try_open(struct loop_scope *scope, const char *bind_to, const char *connect_to,
                    struct loop_datagram_options options)
{
    struct loop_address addresses[2];
    struct loop_datagram_socket *socket = (void *)&addresses;

    if (bind_to) {
        addresses[0] = parsed(bind_to);
        options.bind_to = &addresses[0];
    }
    if (connect_to) {
        addresses[1] = parsed(connect_to);
        options.connect_to = &addresses[1];
    }
    int answer = loop_datagram_open(scope, &options, &socket);
    CHECK((answer == 0) == (socket != NULL));
    return answer;
}

LOOP_TEST(p23_opening_fails_with_the_reason)
{
    static const struct loop_datagram_options none;
    static struct loop_socket_setting bad = {LOOP_IP_TTL, 1000};
    static struct loop_datagram_socket *socket;
    static char taken[LOOP_ADDRESS_TEXT_SIZE];
    static struct loop_address address;
    static int fds[2];

    BEGIN;
    CHECK_IS(loop_datagram_open(env->scope, NULL, &socket), -EINVAL);
    CHECK_IS(try_open(env->scope, NULL, NULL, none), -EINVAL);
    CHECK_IS(try_open(env->scope, "udp:127.0.0.1:0", "udp:[::1]:1", none), -EINVAL);
    CHECK_IS(try_open(env->scope, "udp:127.0.0.1:0", NULL, (struct loop_datagram_options){.mode = 01000}), -EINVAL);
    CHECK_IS(try_open(env->scope, "udp:127.0.0.1:0", NULL, (struct loop_datagram_options){.max_bytes = 1048577}),
             -EINVAL);
    CHECK_IS(try_open(env->scope, "udp:127.0.0.1:0", NULL,
                      (struct loop_datagram_options){.settings = &bad, .n_settings = 1}),
             -EINVAL);
    CHECK_IS(try_open(env->scope, own_name("x"), NULL, (struct loop_datagram_options){.reuse_port = true}),
             -EOPNOTSUPP);
    CHECK_IS(try_open(env->scope, "udp:192.0.2.1:0", NULL, none), -EADDRNOTAVAIL);
    CHECK_IS(try_open(env->scope, NULL, "unix:/nowhere/at/all", none), -ENOENT);
    socket = bound(env->scope, "udp:127.0.0.1:0", &address);
    CHECK(loop_address_format(&address, taken, sizeof taken) > 0);
    CHECK_IS(try_open(env->scope, taken, NULL, none), -EADDRINUSE);
    make_pair(fds);
    CHECK_IS(loop_datagram_adopt(env->scope, fds[0], NULL, &socket), -EPROTOTYPE);
    CHECK(!is_open(fds[0]) && !socket);
    close(fds[1]);
    make_pipe(fds);
    CHECK_IS(loop_datagram_adopt(env->scope, fds[0], NULL, &socket), -ENOTSOCK);
    CHECK(!is_open(fds[0]));
    close(fds[1]);
    CHECK_IS(loop_datagram_adopt(env->scope, -1, NULL, &socket), -EBADF);
    END;
}

LOOP_TEST(p23_sending_takes_no_nonsense)
{
    static struct loop_datagram_socket *client;
    static struct loop_address at, bad = {.length = 3}, other = {.length = 16, .u.any.sa_family = AF_PACKET};

    BEGIN;
    client = bound(env->scope, "udp:127.0.0.1:0", &at);
    CHECK_IS(loop_datagram_put(client, NULL, "x", 1), -EDESTADDRREQ);
    CHECK_IS(loop_datagram_put(client, &at, NULL, 1), -EINVAL);
    CHECK_IS(loop_datagram_put(client, &bad, "x", 1), -EAFNOSUPPORT);
    CHECK_IS(loop_datagram_put(client, &other, "x", 1), -EAFNOSUPPORT);
    bad.length = 1;
    CHECK_IS(loop_datagram_put(client, &bad, "x", 1), -EINVAL);
    CHECK_IS(loop_datagram_put(client, &at, "x", SIZE_MAX), -EMSGSIZE);
    AWAIT(loop_datagram_send(client, &bad, "x", 1, GO));
    CHECK_IS(result, -EINVAL);
    END;
}

LOOP_TEST(several_sockets_on_one_port)
{
    static struct loop_address address;
    static struct loop_datagram_options options = {.bind_to = &address, .reuse_port = true};
    static struct loop_datagram_socket *sockets[2];

    BEGIN;
    address = parsed("udp:127.0.0.1:0");
    CHECK_IS(loop_datagram_open(env->scope, &options, &sockets[0]), 0);
    CHECK_IS(loop_datagram_address(sockets[0], &address), 0);
    CHECK_IS(loop_datagram_open(env->scope, &options, &sockets[1]), 0);
    END;
}

LOOP_TEST(the_file_of_a_unix_socket_goes_with_it)
{
    static char text[300];
    static const char *directory;
    static struct loop_datagram_socket *socket;
    static struct loop_address address;
    static struct loop_datagram_options options = {.bind_to = &address, .mode = 0620};
    static struct stat status;

    BEGIN;
    directory = make_directory();
    snprintf(text, sizeof text, "unix:%s/socket", directory);
    address = parsed(text);
    CHECK_IS(loop_datagram_open(env->scope, &options, &socket), 0);
    CHECK_IS(stat(text + 5, &status), 0);
    CHECK(S_ISSOCK(status.st_mode) && (status.st_mode & 0777) == 0620);
    CHECK_IS(try_open(env->scope, text, NULL, (struct loop_datagram_options){.reuse_addr = true}), -EADDRINUSE);
    CHECK_IS(loop_datagram_close(socket), 0);
    CHECK_IS(stat(text + 5, &status), -1);
    leave_file_behind(&address);
    CHECK_IS(try_open(env->scope, text, NULL, (struct loop_datagram_options){0}), -EADDRINUSE);
    CHECK_IS(try_open(env->scope, text, NULL, (struct loop_datagram_options){.reuse_addr = true}), 0);
    CHECK_IS(stat(text + 5, &status), 0);
    CHECK_IS(unlink(text + 5), 0);
    remove_directory(directory);
    END;
}

#if !HAS_SANITIZER

static void ignore(void *arg, int64_t result)
{
    (void)arg;
    (void)result;
}

/* Each allocation fails in turn: a call that then fails returns the error, and nothing leaks. */
LOOP_TEST(p02_without_memory)
{
    static struct loop_scope *scope;
    static struct loop_datagram_socket *socket;
    static struct loop_address at, address;
    static struct loop_datagram_options options = {.bind_to = &at};
    static struct heard heard;
    static struct once ended;
    static unsigned n;

    BEGIN;
    at = parsed("udp:127.0.0.1:0");
    for (n = 1; n < 40; n++) {
        heard = (struct heard){.echo = false};
        ended = (struct once){0};
        scope = loop_scope_open(env->scope, ONCE(&ended));
        CHECK(scope);
        loop_scope_deadline(scope, loop_now(env->loop) + 3 * LOOP_MILLISECOND);
        fail_allocation(n / 2 + 1, n % 2);
        if (loop_datagram_open(scope, &options, &socket) == 0 && loop_datagram_address(socket, &address) == 0) {
            loop_job job = listen_with(&heard, socket);
            (void)loop_datagram_put(socket, &address, "x", 1);
            (void)loop_datagram_send(socket, &address, "y", 1, ignore, NULL);
            heard.ends = job == 0 ? 1 : 0;
            loop_sleep(scope, LOOP_MILLISECOND, ignore, NULL);
        } else {
            heard.ends = 1; /* there is no stream */
        }
        if (n % 2) {
            fail_allocation(0, false);
        }
        WAIT_UNTIL(ended.count);
        fail_allocation(0, false);
        CHECK_IS(heard.ends, 1);
    }
    END;
}

#endif
