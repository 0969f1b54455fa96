/* SPDX-License-Identifier: ISC
 *
 * The server on libuv, as fast programs on libuv do it: all reads use one buffer, each is answered at once by
 * uv_try_write, and only the rest is copied and queued. Datagrams are received in batches.
 */
#include "server.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#define DATAGRAMS_AT_ONCE 20 /* libuv's own limit */

union handle {
    uv_handle_t any;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

/* One side of a connection; an echo is its own twin. */
struct side {
    union handle handle; /* first: the handle's address is the side's */
    struct side *twin;
    bool ended, closed;
};

struct rest {
    uv_write_t request;
    struct side *from;
    char bytes[];
};

static struct server server;
static char read_buffer[DATAGRAMS_AT_ONCE * SERVER_READ_BYTES];

/* ---- streams ---- */

static void on_closed(uv_handle_t *handle)
{
    struct side *side = (struct side *)handle, *twin = side->twin;

    side->closed = true;
    if (twin->closed) {
        if (twin != side) {
            free(twin);
        }
        free(side);
    }
}

static void close_both(struct side *side)
{
    if (!uv_is_closing(&side->handle.any)) {
        uv_close(&side->handle.any, on_closed);
    }
    if (!uv_is_closing(&side->twin->handle.any)) {
        uv_close(&side->twin->handle.any, on_closed);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(read_buffer, SERVER_READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void on_rest_written(uv_write_t *request, int status)
{
    struct side *from = ((struct rest *)request)->from;

    free(request);
    if (status < 0) {
        close_both(from);
    } else if (!uv_is_closing(&from->handle.any)) {
        uv_read_start(&from->handle.stream, on_alloc, on_read);
    }
}

/* Queues what the socket did not accept at once, and stops reading until it is sent. */
static void write_rest(struct side *from, const char *bytes, size_t n)
{
    struct rest *rest = bench_alloc(1, sizeof *rest + n);
    uv_buf_t buf = uv_buf_init(rest->bytes, (unsigned)n);

    memcpy(rest->bytes, bytes, n);
    rest->from = from;
    uv_read_stop(&from->handle.stream);
    uv_write(&rest->request, &from->twin->handle.stream, &buf, 1, on_rest_written);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    (void)status;
    free(request);
}

static void on_end(struct side *side)
{
    side->ended = true;
    uv_read_stop(&side->handle.stream);
    if (side->twin->ended) {
        close_both(side);
    } else {
        uv_shutdown(bench_alloc(1, sizeof(uv_shutdown_t)), &side->twin->handle.stream, on_shutdown);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct side *side = (struct side *)stream;
    uv_buf_t out = uv_buf_init(buf->base, n > 0 ? (unsigned)n : 0);
    int written;

    if (n <= 0) {
        if (n == UV_EOF) {
            on_end(side);
        } else if (n < 0) {
            close_both(side);
        }
        return;
    }
    written = uv_try_write(&side->twin->handle.stream, &out, 1);
    if (written < 0 && written != UV_EAGAIN) {
        close_both(side);
    } else if (written < n) {
        written = written > 0 ? written : 0;
        write_rest(side, buf->base + written, (size_t)(n - written));
    }
}

static void init(uv_loop_t *loop, union handle *handle, bool is_tcp)
{
    if (is_tcp) {
        uv_tcp_init(loop, &handle->tcp);
    } else {
        uv_pipe_init(loop, &handle->pipe, 0);
    }
}

static int open_fd(union handle *handle, int fd)
{
    return handle->any.type == UV_TCP ? uv_tcp_open(&handle->tcp, fd) : uv_pipe_open(&handle->pipe, fd);
}

static struct side *make_side(uv_loop_t *loop, bool is_tcp)
{
    struct side *side = bench_alloc(1, sizeof *side);

    side->twin = side;
    init(loop, &side->handle, is_tcp);
    return side;
}

/* Returns false if the upstream is unreachable. */
static bool connect_upstream(struct side *side)
{
    int fd = server_connect_upstream(&server);
    struct side *twin;

    if (fd < 0) {
        return false;
    }
    twin = make_side(side->handle.any.loop, server.upstream.u.any.sa_family == AF_INET);
    side->twin = twin;
    twin->twin = side;
    return open_fd(&twin->handle, fd) == 0 && uv_read_start(&twin->handle.stream, on_alloc, on_read) == 0;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct side *side;

    if (status != 0) {
        return;
    }
    side = make_side(listener->loop, listener->type == UV_TCP);
    if (uv_accept(listener, &side->handle.stream) != 0 || (server.mode == SERVER_PROXY && !connect_upstream(side))) {
        close_both(side);
        return;
    }
    uv_read_start(&side->handle.stream, on_alloc, on_read);
}

/* ---- datagrams ---- */

static void on_datagram_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(read_buffer, sizeof read_buffer);
}

static void on_datagram(uv_udp_t *socket, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
    uv_buf_t out = uv_buf_init(buf->base, n > 0 ? (unsigned)n : 0);

    (void)flags;
    if (n >= 0 && from) {
        uv_udp_try_send(socket, &out, 1, from); /* datagrams that it does not accept are lost */
    }
}

/* ---- all ---- */

static int serve(uv_loop_t *loop)
{
    static union handle listener;
    static uv_udp_t datagrams;
    int fd = server_listen(&server), error;

    if (server.mode == SERVER_UDP) {
        error = uv_udp_init_ex(loop, &datagrams, AF_UNSPEC | UV_UDP_RECVMMSG);
        error = error ? error : uv_udp_open(&datagrams, fd);
        return error ? error : uv_udp_recv_start(&datagrams, on_datagram_alloc, on_datagram);
    }
    init(loop, &listener, server.listen.u.any.sa_family == AF_INET);
    error = open_fd(&listener, fd);
    return error ? error : uv_listen(&listener.stream, BENCH_BACKLOG, on_connection);
}

int main(int argc, char **argv)
{
    uv_loop_t *loop = uv_default_loop();
    int error;

    server = server_arguments(argc, argv, NULL);
    error = serve(loop);
    if (error) {
        bench_refuse("%s", uv_strerror(error));
    }
    return uv_run(loop, UV_RUN_DEFAULT);
}
