/* SPDX-License-Identifier: ISC
 *
 * TLS as a flow: reads, writes, copies and streams, the end of each direction, and what a handshake has agreed on.
 */
#include "tls.h"

enum { LARGE = 3 << 20 };

static char sent[LARGE], received[LARGE];
static struct tls_pair pair;

LOOP_TEST(tls_echoes)
{
    static char buf[64];
    static struct once copied;

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    loop_copy(&pair.flows[TLS_SERVER]->source, &pair.flows[TLS_SERVER]->sink, ONCE(&copied));
    AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, "hello", 5, GO));
    CHECK_IS(result, 5);
    AWAIT(loop_read_exact(&pair.flows[TLS_CLIENT]->source, buf, 5, GO));
    CHECK_IS(result, 5);
    CHECK(memcmp(buf, "hello", 5) == 0);
    AWAIT(loop_shutdown(&pair.flows[TLS_CLIENT]->sink, GO));
    CHECK_IS(result, 0);
    WAIT_UNTIL(copied.count);
    ONCE_IS(copied, 5);
    AWAIT(loop_shutdown(&pair.flows[TLS_SERVER]->sink, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_read(&pair.flows[TLS_CLIENT]->source, buf, sizeof buf, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_read(&pair.flows[TLS_CLIENT]->source, buf, sizeof buf, GO));
    CHECK_IS(result, 0);
    CHECK_TEXT(loop_tls_why(pair.flows[TLS_CLIENT]), "");
    END;
}

/* Both directions at once, in writes of many sizes, read by exact reads. */
LOOP_TEST(tls_carries_much_both_ways)
{
    static const size_t sizes[] = {1, 2, 17, 1000, 16383, 16384, 16385, 100000, 700000};
    static struct once read[2];
    static struct tally written;
    static char other[LARGE];
    static size_t n_writes;

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    fill_pattern(sent, LARGE, 7);
    for (int side = 0; side < 2; side++) {
        loop_sink_limit(&pair.flows[side]->sink, SIZE_MAX);
        for (size_t at = 0, i = 0; at < LARGE; i++) {
            size_t n = sizes[i % COUNT_OF(sizes)];
            n = n < LARGE - at ? n : LARGE - at;
            START(loop_write(&pair.flows[side]->sink, sent + at, n, TALLY(&written)));
            at += n;
            n_writes++;
        }
    }
    START(loop_read_exact(&pair.flows[0]->source, received, LARGE, ONCE(&read[0])));
    START(loop_read_exact(&pair.flows[1]->source, other, LARGE, ONCE(&read[1])));
    WAIT_UNTIL(read[0].count && read[1].count && written.count == n_writes);
    ONCE_IS(read[0], LARGE);
    ONCE_IS(read[1], LARGE);
    CHECK(is_pattern(received, LARGE, 7) && is_pattern(other, LARGE, 7));
    CHECK_IS(written.ended_well, n_writes);
    END;
}

LOOP_TEST(tls_delivers_a_stream)
{
    static struct record record = {.data = received, .room = LARGE};
    static struct once written, shut;

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    fill_pattern(sent, LARGE, 3);
    START(loop_stream(&pair.flows[TLS_SERVER]->source, RECORD(&record)));
    START(loop_write(&pair.flows[TLS_CLIENT]->sink, sent, LARGE, ONCE(&written)));
    START(loop_shutdown(&pair.flows[TLS_CLIENT]->sink, ONCE(&shut)));
    WAIT_UNTIL(record.ends);
    CHECK_IS(record.end, 0);
    CHECK_IS(record.length, LARGE);
    CHECK(is_pattern(received, LARGE, 3));
    ONCE_IS(written, LARGE);
    ONCE_IS(shut, 0);
    END;
}

/* Many small vectors share records. */
LOOP_TEST(tls_gathers_vectors)
{
    static struct iovec vectors[3000];
    static struct once read;

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    fill_pattern(sent, LARGE, 5);
    for (size_t i = 0, at = 0; i < COUNT_OF(vectors); i++) {
        vectors[i] = (struct iovec){sent + at, i % 7 == 0 ? 0 : i % 100};
        at += vectors[i].iov_len;
        result = (int64_t)at;
    }
    read.order = (unsigned)result; /* the length */
    START(loop_read_exact(&pair.flows[TLS_SERVER]->source, received, read.order, ONCE(&read)));
    AWAIT(loop_writev(&pair.flows[TLS_CLIENT]->sink, vectors, COUNT_OF(vectors), GO));
    CHECK(result > 100000);
    WAIT_UNTIL(read.count);
    CHECK(read.result > 100000 && is_pattern(received, (size_t)read.result, 5));
    END;
}

/* Each side ends its output and goes on reading. */
LOOP_TEST(tls_ends_each_direction_alone)
{
    static char buf[16];

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    AWAIT(loop_shutdown(&pair.flows[TLS_SERVER]->sink, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_read(&pair.flows[TLS_CLIENT]->source, buf, sizeof buf, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_write(&pair.flows[TLS_SERVER]->sink, "late", 4, GO));
    CHECK_IS(result, -EPIPE);
    for (script.row = 0; script.row < 3; script.row++) {
        AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, "more", 4, GO));
        CHECK_IS(result, 4);
        AWAIT(loop_read_exact(&pair.flows[TLS_SERVER]->source, buf, 4, GO));
        CHECK_IS(result, 4);
    }
    AWAIT(loop_shutdown(&pair.flows[TLS_CLIENT]->sink, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_shutdown(&pair.flows[TLS_CLIENT]->sink, GO));
    CHECK_IS(result, 0);
    AWAIT(loop_read(&pair.flows[TLS_SERVER]->source, buf, sizeof buf, GO));
    CHECK_IS(result, 0);
    END;
}

LOOP_TEST(tls_tells_what_was_agreed_on)
{
    static struct loop_tls_info info;
    static unsigned char der[4096];
    static char text[64];

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    CHECK_IS(loop_tls_get_info(pair.flows[TLS_CLIENT], &info), 0);
    CHECK_TEXT(info.version, "TLSv1.3");
    CHECK_TEXT(info.protocol, "");
    CHECK_TEXT(info.server_name, TLS_HOST);
    CHECK(info.is_verified && !info.is_resumed && strlen(info.cipher) > 0);
    CHECK_IS(loop_tls_get_info(pair.flows[TLS_SERVER], &info), 0);
    CHECK_TEXT(info.server_name, TLS_HOST);
    CHECK(!info.is_verified);
    CHECK_IS(loop_tls_peer_subject(pair.flows[TLS_CLIENT], text, sizeof text), strlen("CN=" TLS_HOST));
    CHECK_TEXT(text, "CN=" TLS_HOST);
    CHECK_IS(loop_tls_peer_subject(pair.flows[TLS_CLIENT], text, 5), -ENOSPC);
    CHECK_IS(loop_tls_peer_subject(pair.flows[TLS_SERVER], text, sizeof text), -ENOENT);
    CHECK(loop_tls_peer_certificate(pair.flows[TLS_CLIENT], der, sizeof der) > 100);
    CHECK_IS(der[0], 0x30);
    CHECK_IS(loop_tls_peer_certificate(pair.flows[TLS_CLIENT], der, 100), -ENOSPC);
    CHECK(loop_tls_under(pair.flows[TLS_CLIENT]) == pair.below[TLS_CLIENT]);
    CHECK(loop_tls_ssl(pair.flows[TLS_CLIENT]) && loop_tls_ssl_context(tls.contexts[TLS_CLIENT]));
    CHECK_IS(loop_tls_get_info(pair.below[TLS_CLIENT], &info), -EINVAL);
    CHECK(!loop_tls_under(pair.below[TLS_CLIENT]));
    CHECK_IS(loop_flow_close(pair.flows[TLS_CLIENT]), 0);
    CHECK_IS(loop_tls_get_info(pair.flows[TLS_CLIENT], &info), -EBADF);
    CHECK_IS(loop_tls_peer_subject(pair.flows[TLS_CLIENT], text, sizeof text), -EBADF);
    CHECK(!loop_tls_ssl(pair.flows[TLS_CLIENT]));
    END;
}

LOOP_TEST(tls_takes_bytes_back)
{
    static char buf[16];

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, "abcdef", 6, GO));
    AWAIT(loop_read_exact(&pair.flows[TLS_SERVER]->source, buf, 6, GO));
    CHECK_IS(loop_source_unread(&pair.flows[TLS_SERVER]->source, "ef", 2), 0);
    CHECK_IS(loop_source_unread(&pair.flows[TLS_SERVER]->source, "cd", 2), 0);
    CHECK_IS(loop_try_read(&pair.flows[TLS_SERVER]->source, buf, 3), 3);
    CHECK(memcmp(buf, "cde", 3) == 0);
    AWAIT(loop_wait_readable(&pair.flows[TLS_SERVER]->source, GO));
    CHECK_IS(result, 0);
    CHECK_IS(loop_try_read(&pair.flows[TLS_SERVER]->source, buf, 3), 1);
    CHECK_IS(loop_try_read(&pair.flows[TLS_SERVER]->source, buf, 3), -EAGAIN);
    END;
}

/* Reads and looks that wait are resumed in their order, and the wait below ends with the last of them. */
LOOP_TEST(bytes_given_back_to_tls_resume_the_reads_that_wait)
{
    static char buf[16], first[8], third[8];
    static struct once read[2], looked, cancelled;
    static loop_job job;

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, "abcdef", 6, GO));
    AWAIT(loop_read_exact(&pair.flows[TLS_SERVER]->source, buf, 6, GO));
    job = loop_read(&pair.flows[TLS_SERVER]->source, buf, 1, ONCE(&cancelled));
    START(loop_read(&pair.flows[TLS_SERVER]->source, first, 2, ONCE(&read[0])));
    START(loop_wait_readable(&pair.flows[TLS_SERVER]->source, ONCE(&looked)));
    START(loop_read(&pair.flows[TLS_SERVER]->source, third, sizeof third, ONCE(&read[1])));
    AWAIT(turns(env->scope, 3, GO));
    loop_cancel(env->loop, job);
    WAIT_UNTIL(cancelled.count);
    ONCE_IS(cancelled, -ECANCELED);
    CHECK_IS(loop_source_unread(&pair.flows[TLS_SERVER]->source, "cdef", 4), 0);
    CHECK_IS(read[0].count + looked.count + read[1].count, 0); /* never from inside the call */
    WAIT_UNTIL(read[0].count && looked.count && read[1].count);
    ONCE_IS(read[0], 2);
    ONCE_IS(looked, 0);
    ONCE_IS(read[1], 2);
    CHECK(memcmp(first, "cd", 2) == 0 && memcmp(third, "ef", 2) == 0);
    AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, "ghi", 3, GO));
    AWAIT(loop_read_exact(&pair.flows[TLS_SERVER]->source, buf, 3, GO));
    CHECK(memcmp(buf, "ghi", 3) == 0);
    END;
}

#define AWAIT_LOOK(wanted)                                                                                             \
    while (loop_source_is_readable(&pair.flows[TLS_SERVER]->source) != (wanted)) {                                     \
        AWAIT(turns(env->scope, 1, GO));                                                                               \
    }

LOOP_TEST(look_at_tls_sees_what_has_been_decrypted_and_what_has_not)
{
    static char buf[8];

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    CHECK(!loop_source_is_readable(&pair.flows[TLS_SERVER]->source));
    AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, "abcdef", 6, GO));
    AWAIT_LOOK(true);
    AWAIT(loop_read_exact(&pair.flows[TLS_SERVER]->source, buf, 4, GO));
    CHECK(loop_source_is_readable(&pair.flows[TLS_SERVER]->source));
    AWAIT(loop_read_exact(&pair.flows[TLS_SERVER]->source, buf, 2, GO));
    AWAIT_LOOK(false);
    CHECK_IS(loop_source_unread(&pair.flows[TLS_SERVER]->source, "f", 1), 0);
    CHECK(loop_source_is_readable(&pair.flows[TLS_SERVER]->source));
    AWAIT(loop_read(&pair.flows[TLS_SERVER]->source, buf, 1, GO));
    AWAIT_LOOK(false);
    AWAIT(loop_shutdown(&pair.flows[TLS_CLIENT]->sink, GO));
    AWAIT_LOOK(true);
    AWAIT(loop_read(&pair.flows[TLS_SERVER]->source, buf, 1, GO));
    CHECK_IS(result, 0);
    CHECK_IS(loop_flow_close(pair.flows[TLS_SERVER]), 0);
    CHECK(loop_source_is_readable(&pair.flows[TLS_SERVER]->source));
    END;
}

/* TLS inside TLS: a flow is a flow. */
LOOP_TEST(tls_runs_over_tls)
{
    static struct tls_pair outer;
    static struct once read;

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &outer);
    pair.below[TLS_CLIENT] = outer.flows[TLS_CLIENT];
    pair.below[TLS_SERVER] = outer.flows[TLS_SERVER];
    tls_shake(&pair, TLS_HOST);
    TLS_AWAIT(&pair);
    TLS_ARE_UP(&pair);
    fill_pattern(sent, LARGE, 1);
    START(loop_read_exact(&pair.flows[TLS_SERVER]->source, received, LARGE, ONCE(&read)));
    AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, sent, LARGE, GO));
    CHECK_IS(result, LARGE);
    WAIT_UNTIL(read.count);
    ONCE_IS(read, LARGE);
    CHECK(is_pattern(received, LARGE, 1));
    AWAIT(loop_shutdown(&pair.flows[TLS_CLIENT]->sink, GO));
    AWAIT(loop_read(&pair.flows[TLS_SERVER]->source, received, 1, GO));
    CHECK_IS(result, 0);
    CHECK_IS(loop_flow_close(pair.flows[TLS_SERVER]), 0);
    CHECK_IS(loop_flow_close(pair.flows[TLS_SERVER]), -EBADF);
    CHECK(!is_open(loop_fd_peek(outer.below[TLS_SERVER]->fd)));
    END;
}

/* A connection that waits for bytes holds no buffer. */
LOOP_TEST(tls_idle_holds_no_buffer)
{
#if !HAS_SANITIZER
    static size_t before;
    static struct once waiting;
    static loop_job job;
    static char buf[4];

    BEGIN;
    TLS_SET_UP(env->scope);
    TLS_CONNECTED(env->scope, &pair);
    AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, "a", 1, GO));
    AWAIT(loop_read(&pair.flows[TLS_SERVER]->source, buf, 4, GO));
    job = START(loop_read(&pair.flows[TLS_SERVER]->source, buf, 4, ONCE(&waiting))); /* makes room for jobs */
    AWAIT(turns(env->scope, 3, GO));
    loop_cancel(env->loop, job);
    WAIT_UNTIL(waiting.count);
    memset(&waiting, 0, sizeof waiting);
    before = live_bytes();
    START(loop_read(&pair.flows[TLS_SERVER]->source, buf, 4, ONCE(&waiting)));
    AWAIT(turns(env->scope, 3, GO));
    CHECK(live_bytes() < before + 4096);
    AWAIT(loop_write(&pair.flows[TLS_CLIENT]->sink, "b", 1, GO));
    WAIT_UNTIL(waiting.count);
    ONCE_IS(waiting, 1);
    END;
#else
    (void)env;
    (void)result;
    script.is_done = true;
#endif
}
