/* SPDX-License-Identifier: ISC
 *
 * Helpers that all benchmark programs use. See bench.h.
 */
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- errors ---- */

void bench_fail(const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
    exit(1);
}

void bench_refuse(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(2);
}

void bench_pin(int processor)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0) {
        bench_fail("sched_setaffinity");
    }
}

void *bench_alloc(size_t count, size_t size_bytes)
{
    void *memory = calloc(count, size_bytes);

    if (!memory) {
        bench_fail("memory");
    }
    return memory;
}

/* ---- addresses ---- */

static bool parse_ipv4(struct bench_address *address, const char *text, int type)
{
    char host[INET_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    char *end;
    unsigned long port;

    if (!colon || (size_t)(colon - text) >= sizeof host) {
        return false;
    }
    snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
    port = strtoul(colon + 1, &end, 10);
    address->type = type;
    address->length = sizeof address->u.ipv4;
    address->u.ipv4.sin_family = AF_INET;
    address->u.ipv4.sin_port = htons((uint16_t)port);
    return *end == '\0' && end != colon + 1 && port <= UINT16_MAX &&
           inet_pton(AF_INET, host, &address->u.ipv4.sin_addr) == 1;
}

static bool parse_local(struct bench_address *address, const char *path)
{
    size_t length = strlen(path);

    address->type = SOCK_STREAM;
    address->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    address->u.local.sun_family = AF_UNIX;
    if (length == 0 || length >= sizeof address->u.local.sun_path) {
        return false;
    }
    memcpy(address->u.local.sun_path, path, length + 1);
    return true;
}

bool bench_address_parse(struct bench_address *address, const char *text)
{
    memset(address, 0, sizeof *address);
    if (strncmp(text, "tcp:", 4) == 0) {
        return parse_ipv4(address, text + 4, SOCK_STREAM);
    }
    if (strncmp(text, "udp:", 4) == 0) {
        return parse_ipv4(address, text + 4, SOCK_DGRAM);
    }
    return strncmp(text, "unix:", 5) == 0 && parse_local(address, text + 5);
}

void bench_address_format(const struct bench_address *address, char text[BENCH_ADDRESS_TEXT_SIZE])
{
    char host[INET_ADDRSTRLEN];

    if (address->u.any.sa_family == AF_UNIX) {
        snprintf(text, BENCH_ADDRESS_TEXT_SIZE, "unix:%s", address->u.local.sun_path);
        return;
    }
    inet_ntop(AF_INET, &address->u.ipv4.sin_addr, host, sizeof host);
    snprintf(text, BENCH_ADDRESS_TEXT_SIZE, "%s:%s:%d", address->type == SOCK_DGRAM ? "udp" : "tcp", host,
             ntohs(address->u.ipv4.sin_port));
}

struct bench_address bench_address_of(int fd)
{
    struct bench_address address = {.length = sizeof address.u};
    socklen_t length = sizeof address.type;

    if (getsockname(fd, &address.u.any, &address.length) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &address.type, &length) != 0) {
        bench_fail("a socket's address");
    }
    return address;
}

/* ---- sockets ---- */

static bool is_tcp(const struct bench_address *address)
{
    return address->type == SOCK_STREAM && address->u.any.sa_family == AF_INET;
}

static void set_option(int fd, int level, int option)
{
    int on = 1;

    if (setsockopt(fd, level, option, &on, sizeof on) != 0) {
        bench_fail("a socket's option");
    }
}

void bench_remove_file(const struct bench_address *address)
{
    if (address->u.any.sa_family == AF_UNIX) {
        unlink(address->u.local.sun_path);
    }
}

int bench_listen(const struct bench_address *address)
{
    int fd = socket(address->u.any.sa_family, address->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        bench_fail("a socket");
    }
    if (is_tcp(address)) {
        set_option(fd, SOL_SOCKET, SO_REUSEADDR);
        set_option(fd, IPPROTO_TCP, TCP_NODELAY);
    }
    bench_remove_file(address);
    if (bind(fd, &address->u.any, address->length) != 0) {
        bench_fail("bind");
    }
    if (address->type == SOCK_STREAM && listen(fd, BENCH_BACKLOG) != 0) {
        bench_fail("listen");
    }
    return fd;
}

/* The port is chosen in connect(), when the peer is known, so that many connections may share it. */
static int bind_source(int fd, const struct bench_address *source)
{
    set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
    return bind(fd, &source->u.any, source->length);
}

int bench_connect_from(const struct bench_address *address, const struct bench_address *source)
{
    int fd = socket(address->u.any.sa_family, address->type | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0) {
        return -1;
    }
    if (is_tcp(address)) {
        set_option(fd, IPPROTO_TCP, TCP_NODELAY);
    }
    if ((!source || bind_source(fd, source) == 0) && connect(fd, &address->u.any, address->length) == 0) {
        return fd;
    }
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

int bench_connect(const struct bench_address *address)
{
    return bench_connect_from(address, NULL);
}

void bench_set_nonblocking(int fd)
{
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) {
        bench_fail("O_NONBLOCK");
    }
}

/* ---- the process ---- */

void bench_raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int64_t bench_clock(clockid_t clock)
{
    struct timespec time;

    if (clock_gettime(clock, &time) != 0) {
        bench_fail("a clock");
    }
    return time.tv_sec * BENCH_SECOND + time.tv_nsec;
}
