/* SPDX-License-Identifier: ISC
 *
 * Descriptors for the suites of the low level: both ends of pipes and sockets, and files with a text.
 */
#ifndef TESTS_DESCRIPTORS_H
#define TESTS_DESCRIPTORS_H

#include "harness.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/stat.h>

static inline void adopt_both(struct loop_scope *scope, const int fds[2], struct loop_fd *ends[2])
{
    ends[0] = adopt(scope, fds[0]);
    ends[1] = adopt(scope, fds[1]);
}

/* [0] is the read end, [1] the write end. */
static inline void open_pipe(struct loop_scope *scope, struct loop_fd *ends[2])
{
    int fds[2];

    make_pipe(fds);
    adopt_both(scope, fds, ends);
}

static inline void open_pair(struct loop_scope *scope, struct loop_fd *ends[2])
{
    int fds[2];

    make_pair(fds);
    adopt_both(scope, fds, ends);
}

static inline void open_tcp_pair(struct loop_scope *scope, struct loop_fd *ends[2])
{
    int fds[2];

    make_tcp_pair(fds);
    adopt_both(scope, fds, ends);
}

static inline int make_datagram_socket(struct sockaddr_in *address)
{
    socklen_t length = sizeof *address;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK_IS(bind(fd, (struct sockaddr *)address, sizeof *address), 0);
    CHECK_IS(getsockname(fd, (struct sockaddr *)address, &length), 0);
    return fd;
}

static inline void say(struct loop_fd *to, const char *text)
{
    CHECK_IS(write(loop_fd_peek(to), text, strlen(text)), (ssize_t)strlen(text));
}

static inline struct loop_fd *open_file(struct loop_scope *scope, const char *text)
{
    return adopt(scope, make_file(text, strlen(text)));
}

static inline struct loop_fd *open_tcp_socket(struct loop_scope *scope)
{
    return adopt(scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static inline const char *in_directory(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    static const char *directory;
    char *path = paths[next++ % 4];

    if (!directory) {
        directory = make_directory();
        umask(022);
    }
    CHECK(snprintf(path, sizeof paths[0], "%s%s%s", directory, *name ? "/" : "", name) < (int)sizeof paths[0]);
    return path;
}

#endif
