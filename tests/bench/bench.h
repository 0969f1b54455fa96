/* SPDX-License-Identifier: ISC
 *
 * Helpers that all benchmark programs use: addresses, sockets, clocks, and exit with an error message.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define BENCH_SECOND INT64_C(1000000000)
#define BENCH_MILLISECOND INT64_C(1000000)
#define BENCH_MICROSECOND INT64_C(1000)

/* The backlog of every listener, as in the library. */
#define BENCH_BACKLOG SOMAXCONN

/* tcp:127.0.0.1:7000, unix:/path or udp:127.0.0.1:7000. */
struct bench_address {
    int type; /* SOCK_STREAM or SOCK_DGRAM */
    socklen_t length;
    union {
        struct sockaddr any;
        struct sockaddr_in ipv4;
        struct sockaddr_un local;
    } u;
};

#define BENCH_ADDRESS_TEXT_SIZE 160

/* Returns false for any other text. */
bool bench_address_parse(struct bench_address *address, const char *text);
void bench_address_format(const struct bench_address *address, char text[BENCH_ADDRESS_TEXT_SIZE]);

/* Returns the complete address of a bound socket, with the port that the kernel chose. */
struct bench_address bench_address_of(int fd);

/* Removes a socket file that an earlier program left behind. Does nothing for other addresses. */
void bench_remove_file(const struct bench_address *address);

/* Returns a nonblocking socket that listens (or, for datagrams, is bound). Accepted connections inherit TCP_NODELAY
 * from it. Exits on an error. */
int bench_listen(const struct bench_address *address);

/* Returns a connected socket, or -1 with errno. The socket is blocking, because a connection inside one machine is
 * established at once. TCP_NODELAY is set. */
int bench_connect(const struct bench_address *address);

/* Connects as bench_connect does, from the given local address. With NULL the kernel chooses the address. */
int bench_connect_from(const struct bench_address *address, const struct bench_address *source);

void bench_set_nonblocking(int fd);

/* Raises the descriptor limit to the hard limit. */
void bench_raise_descriptor_limit(void);

/* Return the time of a clock, or of CLOCK_MONOTONIC, in nanoseconds. */
int64_t bench_clock(clockid_t clock);
static inline int64_t bench_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * BENCH_SECOND + now.tv_nsec;
}

/* Keeps this thread on one processor. */
void bench_pin(int processor);

/* Print one line on standard error and exit: with `what` and errno, status 1; about the arguments, status 2. */
void bench_fail(const char *what) __attribute__((noreturn));
void bench_refuse(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Returns zeroed memory, or exits. */
void *bench_alloc(size_t count, size_t size_bytes);

#endif
