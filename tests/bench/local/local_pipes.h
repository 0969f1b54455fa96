/* SPDX-License-Identifier: ISC
 *
 * Pipes by plain system calls, for the handwritten loops and for the libraries that only report readiness.
 */
#ifndef TESTS_BENCH_LOCAL_PIPES_H
#define TESTS_BENCH_LOCAL_PIPES_H

#include "local.h"

/* A nonblocking pipe, or the end of the program. */
void local_pipe(int ends[2]);
void local_pipe_close(const int ends[2]);

/* Two who send a byte back and forth, each time one higher. */
struct local_game {
    struct local_window window;
    struct local_player {
        int in, out;
        unsigned char expected;
        bool is_first;
    } players[2];
};

void local_game_init(struct local_game *game, const struct local_options *options, struct local_result *result);
void local_game_finish(struct local_game *game);

/* The first byte. */
void local_game_serve(struct local_game *game);

void local_player_send(const struct local_player *player, unsigned char byte);

/* A byte has come and has to be answered with the next one. False when that was the end of the game. */
static inline bool local_player_got(struct local_game *game, struct local_player *player, unsigned char byte)
{
    local_check(byte == player->expected, "not the byte that was due");
    player->expected = (unsigned char)(byte + 2);
    return !player->is_first || local_goes_on(&game->window);
}

/* Reads it and answers. Nothing to read yet is no error. False at the end of the game. */
bool local_player_turn(struct local_game *game, struct local_player *player);

/* Blocks through a pipe. */
struct local_transfer {
    struct local_window window;
    struct local_stream stream;
    int in, out; /* `out` is -1 when all has been sent */
    unsigned char *block, *buffer;
    size_t sent_of_block;
    uint64_t n_sent, most;
};

void local_transfer_init(struct local_transfer *transfer, const struct local_options *options,
                         struct local_result *result);

/* An end of the pipe becomes the caller's, who closes it. */
static inline int local_transfer_take(int *end)
{
    int fd = *end;
    *end = -1;
    return fd;
}

/* The rest of the block that is to be sent now. */
static inline unsigned char *local_transfer_rest(const struct local_transfer *transfer, size_t *len)
{
    *len = transfer->stream.size - transfer->sent_of_block;
    return transfer->block + transfer->sent_of_block;
}

/* So many bytes of it have been sent. False, and `out` is closed, when it was the last block. */
bool local_transfer_sent(struct local_transfer *transfer, size_t len);

/* So many bytes have come to `buffer`. False when they were the last. */
bool local_transfer_got(struct local_transfer *transfer, size_t len);

/* One write(2), one read(2). PARTLY: not all that was asked for, so it is time to wait. */
enum local_moved { LOCAL_ALL, LOCAL_PARTLY, LOCAL_ENDED };
enum local_moved local_transfer_write(struct local_transfer *transfer);
enum local_moved local_transfer_read(struct local_transfer *transfer);
void local_transfer_finish(struct local_transfer *transfer);

#endif
