/* SPDX-License-Identifier: ISC
 *
 * Sources and sinks in memory, and the null source and sink.
 */
#include "harness.h"

/* ---- without a descriptor ---- */

LOOP_TEST(memory_source_gives_its_bytes_then_ends)
{
    static struct loop_source *source;
    static char got[10];

    BEGIN;
    source = loop_memory_source(env->scope, "memory", 6);
    AWAIT(loop_read_exact(source, got, 2, GO));
    CHECK_IS(result, 2);
    AWAIT(loop_read_exact(source, got + 2, 8, GO));
    CHECK_IS(result, 4);
    CHECK(memcmp(got, "memory", 6) == 0);
    AWAIT(loop_read(source, got, 1, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_read(source, got, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_read(loop_memory_source(env->scope, NULL, 0), got, 1, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(memory_sink_keeps_what_is_written)
{
    static struct loop_sink *sink;
    static char a[] = "ab", b[] = "cd";
    static struct iovec vectors[] = {{a, 2}, {NULL, 0}, {b, 2}};
    static size_t length;

    BEGIN;
    sink = loop_memory_sink(env->scope, 0);
    loop_memory_data(sink, &length);
    CHECK_IS(length, 0);
    AWAIT(loop_write(sink, "12", 2, GO));
    CHECK_IS(result, 2);
    AWAIT(loop_writev(sink, vectors, 3, GO));
    CHECK_IS(result, 4);
    CHECK(memcmp(loop_memory_data(sink, &length), "12abcd", 6) == 0);
    CHECK_IS(length, 6);
    AWAIT(loop_shutdown(sink, GO));
    CHECK_IS(result, 0);
    CHECK(memcmp(loop_memory_data(sink, &length), "12abcd", 6) == 0);
    END;
}

LOOP_TEST(memory_sink_has_a_limit)
{
    static struct loop_sink *sink;
    static size_t length;

    BEGIN;
    sink = loop_memory_sink(env->scope, 10);
    AWAIT(loop_write(sink, "12345678", 8, GO));
    CHECK_IS(result, 8);
    AWAIT(loop_write(sink, "90abc", 5, GO));
    CHECK(result == -ENOSPC || result == 2);
    AWAIT(loop_write(sink, "xyz", 3, GO));
    CHECK_IS(result, -ENOSPC);
    loop_memory_data(sink, &length);
    CHECK(length == 8 || length == 10);
    END;
}

LOOP_TEST(memory_sink_grows_to_megabytes)
{
    enum { PIECE = 100000, N = 50 };
    static struct loop_sink *sink;
    static char piece[PIECE];
    static size_t length;
    static int i;

    BEGIN;
    sink = loop_memory_sink(env->scope, 0);
    fill_pattern(piece, PIECE, 1);
    for (i = 0; i < N; i++) {
        AWAIT(loop_write(sink, piece, PIECE, GO));
        CHECK_IS(result, PIECE);
    }
    CHECK(loop_memory_data(sink, &length) != NULL);
    CHECK_IS(length, N * PIECE);
    for (i = 0; i < N; i++) {
        CHECK(is_pattern((const char *)loop_memory_data(sink, &length) + i * PIECE, PIECE, 1));
    }
    END;
}

LOOP_TEST(null_source_and_sink)
{
    static struct loop_source *source;
    static struct loop_sink *sink;
    static char bytes[1000];

    BEGIN;
    source = loop_null_source(env->scope);
    sink = loop_null_sink(env->scope);
    AWAIT(loop_read(source, bytes, sizeof bytes, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_read(source, bytes, 0, GO));
    CHECK_IS(result, -EINVAL);
    AWAIT(loop_write(sink, bytes, sizeof bytes, GO));
    CHECK_IS(result, sizeof bytes);
    AWAIT(loop_shutdown(sink, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_copy(source, sink, GO));
    CHECK_IS(result, 0);
    END;
}
