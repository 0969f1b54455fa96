/* SPDX-License-Identifier: ISC
 *
 * libuv: pipes, loop iterations, wake-ups and timers. Writes try uv_try_write first, and all reads use one buffer, as
 * fast programs on libuv do. local_libuv_files.c has the file workloads.
 */
#include "local_libuv.h"
#include "local_pipes.h"

#include <stdlib.h>

void libuv_check(int error, const char *what)
{
    if (error < 0) {
        local_fail(what, error);
    }
}

void libuv_begin(uv_loop_t *loop, void *data)
{
    libuv_check(uv_loop_init(loop), "uv_loop_init");
    loop->data = data;
}

void libuv_run_and_end(uv_loop_t *loop)
{
    libuv_check(uv_run(loop, UV_RUN_DEFAULT), "uv_run");
    libuv_check(uv_loop_close(loop), "uv_loop_close");
}

static void open_pipe(uv_loop_t *loop, uv_pipe_t *pipe, int fd, void *data)
{
    libuv_check(uv_pipe_init(loop, pipe, 0), "uv_pipe_init");
    libuv_check(uv_pipe_open(pipe, fd), "uv_pipe_open");
    pipe->data = data;
}

/* ---- a byte, back and forth ---- */

struct pingpong {
    struct local_game game;
    char byte;
    struct player {
        struct pingpong *pingpong;
        uv_pipe_t in, out;
    } players[2];
};

static void on_alloc_byte(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    *buf = uv_buf_init(&((struct player *)handle->data)->pingpong->byte, 1);
}

static void end_game(struct pingpong *pingpong)
{
    for (int i = 0; i < 2; i++) {
        uv_close((uv_handle_t *)&pingpong->players[i].in, NULL);
        uv_close((uv_handle_t *)&pingpong->players[i].out, NULL);
    }
}

static void play(struct player *player, unsigned char byte)
{
    char next = (char)byte;
    uv_buf_t buf = uv_buf_init(&next, 1);
    local_check(uv_try_write((uv_stream_t *)&player->out, &buf, 1) == 1, "a byte couldn't be written");
}

static void on_ball(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct player *player = stream->data;
    struct pingpong *pingpong = player->pingpong;
    unsigned char byte = (unsigned char)*buf->base;

    if (n == 0) {
        return;
    }
    local_check(n == 1, "a byte couldn't be read");
    if (local_player_got(&pingpong->game, &pingpong->game.players[player - pingpong->players], byte)) {
        play(player, (unsigned char)(byte + 1));
    } else {
        end_game(pingpong);
    }
}

static void run_pingpong(const struct local_options *options, struct local_result *result)
{
    struct pingpong pingpong;
    uv_loop_t loop;

    local_game_init(&pingpong.game, options, result);
    libuv_begin(&loop, &pingpong);
    for (int i = 0; i < 2; i++) {
        struct player *player = &pingpong.players[i];
        player->pingpong = &pingpong;
        open_pipe(&loop, &player->in, pingpong.game.players[i].in, player);
        open_pipe(&loop, &player->out, pingpong.game.players[i].out, player);
        libuv_check(uv_read_start((uv_stream_t *)&player->in, on_alloc_byte, on_ball), "uv_read_start");
    }
    play(&pingpong.players[0], 0);
    libuv_run_and_end(&loop);
}

/* ---- blocks, one way ---- */

struct pipe {
    struct local_transfer transfer;
    uv_pipe_t in, out;
    uv_write_t rest;
};

static void on_alloc_block(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct pipe *pipe = handle->data;

    (void)suggested;
    *buf = uv_buf_init((char *)pipe->transfer.buffer, (unsigned)pipe->transfer.stream.size);
}

static void on_block(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct pipe *pipe = stream->data;

    (void)buf;
    if (n == 0) {
        return;
    }
    local_check(n > 0, "a read has failed");
    if (!local_transfer_got(&pipe->transfer, (size_t)n)) {
        uv_close((uv_handle_t *)&pipe->in, NULL);
        uv_close((uv_handle_t *)&pipe->out, NULL);
    }
}

static void send_blocks(struct pipe *pipe);

static void on_rest_written(uv_write_t *request, int error)
{
    struct pipe *pipe = request->data;
    size_t len;

    libuv_check(error, "uv_write");
    (void)local_transfer_rest(&pipe->transfer, &len);
    if (local_transfer_sent(&pipe->transfer, len)) {
        send_blocks(pipe);
    }
}

/* Writes what the pipe accepts at once, then queues the rest. */
static void send_blocks(struct pipe *pipe)
{
    for (;;) {
        size_t len;
        char *rest = (char *)local_transfer_rest(&pipe->transfer, &len);
        uv_buf_t buf = uv_buf_init(rest, (unsigned)len);
        int n = uv_try_write((uv_stream_t *)&pipe->out, &buf, 1);

        if (n == UV_EAGAIN || (n >= 0 && (size_t)n < len)) {
            n = n < 0 ? 0 : n;
            (void)local_transfer_sent(&pipe->transfer, (size_t)n);
            buf = uv_buf_init(rest + n, (unsigned)len - (unsigned)n);
            libuv_check(uv_write(&pipe->rest, (uv_stream_t *)&pipe->out, &buf, 1, on_rest_written), "uv_write");
            return;
        }
        libuv_check(n, "uv_try_write");
        if (!local_transfer_sent(&pipe->transfer, len)) {
            return;
        }
    }
}

static void run_pipe(const struct local_options *options, struct local_result *result)
{
    struct pipe pipe;
    uv_loop_t loop;

    local_transfer_init(&pipe.transfer, options, result);
    libuv_begin(&loop, &pipe);
    open_pipe(&loop, &pipe.in, local_transfer_take(&pipe.transfer.in), &pipe);
    open_pipe(&loop, &pipe.out, local_transfer_take(&pipe.transfer.out), &pipe);
    pipe.rest.data = &pipe;
    libuv_check(uv_read_start((uv_stream_t *)&pipe.in, on_alloc_block, on_block), "uv_read_start");
    send_blocks(&pipe);
    libuv_run_and_end(&loop);
    local_transfer_finish(&pipe.transfer);
}

/* ---- turns ---- */

static void on_idle(uv_idle_t *idle)
{
    if (!local_goes_on(idle->loop->data)) {
        uv_close((uv_handle_t *)idle, NULL);
    }
}

static void run_turn(const struct local_options *options, struct local_result *result)
{
    struct local_window window;
    uv_loop_t loop;
    uv_idle_t idle;

    local_window_init(&window, options, result);
    libuv_begin(&loop, &window);
    libuv_check(uv_idle_init(&loop, &idle), "uv_idle_init");
    libuv_check(uv_idle_start(&idle, on_idle), "uv_idle_start");
    libuv_run_and_end(&loop);
}

/* ---- wake-ups ---- */

static void on_own_wake(uv_async_t *async)
{
    if (local_goes_on(async->loop->data)) {
        libuv_check(uv_async_send(async), "uv_async_send");
    } else {
        uv_close((uv_handle_t *)async, NULL);
    }
}

static void run_wake_self(const struct local_options *options, struct local_result *result)
{
    struct local_window window;
    uv_loop_t loop;
    uv_async_t async;

    local_window_init(&window, options, result);
    libuv_begin(&loop, &window);
    libuv_check(uv_async_init(&loop, &async, on_own_wake), "uv_async_init");
    libuv_check(uv_async_send(&async), "uv_async_send");
    libuv_run_and_end(&loop);
}

struct threads {
    struct local_waker waker;
    struct local_mail mail;
    uv_async_t async;
};

static bool post(void *arg, uint64_t message)
{
    struct threads *threads = arg;

    if (local_mail_push(&threads->mail, message)) {
        libuv_check(uv_async_send(&threads->async), "uv_async_send");
    }
    return true;
}

static void on_mail(uv_async_t *async)
{
    struct threads *threads = async->loop->data;

    if (local_mail_deliver(&threads->mail, &threads->waker)) {
        uv_close((uv_handle_t *)async, NULL);
    }
}

static void run_wake_thread(const struct local_options *options, struct local_result *result)
{
    struct threads threads = {.waker.post = post};
    uv_loop_t loop;

    threads.waker.arg = &threads;
    local_mail_init(&threads.mail, options->count);
    libuv_begin(&loop, &threads);
    libuv_check(uv_async_init(&loop, &threads.async, on_mail), "uv_async_init");
    local_waker_start(&threads.waker, options);
    libuv_run_and_end(&loop);
    local_waker_finish(&threads.waker, result);
    free(threads.mail.letters);
}

/* ---- start and stop ---- */

static void run_start_stop(const struct local_options *options, struct local_result *result)
{
    struct local_window window;

    local_window_init(&window, options, result);
    do {
        uv_loop_t loop;
        libuv_begin(&loop, NULL);
        libuv_run_and_end(&loop);
    } while (local_goes_on(&window));
}

static const struct local_workload workloads[] = {
    {"pingpong", NULL, run_pingpong},
    {"pipe", NULL, run_pipe},
    {"wake-self", NULL, run_wake_self},
    {"wake-thread", NULL, run_wake_thread},
    {"turn", NULL, run_turn},
    {"timers-start", "first", libuv_timers_start_cancel},
    {"timers-start", "again", libuv_timers_start_cancel},
    {"timers-cancel", "first", libuv_timers_start_cancel},
    {"timers-cancel", "again", libuv_timers_start_cancel},
    {"timers-fire", "milliseconds", libuv_timers_fire},
    {"timers-fire", "nanoseconds", libuv_timers_fire},
    {"read", NULL, libuv_read},
    {"copy", "copyfile", libuv_copy_file},
    {"copy", "blocks", libuv_copy_blocks},
    {"start-stop", NULL, run_start_stop},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return local_main(argc, argv, workloads);
}
