/* SPDX-License-Identifier: ISC
 *
 * Datagram sockets, and a record of the datagrams that arrived at one.
 */
#ifndef TESTS_DATAGRAMS_H
#define TESTS_DATAGRAMS_H

#include "sockets.h"

#include <stdio.h>

/* Records a stream of datagrams. With `echo` each is sent back; `at` is called after each. */
struct heard {
    struct loop_datagram_socket *socket;
    unsigned n, n_errors, n_truncated, ends;
    int64_t end, error;
    size_t len;        /* of the last one */
    char first[200];   /* the first byte of each of the first datagrams, in order */
    const void *bytes; /* the expected beginning of each datagram, or NULL */
    struct loop_address sender;
    bool echo;
    void (*at)(struct heard *heard);
};

static inline void hear(void *arg, int64_t result, const struct loop_datagram *datagram)
{
    struct heard *heard = arg;

    CHECK_IS(script.starting, 0);
    CHECK_IS(heard->ends, 0);
    if (!datagram) {
        heard->ends++;
        heard->end = result;
    } else if (result < 0) {
        CHECK(!datagram->data && datagram->len == 0);
        heard->n_errors++;
        heard->error = result;
    } else {
        CHECK_IS(result, datagram->len);
        CHECK(datagram->data);
        CHECK(!heard->bytes || memcmp(datagram->data, heard->bytes, datagram->len) == 0);
        if (heard->n < sizeof heard->first) {
            heard->first[heard->n] = datagram->len ? *(const char *)datagram->data : 0;
        }
        heard->n++;
        heard->n_truncated += datagram->is_truncated;
        heard->len = datagram->len;
        heard->sender = *datagram->sender;
        if (heard->echo) {
            CHECK_IS(loop_datagram_put(heard->socket, datagram->sender, datagram->data, datagram->len), 0);
        }
        if (heard->at) {
            heard->at(heard);
        }
    }
    script_poke();
}

static inline loop_job listen_with(struct heard *heard, struct loop_datagram_socket *socket)
{
    heard->socket = socket;
    return loop_datagram_stream(socket, hear, heard);
}

/* Opens a socket bound to `text`, and stores its address. */
static inline struct loop_datagram_socket *bound(struct loop_scope *scope, const char *text,
                                                 struct loop_address *address)
{
    struct loop_address at = parsed(text);
    struct loop_datagram_options options = {.bind_to = &at};
    struct loop_datagram_socket *socket;

    CHECK_IS(loop_datagram_open(scope, &options, &socket), 0);
    CHECK_IS(loop_datagram_address(socket, address), 0);
    return socket;
}

static inline struct loop_datagram_socket *connected(struct loop_scope *scope, const struct loop_address *address)
{
    struct loop_datagram_options options = {.connect_to = address};
    struct loop_datagram_socket *socket;

    CHECK_IS(loop_datagram_open(scope, &options, &socket), 0);
    return socket;
}

/* Returns a nonblocking socket, by system calls alone. */
static inline int plain(const char *text, struct loop_address *address)
{
    struct loop_address at = parsed(text);
    int fd = socket(at.u.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    CHECK_IS(bind(fd, &at.u.any, at.length), 0);
    address->length = sizeof address->u;
    CHECK_IS(getsockname(fd, &address->u.any, &address->length), 0);
    return fd;
}

static inline void send_plain(int fd, const struct loop_address *to, const void *data, size_t len)
{
    CHECK_IS(sendto(fd, data, len, 0, &to->u.any, to->length), len);
}

static inline bool is_same(const struct loop_address *one, const struct loop_address *other)
{
    return one->length == other->length && memcmp(&one->u, &other->u, one->length) == 0;
}

static inline const char *own_name(const char *name)
{
    static char text[2][64];
    static unsigned n;

    snprintf(text[++n % 2], sizeof text[0], "unix:@noria-datagram-%d-%s", (int)getpid(), name);
    return text[n % 2];
}

__attribute__((unused)) static struct loop_env *the_env;

__attribute__((unused)) static char large[200000];

/* An address without a receiver. */
static inline struct loop_address deserted(void)
{
    struct loop_address address;
    int fd = plain("udp:127.0.0.1:0", &address);

    close(fd);
    return address;
}

#define NUMBERED 16 /* bytes of a datagram that begins with its number */

static inline int put_number(struct loop_datagram_socket *socket, const struct loop_address *to, unsigned number)
{
    char bytes[NUMBERED] = {0};

    memcpy(bytes, &number, sizeof number);
    return loop_datagram_put(socket, to, bytes, sizeof bytes);
}

/* Reads all available datagrams, whose numbers must continue with `*next`. */
static inline void read_numbers(int fd, unsigned *next)
{
    char bytes[NUMBERED + 1];
    ssize_t n;

    while ((n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) >= 0) {
        unsigned number;
        CHECK_IS(n, NUMBERED);
        memcpy(&number, bytes, sizeof number);
        CHECK_IS(number, *next);
        ++*next;
    }
}

static inline void send_letters(int fd, const struct loop_address *to, const char *letters)
{
    for (; *letters; letters++) {
        send_plain(fd, to, letters, 1);
    }
}

#endif
