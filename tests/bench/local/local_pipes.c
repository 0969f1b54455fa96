/* SPDX-License-Identifier: ISC
 *
 * Pipes by plain system calls. See local_pipes.h.
 */
#include "local_pipes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

void local_pipe(int ends[2])
{
    local_sys("pipe2", pipe2(ends, O_NONBLOCK | O_CLOEXEC));
}

void local_pipe_close(const int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

/* ---- a byte, back and forth ---- */

void local_game_init(struct local_game *game, const struct local_options *options, struct local_result *result)
{
    int there[2], back[2];

    local_pipe(there);
    local_pipe(back);
    local_window_init(&game->window, options, result);
    game->players[0] = (struct local_player){.in = back[0], .out = there[1], .expected = 1, .is_first = true};
    game->players[1] = (struct local_player){.in = there[0], .out = back[1]};
}

void local_game_finish(struct local_game *game)
{
    for (int i = 0; i < 2; i++) {
        close(game->players[i].in);
        close(game->players[i].out);
    }
}

void local_game_serve(struct local_game *game)
{
    local_player_send(&game->players[0], 0);
}

void local_player_send(const struct local_player *player, unsigned char byte)
{
    local_check(write(player->out, &byte, 1) == 1, "a byte couldn't be written");
}

bool local_player_turn(struct local_game *game, struct local_player *player)
{
    unsigned char byte;
    ssize_t n = read(player->in, &byte, 1);

    if (n < 0 && errno == EAGAIN) {
        return true;
    }
    local_check(n == 1, "a byte couldn't be read");
    if (!local_player_got(game, player, byte)) {
        return false;
    }
    local_player_send(player, (unsigned char)(byte + 1));
    return true;
}

/* ---- blocks, one way ---- */

void local_transfer_init(struct local_transfer *transfer, const struct local_options *options,
                         struct local_result *result)
{
    int ends[2];

    local_pipe(ends);
    *transfer = (struct local_transfer){.stream.size = options->size, .in = ends[0], .out = ends[1]};
    local_window_init(&transfer->window, options, result);
    transfer->most = transfer->window.warmup + transfer->window.count;
    transfer->block = local_alloc(options->size, 1);
    transfer->buffer = local_alloc(options->size, 1);
    local_stream_fill(transfer->block, options->size);
    local_stream_stamp(transfer->block, 0);
}

bool local_transfer_sent(struct local_transfer *transfer, size_t len)
{
    transfer->sent_of_block += len;
    if (transfer->sent_of_block < transfer->stream.size) {
        return true;
    }
    transfer->sent_of_block = 0;
    if (++transfer->n_sent < transfer->most) {
        local_stream_stamp(transfer->block, transfer->n_sent);
        return true;
    }
    if (transfer->out >= 0) {
        close(transfer->out);
        transfer->out = -1;
    }
    return false;
}

bool local_transfer_got(struct local_transfer *transfer, size_t len)
{
    for (uint64_t n = local_stream_got(&transfer->stream, transfer->buffer, len); n > 0; n--) {
        (void)local_goes_on(&transfer->window);
    }
    return transfer->stream.position < transfer->most * transfer->stream.size;
}

enum local_moved local_transfer_write(struct local_transfer *transfer)
{
    size_t len;
    const unsigned char *rest = local_transfer_rest(transfer, &len);
    ssize_t n = write(transfer->out, rest, len);

    if (n < 0 && errno == EAGAIN) {
        return LOCAL_PARTLY;
    }
    if (!local_transfer_sent(transfer, (size_t)local_sys("write", n))) {
        return LOCAL_ENDED;
    }
    return (size_t)n == len ? LOCAL_ALL : LOCAL_PARTLY;
}

enum local_moved local_transfer_read(struct local_transfer *transfer)
{
    ssize_t n = read(transfer->in, transfer->buffer, transfer->stream.size);

    if (n < 0 && errno == EAGAIN) {
        return LOCAL_PARTLY;
    }
    local_check(local_sys("read", n) > 0, "the pipe has ended too early");
    if (!local_transfer_got(transfer, (size_t)n)) {
        return LOCAL_ENDED;
    }
    return (size_t)n == transfer->stream.size ? LOCAL_ALL : LOCAL_PARTLY;
}

void local_transfer_finish(struct local_transfer *transfer)
{
    if (transfer->in >= 0) {
        close(transfer->in);
    }
    free(transfer->block);
    free(transfer->buffer);
}
