/* SPDX-License-Identifier: ISC
 *
 * The echo server on libuv, for comparison: as fast as libuv's users know to make it. One read buffer for all
 * connections, each read answered at once by uv_try_write, and only what that leaves over is copied and queued.
 * TCP_NODELAY is set.
 *
 * echo_libuv tcp:IPV4:PORT | unix:PATH
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define READ_BYTES 65536

static char read_buffer[READ_BYTES];

union peer {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

struct rest {
    uv_write_t request;
    char bytes[];
};

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(read_buffer, READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void on_rest_written(uv_write_t *request, int status)
{
    uv_stream_t *stream = request->handle;
    free(request);
    if (status < 0) {
        if (!uv_is_closing((uv_handle_t *)stream)) {
            uv_close((uv_handle_t *)stream, on_closed);
        }
        return;
    }
    uv_read_start(stream, on_alloc, on_read);
}

/* Writes what the socket didn't take at once, and holds the peer back meanwhile. */
static void write_rest(uv_stream_t *stream, const char *bytes, size_t len)
{
    struct rest *rest = malloc(sizeof *rest + len);
    if (!rest) {
        abort();
    }
    memcpy(rest->bytes, bytes, len);
    uv_buf_t buf = uv_buf_init(rest->bytes, (unsigned)len);
    uv_read_stop(stream);
    uv_write(&rest->request, stream, &buf, 1, on_rest_written);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    if (n < 0) {
        uv_close((uv_handle_t *)stream, on_closed);
        return;
    }
    uv_buf_t out = uv_buf_init(buf->base, (unsigned)n);
    int written = n > 0 ? uv_try_write(stream, &out, 1) : 0;
    if (written < 0 && written != UV_EAGAIN) {
        uv_close((uv_handle_t *)stream, on_closed);
        return;
    }
    size_t done = written > 0 ? (size_t)written : 0;
    if (done < (size_t)n) {
        write_rest(stream, buf->base + done, (size_t)n - done);
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    union peer *peer = status == 0 ? malloc(sizeof *peer) : NULL;
    if (!peer) {
        return;
    }
    if (listener->type == UV_TCP) {
        uv_tcp_init(listener->loop, &peer->tcp);
    } else {
        uv_pipe_init(listener->loop, &peer->pipe, 0);
    }
    if (uv_accept(listener, &peer->stream)) {
        uv_close(&peer->handle, on_closed);
        return;
    }
    if (listener->type == UV_TCP) {
        uv_tcp_nodelay(&peer->tcp, 1);
    }
    uv_read_start(&peer->stream, on_alloc, on_read);
}

static int bind_tcp(uv_loop_t *loop, union peer *listener, const char *text)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    struct sockaddr_in address;
    if (!colon || (size_t)(colon - text) >= sizeof host) {
        return UV_EINVAL;
    }
    (void)snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
    uv_tcp_init(loop, &listener->tcp);
    int error = uv_ip4_addr(host, atoi(colon + 1), &address);
    return error ? error : uv_tcp_bind(&listener->tcp, (struct sockaddr *)&address, 0);
}

static int bind_pipe(uv_loop_t *loop, union peer *listener, const char *path)
{
    remove(path);
    uv_pipe_init(loop, &listener->pipe, 0);
    return uv_pipe_bind(&listener->pipe, path);
}

int main(int argc, char **argv)
{
    union peer listener;
    uv_loop_t *loop = uv_default_loop();
    if (argc != 2 || (strncmp(argv[1], "tcp:", 4) && strncmp(argv[1], "unix:", 5))) {
        fprintf(stderr, "echo_libuv: one address is wanted, tcp:IPV4:PORT or unix:PATH\n");
        return 2;
    }
    int error = argv[1][0] == 't' ? bind_tcp(loop, &listener, argv[1] + 4) : bind_pipe(loop, &listener, argv[1] + 5);
    if (!error) {
        error = uv_listen(&listener.stream, 4096, on_connection);
    }
    if (error) {
        fprintf(stderr, "echo_libuv: %s\n", uv_strerror(error));
        return 1;
    }
    printf("listening on %s (libuv %s)\n", argv[1], uv_version_string());
    fflush(stdout);
    return uv_run(loop, UV_RUN_DEFAULT);
}
