/* SPDX-License-Identifier: ISC
 *
 * Helpers that the suites of copies share: a pattern, both ends of a copy, and a source and a sink of the program's
 * own.
 */
#ifndef TESTS_COPYING_H
#define TESTS_COPYING_H

#include "harness.h"

#include <loop/reader.h>

enum { SIZE = 1 << 20, OWN_TAKES = 100000 };

static char pattern[SIZE], copied[SIZE], rest[SIZE];

/* ---- a source and a sink of the program's own ---- */

static struct own {
    struct loop_source source;
    struct loop_sink sink;
    size_t at, taken;
    loop_job write;
    int64_t part; /* accepted bytes of the blocked write */
    bool is_open;
} own;

static inline loop_job own_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    size_t left = sizeof pattern - own.at, n = len < left ? len : left;
    loop_job job = loop_promise(source->scope, NULL, NULL, fn, arg);

    memcpy(buf, pattern + own.at, n);
    own.at += n;
    loop_resolve(loop_scope_loop(source->scope), job, (int64_t)n);
    return job;
}

static inline int own_unread(struct loop_source *source, const void *bytes, size_t len)
{
    (void)source;
    CHECK(len <= own.at && memcmp(pattern + own.at - len, bytes, len) == 0);
    own.at -= len;
    return 0;
}

/* A sink that accepts a fixed total of bytes. A cancelled write returns the number of its accepted bytes. */
static inline void own_cancelled(void *arg, loop_job job)
{
    loop_resolve(arg, job, own.part > 0 ? own.part : -ECANCELED);
}

static inline loop_job own_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    struct loop *loop = loop_scope_loop(sink->scope);
    size_t room = own.is_open ? sizeof pattern - own.taken : OWN_TAKES - own.taken;
    size_t n = iov->iov_len < room ? iov->iov_len : room;
    loop_job job = loop_promise(sink->scope, own_cancelled, loop, fn, arg);

    CHECK_IS(n_iov, 1);
    memcpy(copied + own.taken, iov->iov_base, n);
    own.taken += n;
    own.part = (int64_t)n;
    if (n == iov->iov_len) {
        loop_resolve(loop, job, (int64_t)n);
    } else {
        own.write = job;
    }
    return job;
}

__attribute__((unused)) static const struct loop_source_ops own_source_ops = {.read = own_read, .unread = own_unread};
__attribute__((unused)) static const struct loop_sink_ops own_sink_ops = {.write = own_write};

static inline void make_own(struct loop_scope *scope)
{
    own = (struct own){.source = {&own_source_ops, scope, NULL}, .sink = {&own_sink_ops, scope, NULL}};
}

/* ---- the ends of a copy ---- */

enum kind { SOCKET, TCP, PIPE, REGULAR, MEMORY, OWN, READER, ECHO, KINDS };

/* What the near end is of: the far one is a plain number, or there is none. */
static struct ends {
    enum kind kind;
    struct loop_source *source;
    struct loop_sink *sink;
    struct loop_fd *fd;
    struct loop_reader *reader;
    int far;
    size_t fed; /* bytes of the pattern written to the far end */
} from, to;

static inline void make_numbers(enum kind kind, bool is_sink, int fds[2])
{
    if (kind == PIPE) {
        make_pipe(fds);
    } else if (kind == TCP) {
        make_tcp_pair(fds);
    } else if (kind == REGULAR) {
        fds[0] = make_file(pattern, is_sink ? 0 : sizeof pattern);
        fds[1] = is_sink ? fcntl(fds[0], F_DUPFD_CLOEXEC, 3) : -1;
    } else {
        make_pair(fds);
    }
    if (kind == PIPE && is_sink) {
        int end = fds[0];
        fds[0] = fds[1];
        fds[1] = end;
    }
}

static inline void make_near(struct loop_env *env, struct ends *ends, enum kind kind, bool is_sink)
{
    int fds[2];

    make_numbers(kind, is_sink, fds);
    if (is_sink && (kind == SOCKET || kind == TCP)) {
        set_small_buffers(fds[0]);
        set_small_buffers(fds[1]);
    }
    *ends = (struct ends){.kind = kind, .fd = adopt(env->scope, fds[0]), .far = fds[1]};
    ends->source = &loop_fd_flow(ends->fd)->source;
    ends->sink = &loop_fd_flow(ends->fd)->sink;
    if (ends->far >= 0) {
        set_nonblocking(ends->far);
    }
}

static inline void feed(struct ends *ends)
{
    ssize_t n = 1;

    while (ends->far >= 0 && ends->fed < sizeof pattern && n > 0) {
        n = write(ends->far, pattern + ends->fed, sizeof pattern - ends->fed);
        ends->fed += n > 0 ? (size_t)n : 0;
    }
}

static inline void make_source(struct loop_env *env, enum kind kind)
{
    if (kind == MEMORY) {
        from = (struct ends){.kind = kind, .far = -1, .source = loop_memory_source(env->scope, pattern, SIZE)};
    } else if (kind == OWN) {
        from = (struct ends){.kind = kind, .far = -1, .source = &own.source};
    } else {
        make_near(env, &from, kind, false);
    }
    if (kind == READER) {
        from.reader = loop_reader_create(from.source, 0);
        from.source = loop_reader_source(from.reader);
    }
    feed(&from);
}

static inline void make_sink(struct loop_env *env, enum kind kind)
{
    if (kind == OWN) {
        to = (struct ends){.kind = kind, .far = -1, .sink = &own.sink};
    } else if (kind == ECHO) {
        to = from;
        to.kind = ECHO;
    } else {
        make_near(env, &to, kind, true);
    }
}

static inline void close_ends(struct ends *ends)
{
    if (ends->far >= 0 && is_open(ends->far)) {
        close(ends->far);
    }
    loop_fd_destroy(ends->fd);
}

#endif
