/* SPDX-License-Identifier: ISC
 *
 * The network: addresses, options, listening, accepting, serving, connecting, over TCP and Unix sockets.
 */
#include "sockets.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* ---- addresses ---- */

/* A copy of the text that ends where a page ends that can't be read. */
static const char *at_a_guard_page(const char *text)
{
    static char *pages;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = strlen(text) + 1;

    if (!pages) {
        pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(pages != MAP_FAILED);
        CHECK_IS(mprotect(pages + page, page, PROT_NONE), 0);
    }
    memcpy(pages + page - size, text, size);
    return pages + page - size;
}

static void drop_guard_page(void)
{
    const char *end = at_a_guard_page("");

    CHECK_IS(munmap((void *)(uintptr_t)(end + 1 - sysconf(_SC_PAGESIZE)), 2 * (size_t)sysconf(_SC_PAGESIZE)), 0);
}

static void check_round_trip(const char *text, const char *expected)
{
    struct loop_address address, again;
    char buffer[LOOP_ADDRESS_TEXT_SIZE];

    int answer = loop_address_parse(&address, at_a_guard_page(text));
    if (answer != 0) {
        ck_abort_msg("'%s' was not taken: %d", text, answer);
    }
    CHECK_IS(loop_address_format(&address, buffer, sizeof buffer), strlen(expected));
    CHECK_TEXT(buffer, expected);
    if (text[0] == expected[0]) {
        CHECK_IS(loop_address_parse(&again, at_a_guard_page(expected)), 0);
        CHECK_IS(again.length, address.length);
        CHECK(memcmp(&again.u, &address.u, address.length) == 0);
    }
}

TEST(addresses_are_parsed_and_printed)
{
    const char *pairs[][2] = {{"tcp:127.0.0.1:80", "tcp:127.0.0.1:80"},
                              {"tcp:0.0.0.0:0", "tcp:0.0.0.0:0"},
                              {"tcp:255.255.255.255:65535", "tcp:255.255.255.255:65535"},
                              {"tcp:[::1]:1", "tcp:[::1]:1"},
                              {"tcp:[2001:DB8::00ff]:443", "tcp:[2001:db8::ff]:443"},
                              {"tcp:[::ffff:1.2.3.4]:9", "tcp:[::ffff:1.2.3.4]:9"},
                              {"tcp:[fe80::1%lo]:80", "tcp:[fe80::1%lo]:80"},
                              {"tcp::8080", "tcp:[::]:8080"},
                              {"unix:/tmp/a socket", "unix:/tmp/a socket"},
                              {"unix:relative", "unix:relative"},
                              {"unix:@abstract", "unix:@abstract"}};

    for (unsigned i = 0; i < COUNT_OF(pairs); i++) {
        check_round_trip(pairs[i][0], pairs[i][1]);
    }
    drop_guard_page();
}

TEST(what_is_no_address_is_refused)
{
    const char *bad[] = {"",
                         "t",
                         "tcp",
                         "tcp:",
                         "tcp:127.0.0.1",
                         "tcp:127.0.0.1:",
                         "tcp:127.0.0.1:65536",
                         "tcp:127.0.0.1:-1",
                         "tcp:127.0.0.1:1x",
                         "tcp:127.0.0.1: 1",
                         "tcp:127.0.0.1:99999999999999999999",
                         "tcp:127.0.0:1",
                         "tcp:127.0.0.256:1",
                         "tcp:localhost:80",
                         "tcp:[::1]",
                         "tcp:[::1",
                         "tcp:[]:80",
                         "tcp:[::1]80",
                         "tcp:::1:80",
                         "tcp:[127.0.0.1]:80",
                         "tcp:[::1%]:80",
                         "tcp:[fe80::1%no-such-zone]:80",
                         "tcp:[:::1]:80",
                         "unix:",
                         "unix:@",
                         "udp:127.0.0.1",
                         "TCP:127.0.0.1:80",
                         "127.0.0.1:80",
                         "/tmp/x",
                         " tcp:127.0.0.1:80",
                         "tcp:127.0.0.1:80 ",
                         "tcp:0x7f.1:80",
                         "tcp:127.1:80",
                         "tcp:[::1]:+80"};
    struct loop_address address;

    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        int answer = loop_address_parse(&address, at_a_guard_page(bad[i]));
        if (answer != -EINVAL) {
            ck_abort_msg("'%s' gave %d", bad[i], answer);
        }
    }
    CHECK_IS(loop_address_parse(&address, NULL), -EINVAL);
    CHECK_IS(loop_address_parse(NULL, "tcp:127.0.0.1:80"), -EINVAL);
    drop_guard_page();
}

TEST(unix_paths_fit_or_are_too_long)
{
    struct loop_address address;
    char text[300] = "unix:";

    memset(text + 5, 'p', 107);
    CHECK_IS(loop_address_parse(&address, at_a_guard_page(text)), 0);
    check_round_trip(text, text);
    memset(text + 5, 'p', 108);
    CHECK_IS(loop_address_parse(&address, at_a_guard_page(text)), -ENAMETOOLONG);
    memset(text + 5, 'p', 290);
    CHECK_IS(loop_address_parse(&address, at_a_guard_page(text)), -ENAMETOOLONG);
    text[5] = '@';
    text[5 + 108] = 0;
    check_round_trip(text, text);
    text[5 + 108] = 'p';
    text[5 + 109] = 0;
    CHECK_IS(loop_address_parse(&address, at_a_guard_page(text)), -ENAMETOOLONG);
    drop_guard_page();
}

TEST(names_that_do_not_print_are_escaped)
{
    struct loop_address address = {.length = offsetof(struct sockaddr_un, sun_path) + 5};
    char buffer[LOOP_ADDRESS_TEXT_SIZE];

    address.u.local.sun_family = AF_UNIX;
    memcpy(address.u.local.sun_path, "\0a\n\xffz", 5);
    CHECK(loop_address_format(&address, buffer, sizeof buffer) > 0);
    CHECK(strstr(buffer, "unix:@a\\x0"));
    CHECK(strstr(buffer, "\\xff") || strstr(buffer, "\\xFF"));
    for (int i = 0; i < 108; i++) {
        address.u.local.sun_path[i] = (char)(i ? 0x80 + i : 0);
    }
    address.length = sizeof address.u.local;
    CHECK(loop_address_format(&address, buffer, sizeof buffer) > 0);
    CHECK(strlen(buffer) < LOOP_ADDRESS_TEXT_SIZE);
}

TEST(addresses_without_room_say_enospc)
{
    struct loop_address address;
    char buffer[32];

    CHECK_IS(loop_address_parse(&address, "tcp:127.0.0.1:80"), 0);
    for (size_t size = 0; size <= 16; size++) {
        memset(buffer, 'x', sizeof buffer);
        CHECK_IS(loop_address_format(&address, buffer, size), -ENOSPC);
        CHECK_IS(buffer[size], 'x');
    }
    CHECK_IS(loop_address_format(&address, buffer, 17), 16);
}

TEST(random_text_is_never_trouble)
{
    static const char alphabet[] = "tcpunix:.[]%@/0123456789abcdef \xff";
    struct loop_address address;
    char text[40], buffer[LOOP_ADDRESS_TEXT_SIZE];

    srand(5);
    for (int round = 0; round < 50000; round++) {
        size_t length = (size_t)rand() % sizeof text;
        for (size_t i = 0; i < length; i++) {
            text[i] = alphabet[(size_t)rand() % (sizeof alphabet - 1)];
        }
        text[length ? length - 1 : 0] = 0;
        if (round % 2) {
            memcpy(text, round % 4 == 1 ? "tcp:" : "unix:", round % 4 == 1 ? 4 : 5);
        }
        if (loop_address_parse(&address, at_a_guard_page(text)) == 0) {
            CHECK(loop_address_format(&address, buffer, sizeof buffer) > 0);
        }
    }
    drop_guard_page();
}

/* ---- options ---- */

LOOP_TEST(options_are_set_and_read_back)
{
    static const struct {
        enum loop_socket_option option;
        int value;
    } settings[] = {
        {LOOP_SO_KEEPALIVE, 1},    {LOOP_SO_REUSEADDR, 1}, {LOOP_SO_REUSEPORT, 1}, {LOOP_SO_OOBINLINE, 1},
        {LOOP_SO_DONTROUTE, 1},    {LOOP_SO_LINGER_S, 5},  {LOOP_SO_LINGER_S, -1}, {LOOP_SO_PRIORITY, 3},
        {LOOP_SO_RCVLOWAT, 10},    {LOOP_IP_TTL, 33},      {LOOP_IP_TOS, 0x10},    {LOOP_IP_FREEBIND, 1},
        {LOOP_TCP_NODELAY, 0},     {LOOP_TCP_NODELAY, 1},  {LOOP_TCP_CORK, 1},     {LOOP_TCP_KEEPIDLE_S, 77},
        {LOOP_TCP_KEEPINTVL_S, 7}, {LOOP_TCP_KEEPCNT, 4},  {LOOP_TCP_SYNCNT, 3},   {LOOP_TCP_USER_TIMEOUT_MS, 1234}};
    static struct loop_fd *fd;
    static int value;

    BEGIN;
    fd = adopt(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    for (unsigned i = 0; i < COUNT_OF(settings); i++) {
        CHECK_IS(loop_socket_set(fd, settings[i].option, settings[i].value), 0);
        CHECK_IS(loop_socket_get(fd, settings[i].option, &value), 0);
        if (value != settings[i].value) {
            ck_abort_msg("option %d is %d, not %d", (int)settings[i].option, value, settings[i].value);
        }
    }
    CHECK_IS(loop_socket_set(fd, LOOP_SO_SNDBUF, 20000), 0);
    CHECK_IS(loop_socket_get(fd, LOOP_SO_SNDBUF, &value), 0);
    CHECK_IS(value, 40000);
    END;
}

LOOP_TEST(options_out_of_range_are_refused)
{
    static const struct {
        enum loop_socket_option option;
        int value;
    } bad[] = {{LOOP_SO_KEEPALIVE, 2},
               {LOOP_SO_REUSEADDR, -1},
               {LOOP_SO_SNDBUF, -1},
               {LOOP_SO_RCVBUF, -1},
               {LOOP_SO_LINGER_S, -2},
               {LOOP_IP_TTL, 256},
               {LOOP_IP_TTL, -2},
               {LOOP_IP_TOS, 256},
               {LOOP_TCP_NODELAY, 2},
               {LOOP_TCP_KEEPIDLE_S, 0},
               {LOOP_TCP_KEEPIDLE_S, 32768},
               {LOOP_TCP_KEEPINTVL_S, 0},
               {LOOP_TCP_KEEPCNT, 0},
               {LOOP_TCP_KEEPCNT, 128},
               {LOOP_TCP_SYNCNT, 0},
               {LOOP_TCP_SYNCNT, 128},
               {LOOP_TCP_USER_TIMEOUT_MS, -1},
               {LOOP_SOCKET_OPTION_COUNT, 1},
               {(enum loop_socket_option)9999, 1}};
    static struct loop_fd *fd;
    static int value;

    BEGIN;
    fd = adopt(env->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        int answer = loop_socket_set(fd, bad[i].option, bad[i].value);
        if (answer != -EINVAL) {
            ck_abort_msg("option %d with %d: %d", (int)bad[i].option, bad[i].value, answer);
        }
    }
    CHECK_IS(loop_socket_get(fd, LOOP_SOCKET_OPTION_COUNT, &value), -EINVAL);
    END;
}

LOOP_TEST(options_of_other_sockets_and_none)
{
    static struct loop_fd *unix_fd, *file, *closed;
    static int value;

    BEGIN;
    unix_fd = adopt(env->scope, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    file = adopt(env->scope, make_file("", 0));
    closed = adopt(env->scope, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    loop_fd_close(closed);
    value = loop_socket_set(unix_fd, LOOP_TCP_NODELAY, 1);
    CHECK(value == -EOPNOTSUPP || value == -ENOPROTOOPT);
    CHECK_IS(loop_socket_set(file, LOOP_SO_KEEPALIVE, 1), -ENOTSOCK);
    CHECK_IS(loop_socket_get(file, LOOP_SO_KEEPALIVE, &value), -ENOTSOCK);
    CHECK_IS(loop_socket_set(closed, LOOP_SO_KEEPALIVE, 1), -EBADF);
    CHECK_IS(loop_socket_get(closed, LOOP_SO_KEEPALIVE, &value), -EBADF);
    END;
}

/* ---- listening, accepting, connecting ---- */

/* Accepts and connects at the same time, and sends a byte each way. */
static void check_pair(struct loop_env *env, int64_t result, const char *text)
{
    static struct loop_address address, ends[4];
    static struct loop_listener *listener;
    static struct loop_flow *client, *server;
    static struct once accepted, connected;
    static char byte;

    BEGIN;
    listener = listen_at(env->scope, &address, text);
    START(loop_accept(env->scope, listener, &server, ONCE(&accepted)));
    START(loop_connect(env->scope, &address, NULL, &client, ONCE(&connected)));
    CHECK(!client && !server);
    WAIT_UNTIL(accepted.count && connected.count);
    ONCE_IS(accepted, 0);
    ONCE_IS(connected, 0);
    CHECK(client && server && client->scope == env->scope && server->scope == env->scope);
    AWAIT(loop_write(&client->sink, "c", 1, GO));
    AWAIT(loop_read(&server->source, &byte, 1, GO));
    CHECK_IS(byte, 'c');
    AWAIT(loop_write(&server->sink, "s", 1, GO));
    AWAIT(loop_read(&client->source, &byte, 1, GO));
    CHECK_IS(byte, 's');
    CHECK_IS(loop_flow_local_address(client, &ends[0]), 0);
    CHECK_IS(loop_flow_peer_address(server, &ends[1]), 0);
    CHECK_IS(loop_flow_peer_address(client, &ends[2]), 0);
    CHECK_IS(loop_flow_local_address(server, &ends[3]), 0);
    CHECK(ends[0].length == ends[1].length && memcmp(&ends[0].u, &ends[1].u, ends[0].length) == 0);
    CHECK(ends[2].length == ends[3].length && memcmp(&ends[2].u, &ends[3].u, ends[2].length) == 0);
    loop_flow_close(client);
    CHECK_IS(loop_flow_local_address(client, &ends[0]), -EBADF);
    END;
}

LOOP_TEST(tcp_over_ipv4)
{
    check_pair(env, result, "tcp:127.0.0.1:0");
}

LOOP_TEST(tcp_over_ipv6)
{
    int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct loop_address address = parsed("tcp:[::1]:0");
    bool has_ipv6 = probe >= 0 && bind(probe, &address.u.any, address.length) == 0;

    close(probe);
    check_pair(env, result, has_ipv6 ? "tcp:[::1]:0" : "tcp:127.0.0.1:0");
}

LOOP_TEST(unix_abstract)
{
    static char text[64];

    snprintf(text, sizeof text, "unix:@noria-test-%d", (int)getpid());
    check_pair(env, result, text);
}

static const char *unix_directory;

LOOP_TEST(unix_by_path)
{
    if (!unix_directory) {
        unix_directory = make_directory();
    }
    check_pair(env, result, unix_path(unix_directory));
    if (script.is_done) {
        CHECK_IS(unlink(socket_file()), 0);
        remove_directory(unix_directory);
    }
}

LOOP_TEST(the_file_of_a_unix_listener_goes_with_it)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static const char *directory;
    static struct stat status;

    BEGIN;
    directory = make_directory();
    listener = listen_at(env->scope, &address, unix_path(directory));
    CHECK_IS(stat(socket_file(), &status), 0);
    CHECK(S_ISSOCK(status.st_mode));
    CHECK_IS(loop_listener_close(listener), 0);
    CHECK_IS(loop_listener_close(listener), -EBADF);
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(stat(socket_file(), &status), -1);
    remove_directory(directory);
    END;
}

LOOP_TEST(somebody_elses_file_stays)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static const char *directory;
    static struct stat status;

    BEGIN;
    directory = make_directory();
    listener = listen_at(env->scope, &address, unix_path(directory));
    CHECK_IS(unlink(socket_file()), 0);
    close(open(socket_file(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    CHECK_IS(loop_listener_close(listener), 0);
    AWAIT(turns(env->scope, 2, GO));
    CHECK_IS(stat(socket_file(), &status), 0);
    remove_directory(directory);
    END;
}

/* A socket file that nobody listens on, as a server leaves it that was killed. */
static void make_stale(const struct loop_address *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK_IS(bind(fd, &address->u.any, address->length), 0);
    CHECK_IS(listen(fd, 1), 0);
    close(fd);
}

LOOP_TEST(a_stale_unix_socket_is_replaced_when_asked)
{
    static struct loop_address address;
    static struct loop_listener *listener, *second;
    static struct loop_listen_options reuse = {.reuse_addr = true};
    static const char *directory;

    BEGIN;
    directory = make_directory();
    address = parsed(unix_path(directory));
    make_stale(&address);
    CHECK_IS(loop_listen(env->scope, &address, NULL, &listener), -EADDRINUSE);
    CHECK(!listener);
    CHECK_IS(loop_listen(env->scope, &address, &reuse, &listener), 0);
    /* One that is alive is not. */
    CHECK_IS(loop_listen(env->scope, &address, &reuse, &second), -EADDRINUSE);
    CHECK(!second);
    CHECK_IS(loop_listener_close(listener), 0);
    /* Nor is a file that is no socket. */
    close(open(socket_file(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    CHECK_IS(loop_listen(env->scope, &address, &reuse, &second), -EADDRINUSE);
    CHECK_IS(access(socket_file(), F_OK), 0);
    remove_directory(directory);
    END;
}

LOOP_TEST(the_mode_of_a_unix_socket)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static struct loop_listen_options options = {.mode = 0620};
    static const char *directory;
    static struct stat status;

    BEGIN;
    directory = make_directory();
    address = parsed(unix_path(directory));
    CHECK_IS(loop_listen(env->scope, &address, &options, &listener), 0);
    CHECK_IS(stat(socket_file(), &status), 0);
    CHECK_IS(status.st_mode & 0777, 0620);
    CHECK_IS(loop_listener_close(listener), 0);
    remove_directory(directory);
    END;
}

LOOP_TEST(listening_fails_with_the_reason)
{
    static struct loop_address address;
    static struct loop_listener *listener, *second;
    static struct loop_listen_options bad = {.backlog = -1};

    BEGIN;
    listener = listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    CHECK_IS(loop_listen(env->scope, &address, NULL, &second), -EADDRINUSE);
    CHECK(!second);
    CHECK(listener != NULL);
    address = parsed("tcp:192.0.2.1:0");
    CHECK_IS(loop_listen(env->scope, &address, NULL, &second), -EADDRNOTAVAIL);
    address = parsed("unix:/nowhere/at/all");
    CHECK_IS(loop_listen(env->scope, &address, NULL, &second), -ENOENT);
    address = parsed("tcp:127.0.0.1:0");
    CHECK_IS(loop_listen(env->scope, &address, &bad, &second), -EINVAL);
    memset(&address, 0, sizeof address);
    CHECK(loop_listen(env->scope, &address, NULL, &second) < 0);
    CHECK(!second);
    END;
}

LOOP_TEST(several_listeners_on_one_port)
{
    static struct loop_address address;
    static struct loop_listener *listeners[3];
    static struct loop_listen_options options = {.reuse_port = true};

    BEGIN;
    address = parsed("tcp:127.0.0.1:0");
    for (int i = 0; i < 3; i++) {
        CHECK_IS(loop_listen(env->scope, &address, &options, &listeners[i]), 0);
        CHECK_IS(loop_listener_address(listeners[i], &address), 0);
    }
    END;
}

LOOP_TEST(a_port_is_free_again_at_once)
{
    static struct loop_address address;
    static struct loop_listener *listener;
    static struct loop_flow *flow;
    static struct once accepted;
    static int round;

    BEGIN;
    listener = listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    for (round = 0; round < 20; round++) {
        memset(&accepted, 0, sizeof accepted);
        START(loop_accept(env->scope, listener, &flow, ONCE(&accepted)));
        AWAIT(turns(env->scope, 2, GO));
        CHECK_IS(loop_listener_close(listener), 0);
        WAIT_UNTIL(accepted.count);
        ONCE_IS(accepted, -ECANCELED);
        CHECK(!flow);
        AWAIT(turns(env->scope, 2, GO));
        CHECK_IS(loop_listen(env->scope, &address, NULL, &listener), 0);
    }
    END;
}

LOOP_TEST(tcp_sockets_have_nodelay_unless_told)
{
    static struct loop_address address;
    static struct loop_listener *listeners[2];
    static struct loop_flow *clients[2], *servers[2];
    static int i, value;
    static struct once accepted;

    BEGIN;
    for (i = 0; i < 2; i++) {
        address = parsed("tcp:127.0.0.1:0");
        CHECK_IS(loop_listen(env->scope, &address, &(struct loop_listen_options){.nagle = i}, &listeners[i]), 0);
        CHECK_IS(loop_listener_address(listeners[i], &address), 0);
        memset(&accepted, 0, sizeof accepted);
        START(loop_accept(env->scope, listeners[i], &servers[i], ONCE(&accepted)));
        AWAIT(loop_connect(env->scope, &address, &(struct loop_connect_options){.nagle = i}, &clients[i], GO));
        CHECK_IS(result, 0);
        WAIT_UNTIL(accepted.count);
        CHECK_IS(loop_socket_get(clients[i]->fd, LOOP_TCP_NODELAY, &value), 0);
        CHECK_IS(value, !i);
        CHECK_IS(loop_socket_get(servers[i]->fd, LOOP_TCP_NODELAY, &value), 0);
        CHECK_IS(value, !i);
        CHECK(fcntl(loop_fd_peek(clients[i]->fd), F_GETFL) & O_NONBLOCK);
        CHECK_IS(fcntl(loop_fd_peek(servers[i]->fd), F_GETFD), FD_CLOEXEC);
    }
    END;
}

LOOP_TEST(connect_fails_with_the_reason)
{
    static struct loop_address address;
    static struct loop_flow *flow;
    static struct loop_stats before, after;
    static const char *directory;

    BEGIN;
    close(make_listener(&address.u.ipv4));
    address.length = sizeof address.u.ipv4;
    loop_get_stats(env->loop, &before);
    AWAIT(loop_connect(env->scope, &address, NULL, &flow, GO));
    CHECK_IS(result, -ECONNREFUSED);
    CHECK(!flow);
    address = parsed("unix:/nowhere/at/all");
    AWAIT(loop_connect(env->scope, &address, NULL, &flow, GO));
    CHECK_IS(result, -ENOENT);
    directory = make_directory();
    address = parsed(unix_path(directory));
    make_stale(&address);
    AWAIT(loop_connect(env->scope, &address, NULL, &flow, GO));
    CHECK_IS(result, -ECONNREFUSED);
    remove_directory(directory);
    AWAIT(loop_connect(env->scope, &address, &(struct loop_connect_options){.timeout_ns = -1}, &flow, GO));
    CHECK_IS(result, -EINVAL);
    memset(&address, 0, sizeof address);
    AWAIT(loop_connect(env->scope, &address, NULL, &flow, GO));
    CHECK(result < 0);
    AWAIT(turns(env->scope, 3, GO));
    loop_get_stats(env->loop, &after);
    CHECK_IS(after.fds_now, before.fds_now);
    END;
}

/* A listener whose backlog is full: what connects now has to wait. */
static void make_deaf_listener(struct loop_address *address, int clients[4])
{
    clients[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_IS(bind(clients[0], &address->u.any, address->length), 0);
    CHECK_IS(listen(clients[0], 0), 0);
    for (int i = 1; i < 4; i++) {
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        connect(clients[i], &address->u.any, address->length);
    }
}

LOOP_TEST(connect_has_a_timeout_and_can_be_cancelled)
{
    static struct loop_address address;
    static struct loop_flow *flow;
    static struct once cancelled;
    static const char *directory;
    static int clients[4];
    static int64_t began;
    static loop_job job;

    BEGIN;
    directory = make_directory();
    address = parsed(unix_path(directory));
    make_deaf_listener(&address, clients);
    began = now_ns();
    AWAIT(loop_connect(env->scope, &address, &(struct loop_connect_options){.timeout_ns = 10 * LOOP_MILLISECOND}, &flow,
                       GO));
    CHECK_IS(result, -ETIMEDOUT);
    CHECK(!flow);
    CHECK(now_ns() - began >= 10 * LOOP_MILLISECOND);
    job = START(loop_connect(env->scope, &address, NULL, &flow, ONCE(&cancelled)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(cancelled.count, 0);
    CHECK_IS(loop_cancel(env->loop, job), 0);
    WAIT_UNTIL(cancelled.count);
    ONCE_IS(cancelled, -ECANCELED);
    for (int i = 0; i < 4; i++) {
        close(clients[i]);
    }
    remove_directory(directory);
    END;
}

LOOP_TEST(connect_waits_until_a_full_backlog_has_room)
{
    static struct loop_address address;
    static struct loop_flow *flow;
    static struct once connected;
    static const char *directory;
    static int clients[4];

    BEGIN;
    directory = make_directory();
    address = parsed(unix_path(directory));
    make_deaf_listener(&address, clients);
    START(loop_connect(env->scope, &address, NULL, &flow, ONCE(&connected)));
    AWAIT(loop_sleep(env->scope, 3 * LOOP_MILLISECOND, GO));
    CHECK_IS(connected.count, 0);
    close(accept4(clients[0], NULL, NULL, SOCK_CLOEXEC));
    WAIT_UNTIL(connected.count);
    ONCE_IS(connected, 0);
    for (int i = 0; i < 4; i++) {
        close(clients[i]);
    }
    remove_directory(directory);
    END;
}

LOOP_TEST(connect_binds_and_sets_before)
{
    static struct loop_address address, mine, local;
    static struct loop_socket_setting settings[] = {{LOOP_SO_KEEPALIVE, 1}, {LOOP_IP_TTL, 44}},
                                      bad = {LOOP_IP_TTL, 1000};
    static struct loop_connect_options options;
    static struct loop_flow *flow;
    static int value;

    BEGIN;
    listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    mine = parsed("tcp:127.0.0.2:0");
    options = (struct loop_connect_options){.bind_to = &mine, .settings = settings, .n_settings = 2};
    AWAIT(loop_connect(env->scope, &address, &options, &flow, GO));
    CHECK_IS(result, 0);
    CHECK_IS(loop_flow_local_address(flow, &local), 0);
    CHECK_IS(local.u.ipv4.sin_addr.s_addr, mine.u.ipv4.sin_addr.s_addr);
    CHECK_IS(loop_socket_get(flow->fd, LOOP_IP_TTL, &value), 0);
    CHECK_IS(value, 44);
    options = (struct loop_connect_options){.settings = &bad, .n_settings = 1};
    AWAIT(loop_connect(env->scope, &address, &options, &flow, GO));
    CHECK_IS(result, -EINVAL);
    CHECK(!flow);
    mine = parsed("tcp:192.0.2.1:0");
    options = (struct loop_connect_options){.bind_to = &mine};
    AWAIT(loop_connect(env->scope, &address, &options, &flow, GO));
    CHECK_IS(result, -EADDRNOTAVAIL);
    END;
}

LOOP_TEST(connect_without_descriptors_says_emfile)
{
    static struct loop_address address;
    static struct loop_flow *flow;
    static rlim_t limit;

    BEGIN;
    listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    limit = forbid_fds();
    AWAIT(loop_connect(env->scope, &address, NULL, &flow, GO));
    CHECK_IS(result, -EMFILE);
    CHECK(!flow);
    limit_fds(limit);
    AWAIT(loop_connect(env->scope, &address, NULL, &flow, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(socketpair_is_connected)
{
    static struct loop_flow *one, *other;
    static char byte;

    BEGIN;
    CHECK_IS(loop_socketpair(env->scope, &one, &other), 0);
    AWAIT(loop_write(&one->sink, "1", 1, GO));
    AWAIT(loop_read(&other->source, &byte, 1, GO));
    CHECK_IS(byte, '1');
    AWAIT(loop_write(&other->sink, "2", 1, GO));
    AWAIT(loop_read(&one->source, &byte, 1, GO));
    CHECK_IS(byte, '2');
    END;
}

LOOP_TEST(accepts_are_served_in_order)
{
    enum { N = 10 };
    static struct loop_address address;
    static struct loop_listener *listener;
    static struct loop_flow *flows[N];
    static struct once accepts[N];
    static int clients[N], at;

    BEGIN;
    listener = listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    for (int i = 0; i < N; i++) {
        START(loop_accept(env->scope, listener, &flows[i], ONCE(&accepts[i])));
    }
    AWAIT(turns(env->scope, 2, GO));
    for (at = 0; at < N; at++) {
        clients[at] = connect_to(&address.u.ipv4);
    }
    for (at = 0; at < N; at++) {
        WAIT_UNTIL(accepts[at].count);
        ONCE_IS(accepts[at], 0);
        close(clients[at]);
    }
    END;
}

/* ---- serving ---- */

LOOP_TEST(server_gives_each_connection_a_scope)
{
    enum { N = 20 };
    static struct loop_flow *clients[N];
    static int i;
    static struct loop_server_stats stats;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_connection);
    for (i = 0; i < N; i++) {
        clients[i] = visit(env->scope);
        AWAIT(talk(clients[i], GO));
        CHECK_IS(result, 4);
    }
    loop_server_get_stats(serving.server, &stats);
    CHECK_IS(stats.accepted, N);
    CHECK_IS(stats.connections_now, N);
    CHECK_IS(stats.connections_most, N);
    for (i = 0; i < N; i++) {
        loop_flow_close(clients[i]);
    }
    WAIT_UNTIL(serving.over == N);
    AWAIT(turns(env->scope, 3, GO));
    loop_server_get_stats(serving.server, &stats);
    CHECK_IS(stats.connections_now, 0);
    CHECK_IS(stats.connections_most, N);
    CHECK_IS(stats.failed, 0);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

static void fail_at_once(struct loop_flow *peer, void *unused)
{
    (void)unused;
    serving.connections++;
    loop_scope_fail(peer->scope, -EPROTO);
    script_poke();
}

LOOP_TEST(a_failed_connection_ends_alone)
{
    static struct loop_address address;
    static struct loop_server_stats stats;
    static int clients[3], i;
    static char byte;

    BEGIN;
    address = parsed("tcp:127.0.0.1:0");
    CHECK_IS(loop_serve(env->scope, &address,
                        &(struct loop_serve_options){
                            .server = &serving.server, .on_end = once_resumed, .on_end_arg = &serving.ended},
                        fail_at_once, NULL),
             0);
    CHECK_IS(loop_listener_address(loop_server_listener(serving.server), &address), 0);
    for (i = 0; i < 3; i++) {
        clients[i] = connect_to(&address.u.ipv4);
        WAIT_UNTIL(serving.connections == (unsigned)i + 1);
        AWAIT(turns(env->scope, 4, GO));
        CHECK(recv(clients[i], &byte, 1, MSG_DONTWAIT) == 0);
        close(clients[i]);
    }
    loop_server_get_stats(serving.server, &stats);
    CHECK_IS(stats.failed, 3);
    CHECK_IS(stats.connections_now, 0);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

LOOP_TEST(server_keeps_its_limit)
{
    enum { N = 6 };
    static struct loop_flow *clients[N];
    static int i;
    static struct loop_server_stats stats;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 2}, echo_connection);
    for (i = 0; i < N; i++) {
        clients[i] = visit(env->scope);
    }
    WAIT_UNTIL(serving.connections == 2);
    AWAIT(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, GO));
    CHECK_IS(serving.connections, 2);
    for (i = 0; i < N; i++) {
        AWAIT(talk(clients[i], GO));
        CHECK_IS(result, 4);
        loop_flow_close(clients[i]);
    }
    WAIT_UNTIL(serving.over == N);
    AWAIT(turns(env->scope, 3, GO));
    loop_server_get_stats(serving.server, &stats);
    CHECK_IS(stats.accepted, N);
    CHECK_IS(stats.connections_most, 2);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    END;
}

LOOP_TEST(stop_lets_running_connections_finish)
{
    static struct loop_flow *clients[2];
    static int late;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_connection);
    clients[0] = visit(env->scope);
    clients[1] = visit(env->scope);
    WAIT_UNTIL(serving.connections == 2);
    loop_server_stop(serving.server, LOOP_NEVER);
    AWAIT(turns(env->scope, 5, GO));
    CHECK_IS(serving.ended.count, 0);
    late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_IS(connect(late, &serving.address.u.any, serving.address.length), -1);
    CHECK_IS(errno, ECONNREFUSED);
    close(late);
    AWAIT(talk(clients[0], GO));
    CHECK_IS(result, 4);
    loop_flow_close(clients[0]);
    AWAIT(talk(clients[1], GO));
    CHECK_IS(result, 4);
    CHECK_IS(serving.ended.count, 0);
    loop_flow_close(clients[1]);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    CHECK_IS(serving.over, 2);
    END;
}

LOOP_TEST(stop_with_a_deadline)
{
    static int client;
    static int64_t at;
    static char byte;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_connection);
    client = connect_to(&serving.address.u.ipv4);
    WAIT_UNTIL(serving.connections == 1);
    loop_server_stop(serving.server, LOOP_NEVER);
    at = now_ns() + 10 * LOOP_MILLISECOND;
    loop_server_stop(serving.server, at);
    loop_server_stop(serving.server, at + LOOP_SECOND);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    CHECK(now_ns() >= at && now_ns() < at + LOOP_SECOND);
    ONCE_IS(serving.ended, 0);
    CHECK_IS(serving.over, 1);
    CHECK_IS(recv(client, &byte, 1, 0), 0);
    close(client);
    END;
}

LOOP_TEST(stop_of_a_server_without_connections)
{
    BEGIN;
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_connection);
    AWAIT(turns(env->scope, 2, GO));
    loop_server_stop(serving.server, LOOP_NEVER);
    CHECK_IS(serving.ended.count, 0);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

static void stop_server(struct loop_flow *peer, void *unused)
{
    (void)peer;
    (void)unused;
    serving.connections++;
    loop_server_stop(serving.server, 0);
}

LOOP_TEST(stop_from_inside_a_connection)
{
    static struct loop_address address;
    static int client;

    BEGIN;
    address = parsed("tcp:127.0.0.1:0");
    CHECK_IS(loop_serve(env->scope, &address,
                        &(struct loop_serve_options){
                            .server = &serving.server, .on_end = once_resumed, .on_end_arg = &serving.ended},
                        stop_server, NULL),
             0);
    CHECK_IS(loop_listener_address(loop_server_listener(serving.server), &address), 0);
    client = connect_to(&address.u.ipv4);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    CHECK_IS(serving.connections, 1);
    close(client);
    END;
}

LOOP_TEST(connections_live_no_longer_than_allowed)
{
    static int client;
    static int64_t began;
    static struct loop_server_stats stats;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.connection_timeout_ns = 10 * LOOP_MILLISECOND}, echo_connection);
    began = now_ns();
    client = connect_to(&serving.address.u.ipv4);
    WAIT_UNTIL(serving.over == 1);
    CHECK(now_ns() - began >= 10 * LOOP_MILLISECOND);
    AWAIT(turns(env->scope, 3, GO));
    loop_server_get_stats(serving.server, &stats);
    CHECK_IS(stats.failed, 1);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    close(client);
    END;
}

LOOP_TEST(signals_stop_a_server_gracefully)
{
    static struct loop_flow *client;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.stop_on_signals = true}, echo_connection);
    client = visit(env->scope);
    WAIT_UNTIL(serving.connections == 1);
    kill(getpid(), SIGTERM);
    AWAIT(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, GO));
    CHECK_IS(serving.ended.count, 0);
    AWAIT(talk(client, GO));
    CHECK_IS(result, 4);
    loop_flow_close(client);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    END;
}

LOOP_TEST(a_second_signal_stops_at_once)
{
    static int client;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.stop_on_signals = true}, echo_connection);
    client = connect_to(&serving.address.u.ipv4);
    WAIT_UNTIL(serving.connections == 1);
    kill(getpid(), SIGINT);
    AWAIT(loop_sleep(env->scope, 5 * LOOP_MILLISECOND, GO));
    CHECK_IS(serving.ended.count, 0);
    kill(getpid(), SIGINT);
    WAIT_UNTIL(serving.ended.count);
    ONCE_IS(serving.ended, 0);
    CHECK_IS(serving.over, 1);
    close(client);
    END;
}

LOOP_TEST(grace_after_a_signal_is_limited)
{
    static int client;
    static int64_t began;

    BEGIN;
    serve(env->scope, (struct loop_serve_options){.stop_on_signals = true, .grace_ns = 10 * LOOP_MILLISECOND},
          echo_connection);
    client = connect_to(&serving.address.u.ipv4);
    WAIT_UNTIL(serving.connections == 1);
    began = now_ns();
    kill(getpid(), SIGTERM);
    WAIT_UNTIL(serving.ended.count);
    CHECK(now_ns() - began >= 10 * LOOP_MILLISECOND);
    ONCE_IS(serving.ended, 0);
    close(client);
    END;
}

LOOP_TEST(a_server_in_a_cancelled_scope)
{
    static struct loop_scope *scope;
    static struct loop_address address;
    static struct once ended;
    static int client;

    BEGIN;
    scope = loop_scope_open(env->scope, ONCE(&ended));
    address = parsed("tcp:127.0.0.1:0");
    CHECK_IS(
        loop_serve(scope, &address, &(struct loop_serve_options){.server = &serving.server}, echo_connection, NULL), 0);
    CHECK_IS(loop_listener_address(loop_server_listener(serving.server), &address), 0);
    client = connect_to(&address.u.ipv4);
    WAIT_UNTIL(serving.connections == 1);
    loop_scope_cancel(scope);
    WAIT_UNTIL(ended.count);
    CHECK_IS(serving.over, 1);
    CHECK_IS(loop_serve(env->scope, &address, NULL, NULL, NULL), -EINVAL);
    close(client);
    END;
}

LOOP_TEST(a_server_that_cannot_listen)
{
    static struct loop_address address;
    static struct once never;

    BEGIN;
    listen_at(env->scope, &address, "tcp:127.0.0.1:0");
    CHECK_IS(loop_serve(
                 env->scope, &address,
                 &(struct loop_serve_options){.server = &serving.server, .on_end = once_resumed, .on_end_arg = &never},
                 echo_connection, NULL),
             -EADDRINUSE);
    CHECK(!serving.server);
    AWAIT(turns(env->scope, 3, GO));
    CHECK_IS(never.count, 0);
    END;
}

LOOP_TEST(a_server_at_the_limit_of_descriptors)
{
    enum { N = 5 };
    static rlim_t limit;
    static struct loop_stats before, after;
    static int clients[N], i;

    BEGIN;
    for (i = 0; i < N; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    }
    /* Room for the listener and one connection. The ring looks at the limit when an accept begins, not when it ends. */
    limit = limit_fds((rlim_t)limit_with_free_fds(2));
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_connection);
    for (i = 0; i < N; i++) {
        CHECK_IS(connect(clients[i], &serving.address.u.any, serving.address.length), 0);
    }
    WAIT_UNTIL(serving.connections == 1);
    loop_get_stats(env->loop, &before);
    AWAIT(loop_sleep(env->scope, 60 * LOOP_MILLISECOND, GO));
    loop_get_stats(env->loop, &after);
    CHECK_IS(serving.connections, 1);
    CHECK(after.turns - before.turns < 50);
    CHECK(strlen(log_text()) > 0);
    for (i = 0; i < N; i++) {
        /* Each connection that ends makes room for the next. */
        shutdown(clients[i], SHUT_WR);
        WAIT_UNTIL(serving.over == (unsigned)i + 1);
    }
    limit_fds(limit);
    for (i = 0; i < N; i++) {
        close(clients[i]);
    }
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    END;
}

/* ---- churn ---- */

static struct loop_env *churn_env;
static unsigned churn_left, churn_done;

static void churn_next(void);

struct visitor {
    struct loop_flow *flow;
    char word[4];
};

static void churn_read(void *arg, int64_t result)
{
    struct visitor *visitor = arg;

    CHECK_IS(result, 4);
    loop_fd_destroy(visitor->flow->fd);
    free(visitor);
    churn_done++;
    churn_next();
    script_poke();
}

static void churn_connected(void *arg, int64_t result)
{
    struct visitor *visitor = arg;

    CHECK_IS(result, 0);
    CHECK(loop_write(&visitor->flow->sink, "word", 4, NULL, NULL) != 0);
    CHECK(loop_read_exact(&visitor->flow->source, visitor->word, 4, churn_read, visitor) != 0);
}

static void churn_next(void)
{
    if (churn_left > 0) {
        churn_left--;
        struct visitor *visitor = calloc(1, sizeof *visitor);
        CHECK(loop_connect(churn_env->scope, &serving.address, NULL, &visitor->flow, churn_connected, visitor) != 0);
    }
}

LOOP_TEST(churn_leaves_nothing_behind)
{
    enum { FIRST = 300, SECOND = HAS_SANITIZER ? 500 : 3000 };
    static struct loop_stats before, after;
    static unsigned fds;

    BEGIN;
    churn_env = env;
    serve(env->scope, (struct loop_serve_options){.max_connections = 0}, echo_connection);
    churn_left = FIRST;
    for (int i = 0; i < 10; i++) {
        churn_next();
    }
    WAIT_UNTIL(churn_done == FIRST && serving.over == FIRST);
    AWAIT(turns(env->scope, 10, GO));
    loop_get_stats(env->loop, &before);
    fds = count_fds();
    churn_left = SECOND;
    for (int i = 0; i < 10; i++) {
        churn_next();
    }
    WAIT_UNTIL(churn_done == FIRST + SECOND && serving.over == FIRST + SECOND);
    AWAIT(turns(env->scope, 10, GO));
    loop_get_stats(env->loop, &after);
    CHECK_IS(count_fds(), fds);
    CHECK_IS(after.fds_now, before.fds_now);
    CHECK_IS(after.jobs_now, before.jobs_now);
    CHECK_IS(after.job_slots, before.job_slots);
    CHECK_IS(after.scopes_now, before.scopes_now);
    loop_server_stop(serving.server, LOOP_NEVER);
    WAIT_UNTIL(serving.ended.count);
    END;
}

/* ---- without memory ---- */

#if !HAS_SANITIZER

static unsigned long jobs_taken;
static struct tally of_poor;
static struct loop_scope *poor_scope;
static struct loop_flow *poor_flow;
static char poor_word[4];

static void count_taken(loop_job job)
{
    jobs_taken += job != 0;
}

static void poor_connected(void *tally, int64_t result)
{
    tally_resumed(tally, result);
    if (result == 0) {
        count_taken(loop_write(&poor_flow->sink, "word", 4, TALLY(&of_poor)));
        count_taken(loop_read_exact(&poor_flow->source, poor_word, 4, TALLY(&of_poor)));
    }
}

static void poor_echo(struct loop_flow *peer, void *unused)
{
    (void)unused;
    if (loop_copy(&peer->source, &peer->sink, NULL, NULL) == 0) {
        loop_scope_fail(peer->scope, -ENOMEM);
    }
}

static void start_poor_operations(struct loop_scope *scope)
{
    static const struct loop_open_how how = {.flags = O_RDONLY};
    static char bytes[16];
    static struct iovec vector = {bytes, 16};
    static struct loop_message message = {.iov = &vector, .n_iov = 1};
    struct loop_flow *one, *other;

    count_taken(loop_op_openat2(scope, "/no/such/file", &how, TALLY(&of_poor)));
    count_taken(loop_op_timeout(scope, 0, TALLY(&of_poor)));
    if (loop_socketpair(scope, &one, &other) == 0) {
        loop_buffers_create(scope, 4, 64);
        count_taken(loop_op_send_msg(NULL, one->fd, &message, TALLY(&of_poor)));
        count_taken(loop_op_recv_msg(NULL, other->fd, &message, TALLY(&of_poor)));
        count_taken(loop_op_poll_add(NULL, one->fd, POLLIN, TALLY(&of_poor)));
        count_taken(loop_op_close(poor_scope, one->fd, TALLY(&of_poor)));
    }
}

static int start_poor(struct loop_env *env, void *unused)
{
    struct loop_address address;
    struct loop_scope *inner;
    char name[64];

    (void)unused;
    poor_scope = loop_scope_open(env->scope, TALLY(&of_poor));
    if (!poor_scope) {
        return -ENOMEM;
    }
    jobs_taken++;
    loop_scope_deadline(poor_scope, loop_now(env->loop) + 3 * LOOP_MILLISECOND);
    snprintf(name, sizeof name, "unix:@noria-without-memory-%d", (int)getpid());
    loop_address_parse(&address, name);
    if (loop_serve(poor_scope, &address, NULL, poor_echo, NULL) == 0) {
        count_taken(loop_connect(poor_scope, &address, NULL, &poor_flow, poor_connected, &of_poor));
    }
    inner = loop_scope_open(poor_scope, TALLY(&of_poor));
    if (inner) {
        jobs_taken++;
        start_poor_operations(inner);
    }
    return 0;
}

TEST(without_memory_nothing_is_lost_or_left)
{
    unsigned long n = 0, most_jobs = 0;
    bool failed;

    do {
        jobs_taken = 0;
        memset(&of_poor, 0, sizeof of_poor);
        n++;
        fail_allocation(n / 2, n % 2);
        run(start_poor, NULL);
        failed = allocation_failed() || n < 4;
        fail_allocation(0, false);
        if (of_poor.count != jobs_taken) {
            ck_abort_msg("allocation %lu: %lu jobs, %lu ends", n / 2, jobs_taken, of_poor.count);
        }
        most_jobs = jobs_taken > most_jobs ? jobs_taken : most_jobs;
    } while (failed);
    CHECK(n > 20);
    CHECK(most_jobs >= 9);
}

#endif
