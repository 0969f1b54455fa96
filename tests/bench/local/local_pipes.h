/* SPDX-License-Identifier: ISC
 *
 * Pipes by plain system calls, for the handwritten loops and for the libraries that only report readiness.
 */
#ifndef TESTS_BENCH_LOCAL_PIPES_H
#define TESTS_BENCH_LOCAL_PIPES_H

#include "local.h"

/* Creates a nonblocking pipe, or exits. */
void local_pipe(int ends[2]);
void local_pipe_close(const int ends[2]);

/* Two players that send a byte back and forth, incremented by one each time. */
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

/* Sends the first byte. */
void local_game_serve(struct local_game *game);

void local_player_send(const struct local_player *player, unsigned char byte);

/* Checks a received byte and determines the answer. Returns false at the end of the game. */
static inline bool local_player_got(struct local_game *game, struct local_player *player, unsigned char byte)
{
    local_check(byte == player->expected, "not the byte that was due");
    player->expected = (unsigned char)(byte + 2);
    return !player->is_first || local_goes_on(&game->window);
}

/* Reads a byte and answers. An empty pipe is not an error. Returns false at the end of the game. */
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

/* Transfers an end of the pipe to the caller, which closes it. */
static inline int local_transfer_take(int *end)
{
    int fd = *end;
    *end = -1;
    return fd;
}

/* Returns the rest of the block to be sent now. */
static inline unsigned char *local_transfer_rest(const struct local_transfer *transfer, size_t *len)
{
    *len = transfer->stream.size - transfer->sent_of_block;
    return transfer->block + transfer->sent_of_block;
}

/* Counts sent bytes. After the last block closes `out` and returns false. */
bool local_transfer_sent(struct local_transfer *transfer, size_t len);

/* Counts bytes received in `buffer`. Returns false after the last. */
bool local_transfer_got(struct local_transfer *transfer, size_t len);

/* Make one write(2) or one read(2). PARTLY means less than requested, so the caller must wait. */
enum local_moved { LOCAL_ALL, LOCAL_PARTLY, LOCAL_ENDED };
enum local_moved local_transfer_write(struct local_transfer *transfer);
enum local_moved local_transfer_read(struct local_transfer *transfer);
void local_transfer_finish(struct local_transfer *transfer);

#endif
