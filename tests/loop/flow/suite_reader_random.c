/* SPDX-License-Identifier: ISC
 *
 * Pseudo-random operations on a reader, checked against a plain copy of the bytes.
 */
#include "dice.h"
#include "reading.h"

#include <loop/reader.h>

/* ---- by the dice ---- */

enum { PLAYED = 6000 };

struct game {
    struct loop_reader *reader;
    struct drip drip;
    char data[PLAYED];
    size_t at, max_bytes; /* what has been consumed */
    unsigned operation;
    size_t len;
    bool is_running, was_cancelled, is_over;
    char rest[64];
};

enum { LINE, UNTIL, EXACT, TAKE, SKIP, ALL, FILL, REST, OPERATIONS };

/* What a delimiter at `end` (or none, at the end of the data) makes of an operation. */
static int64_t expect_text(const struct game *game, const char *end, size_t delimiter_len)
{
    size_t left = PLAYED - game->at;
    size_t consumed = end ? (size_t)(end - (game->data + game->at)) + delimiter_len : left;

    return consumed <= game->max_bytes ? (int64_t)consumed : -EMSGSIZE;
}

static int64_t expect_count(const struct game *game)
{
    size_t left = PLAYED - game->at;

    if (game->operation != SKIP && game->len > game->max_bytes) {
        return -EMSGSIZE;
    }
    if (left == 0 || left >= game->len) {
        return left == 0 ? 0 : (int64_t)game->len;
    }
    return game->operation == SKIP ? (int64_t)left : -ENODATA;
}

/* The result that a reader must have; for those that may give out less, the most. */
static int64_t expected(const struct game *game)
{
    size_t left = PLAYED - game->at;
    const char *data = game->data + game->at;

    switch (game->operation) {
    case LINE: return expect_text(game, memchr(data, '\n', left), 1);
    case UNTIL: return expect_text(game, memmem(data, left, "ab", 2), 2);
    case ALL: return expect_text(game, NULL, 0);
    case TAKE: return (int64_t)(left < game->len ? left : game->len);
    case REST: return (int64_t)(left < game->len ? left : game->len);
    default: return expect_count(game);
    }
}

static void check_data(const struct game *game, int64_t result)
{
    size_t len, consumed = (size_t)result;
    const char *data = loop_reader_data(game->reader, &len), *was = game->data + game->at;

    if (game->operation == REST) {
        CHECK(memcmp(game->rest, was, consumed) == 0);
        return;
    }
    if (game->operation == SKIP || game->operation == FILL) {
        CHECK_IS(len, 0);
        return;
    }
    CHECK(len <= consumed && consumed <= len + 2 && memcmp(data, was, len) == 0);
    if (game->operation == LINE && was[consumed - 1] == '\n') {
        CHECK_IS(len, consumed - (consumed > 1 && was[consumed - 2] == '\r' ? 2 : 1));
    } else if (game->operation == UNTIL && consumed >= 2 && memcmp(was + consumed - 2, "ab", 2) == 0) {
        CHECK_IS(len, consumed - 2);
    } else {
        CHECK_IS(len, consumed);
    }
}

static void on_played(void *arg, int64_t result)
{
    struct game *game = arg;
    int64_t most = expected(game);
    bool may_be_less = game->operation == TAKE || game->operation == REST || game->operation == SKIP;

    CHECK(game->is_running);
    game->is_running = false;
    if (result == -ECANCELED) {
        CHECK(game->was_cancelled);
    } else if (game->operation == FILL && result > 0) {
        CHECK(result >= most && most > 0);
    } else if (may_be_less && result > 0) {
        CHECK(result <= most && (game->operation != SKIP || game->was_cancelled || result == most));
    } else {
        CHECK_IS(result, most);
    }
    if (result > 0) {
        check_data(game, result);
    }
    if (result > 0 && game->operation != FILL) {
        game->at += (size_t)result;
    }
    game->is_over = result == 0;
    script_poke();
}

static loop_job play(struct game *game)
{
    struct loop_reader *reader = game->reader;

    game->operation = dice(OPERATIONS);
    game->len = 1 + dice(game->operation == REST ? sizeof game->rest : 3 * (unsigned)game->max_bytes / 2);
    game->was_cancelled = false;
    game->is_running = true;
    switch (game->operation) {
    case LINE: return loop_reader_line(reader, on_played, game);
    case UNTIL: return loop_reader_until(reader, "ab", 2, on_played, game);
    case EXACT: return loop_reader_exact(reader, game->len, on_played, game);
    case TAKE: return loop_reader_take(reader, game->len, on_played, game);
    case SKIP: return loop_reader_skip(reader, game->len, on_played, game);
    case ALL: return loop_reader_all(reader, on_played, game);
    case FILL: return loop_reader_fill(reader, game->len, on_played, game);
    default: return loop_read(loop_reader_source(reader), game->rest, game->len, on_played, game);
    }
}

static void begin_game(struct game *game, struct loop_scope *scope, unsigned seed)
{
    static const char letters[] = "ab\n\rcd";

    dice_state = seed * 7919 + 17;
    *game = (struct game){.max_bytes = 1 + dice(seed % 3 == 0 ? 6000 : 60)};
    for (size_t i = 0; i < PLAYED; i++) {
        game->data[i] = letters[dice(6)];
    }
    make_drip(&game->drip, scope, game->data, PLAYED, 1 + dice(seed % 2 ? 10 : 9000));
    game->reader = reader_of(&game->drip.source, game->max_bytes);
}

LOOP_TEST(what_a_reader_gives_out_is_what_the_source_had)
{
    static struct game game;
    static unsigned seed;
    static loop_job job;

    BEGIN;
    for (seed = 0; seed < 60; seed++) {
        begin_game(&game, env->scope, seed);
        while (!game.is_over) {
            job = START(play(&game));
            if (dice(4) == 0) {
                AWAIT(turns(env->scope, 1, GO));
            }
            if (dice(4) == 0 && loop_cancel(env->loop, job) == 0) {
                game.was_cancelled = true;
            }
            WAIT_UNTIL(!game.is_running);
        }
        CHECK_IS(game.at, PLAYED);
        CHECK_IS(game.drip.reads_after_end, 0);
    }
    END;
}
