/* SPDX-License-Identifier: ISC
 *
 * Noria: pipe workloads, with both ends in the same loop. Reads go into the program's own memory (read), or into chunks
 * that the loop lends (stream).
 */
#include "local_noria.h"

#include <stdlib.h>

/* ---- a byte, back and forth ---- */

struct game;

struct player {
    struct game *game;
    struct loop_source *source;
    struct loop_sink *sink;
    unsigned char expected, got;
};

struct game {
    struct local_window window;
    struct player players[2];
    bool is_streamed, is_over;
};

static unsigned char all_bytes[256]; /* written memory must stay valid */

static void play(struct player *player, unsigned char byte)
{
    all_bytes[byte] = byte;
    noria_job(loop_write(player->sink, &all_bytes[byte], 1, NULL, NULL));
}

/* Sends each received byte back incremented by one. A round trip is one operation. */
static bool has_come(struct player *player, int64_t result, unsigned char byte)
{
    struct game *game = player->game;

    if (result == 0 && game->is_over) {
        return false;
    }
    local_check(result == 1 && byte == player->expected, "not the byte that was due");
    player->expected = (unsigned char)(byte + 2);
    if (player == &game->players[0] && !local_goes_on(&game->window)) {
        game->is_over = true;
        noria_job(loop_shutdown(game->players[0].sink, NULL, NULL));
        noria_job(loop_shutdown(game->players[1].sink, NULL, NULL));
        return false;
    }
    return true;
}

static void on_read(void *arg, int64_t result)
{
    struct player *player = arg;

    if (has_come(player, result, player->got)) {
        play(player, (unsigned char)(player->got + 1));
        noria_job(loop_read(player->source, &player->got, 1, on_read, player));
    }
}

static void on_streamed(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct player *player = arg;
    unsigned char *data = chunk ? loop_chunk_data(chunk) : NULL;

    if (has_come(player, result, data ? *data : 0)) {
        ++*data;
        noria_job(loop_write_chunk(player->sink, chunk, 1, NULL, NULL));
    }
}

static void begin_player(struct game *game, struct player *player)
{
    player->game = game;
    if (game->is_streamed) {
        noria_job(loop_stream(player->source, on_streamed, player));
    } else {
        noria_job(loop_read(player->source, &player->got, 1, on_read, player));
    }
}

static int start_game(struct loop_env *env, void *arg)
{
    struct game *game = arg;
    struct player *first = &game->players[0], *second = &game->players[1];

    if (loop_pipe(env->scope, &first->source, &second->sink) != 0 ||
        loop_pipe(env->scope, &second->source, &first->sink) != 0) {
        local_fail("no pipe", 0);
    }
    begin_player(game, first);
    begin_player(game, second);
    first->expected = 1;
    play(first, 0);
    return 0;
}

static void pingpong(const struct local_options *options, struct local_result *result, bool is_streamed)
{
    struct game game = {.is_streamed = is_streamed};

    local_window_init(&game.window, options, result);
    noria_run(options, 0, start_game, &game);
}

void noria_pingpong_read(const struct local_options *options, struct local_result *result)
{
    pingpong(options, result, false);
}

void noria_pingpong_stream(const struct local_options *options, struct local_result *result)
{
    pingpong(options, result, true);
}

/* ---- blocks, one way ---- */

struct transfer {
    struct local_window window;
    struct local_stream stream;
    struct loop_source *source;
    struct loop_sink *sink;
    unsigned char *block, *buffer;
    uint64_t n_sent, most;
    bool is_streamed;
};

static void on_written(void *arg, int64_t result);

static void send_block(struct transfer *transfer)
{
    size_t size = transfer->stream.size;

    local_stream_stamp(transfer->block, transfer->n_sent++);
    noria_job(loop_write(transfer->sink, transfer->block, size, on_written, transfer));
}

static void on_written(void *arg, int64_t result)
{
    struct transfer *transfer = arg;

    local_check(result == (int64_t)transfer->stream.size, "a write was short");
    if (transfer->n_sent < transfer->most) {
        send_block(transfer);
    } else {
        noria_job(loop_shutdown(transfer->sink, NULL, NULL));
    }
}

static void got(struct transfer *transfer, const unsigned char *data, int64_t len)
{
    local_check(len > 0, "a read has failed");
    for (uint64_t n = local_stream_got(&transfer->stream, data, (size_t)len); n > 0; n--) {
        (void)local_goes_on(&transfer->window);
    }
}

static void on_block_read(void *arg, int64_t result)
{
    struct transfer *transfer = arg;

    if (result != 0) {
        got(transfer, transfer->buffer, result);
        noria_job(loop_read(transfer->source, transfer->buffer, transfer->stream.size, on_block_read, transfer));
    }
}

static void on_block_streamed(void *arg, int64_t result, struct loop_chunk *chunk)
{
    if (result != 0) {
        got(arg, chunk ? loop_chunk_data(chunk) : NULL, result);
    }
}

static int start_transfer(struct loop_env *env, void *arg)
{
    struct transfer *transfer = arg;

    if (loop_pipe(env->scope, &transfer->source, &transfer->sink) != 0) {
        local_fail("no pipe", 0);
    }
    if (transfer->is_streamed) {
        noria_job(loop_stream(transfer->source, on_block_streamed, transfer));
    } else {
        noria_job(loop_read(transfer->source, transfer->buffer, transfer->stream.size, on_block_read, transfer));
    }
    send_block(transfer);
    return 0;
}

static void transfer_blocks(const struct local_options *options, struct local_result *result, bool is_streamed)
{
    struct transfer transfer = {.stream.size = options->size, .is_streamed = is_streamed};

    local_window_init(&transfer.window, options, result);
    transfer.most = transfer.window.warmup + transfer.window.count;
    transfer.block = local_alloc(options->size, 1);
    transfer.buffer = local_alloc(options->size, 1);
    local_stream_fill(transfer.block, options->size);
    noria_run(options, is_streamed ? options->size : 0, start_transfer, &transfer);
    local_check(transfer.stream.position == transfer.most * options->size, "not every byte has come");
    free(transfer.block);
    free(transfer.buffer);
}

void noria_pipe_read(const struct local_options *options, struct local_result *result)
{
    transfer_blocks(options, result, false);
}

void noria_pipe_stream(const struct local_options *options, struct local_result *result)
{
    transfer_blocks(options, result, true);
}
