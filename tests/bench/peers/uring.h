/* SPDX-License-Identifier: ISC
 *
 * The two parts of the handwritten server on io_uring: streams and datagrams.
 */
#ifndef BENCH_URING_H
#define BENCH_URING_H

#include "ring.h"
#include "server.h"

enum uring_receive {
    URING_MULTISHOT,
    URING_SINGLE,
    URING_POLL_FIRST, /* a single receive that does not try before the socket is readable */
};

struct uring_settings {
    unsigned n_buffers;
    size_t buffer_bytes;
    bool are_incremental; /* the buffers */
    enum uring_receive receive;
    bool are_sends_silent; /* a send that succeeds reports nothing */
    bool are_files_plain;  /* descriptors instead of the ring's table of files */
    unsigned setup_flags;  /* of io_uring_setup */
    unsigned batch;        /* completions to wait for */
    unsigned flush_bytes;  /* submits as soon as this much is to be sent */
};

void uring_serve_streams(const struct server *server, const struct uring_settings *settings, struct io_uring *ring)
    __attribute__((noreturn));
void uring_serve_datagrams(const struct server *server, const struct uring_settings *settings, struct io_uring *ring)
    __attribute__((noreturn));

#endif
