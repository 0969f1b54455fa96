/* SPDX-License-Identifier: ISC
 *
 * Pseudo-random operations on a writer: it writes exactly the appended bytes.
 */
#include "dice.h"
#include "writing.h"

#include <loop/writer.h>

/* ---- by the dice ---- */

enum { PLAYED = 60000 };

/* Appends something; returns how many bytes were taken. */
static size_t append_some(struct loop_writer *writer, const char *data, size_t left)
{
    size_t len = 1 + dice(dice(5) == 0 ? 5000 : 30);
    int error;

    len = len < left ? len : left;
    switch (dice(4)) {
    case 0: error = loop_writer_append_borrowed(writer, data, len); break;
    case 1: error = loop_writer_print(writer, "%.*s", (int)len, data); break;
    case 2:
        len = 1;
        error = loop_writer_u8(writer, (uint8_t)*data);
        break;
    default: error = loop_writer_append(writer, data, len); break;
    }
    CHECK(error == 0 || error == -ENOBUFS);
    CHECK(error == 0 || loop_writer_is_full(writer));
    return error == 0 ? len : 0;
}

LOOP_TEST(what_a_writer_writes_is_what_was_appended)
{
    static char data[PLAYED];
    static struct basin basin;
    static struct loop_writer *writer;
    static size_t sent;
    static unsigned seed, n;

    BEGIN;
    for (seed = 0; seed < 30; seed++) {
        dice_state = seed * 7919 + 5;
        for (size_t i = 0; i < PLAYED; i++) {
            data[i] = (char)('a' + dice(26));
        }
        writer = fill_basin(&basin, env->scope, 1 + dice(seed % 2 ? 20000 : 200));
        basin.step = seed % 3 ? 1 + dice(1000) : 0;
        for (sent = 0; sent < PLAYED;) {
            for (n = dice(6); n > 0 && sent < PLAYED; n--) {
                sent += append_some(writer, data + sent, PLAYED - sent);
            }
            if (dice(5) == 0) {
                loop_writer_cork(writer);
            }
            if (loop_writer_is_full(writer)) {
                AWAIT(loop_writer_wait_drained(writer, GO));
                CHECK_IS(result, 0);
            } else if (dice(5) == 0) {
                AWAIT(loop_writer_flush(writer, GO));
                CHECK_IS(result, 0);
                CHECK_IS(basin.length, sent);
            } else if (dice(2)) {
                AWAIT(turns(env->scope, 1, GO));
            }
            if (dice(3) == 0) {
                loop_writer_uncork(writer);
            }
        }
        AWAIT(loop_writer_shutdown(writer, GO));
        CHECK_IS(result, 0);
        CHECK_IS(basin.length, PLAYED);
        CHECK(memcmp(basin.data, data, PLAYED) == 0);
    }
    END;
}
