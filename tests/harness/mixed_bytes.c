/* SPDX-License-Identifier: ISC
 *
 * The parts of the mixed program that transfer bytes through sources and sinks: a server and its clients, copies,
 * streams, memory, datagrams.
 */
#include "mixed.h"

#include <loop/kernel/fail.h>
#include <loop/reader.h>
#include <loop/writer.h>

#include <stdio.h>

/* ---- a server of lines, and its clients ---- */

enum { CLIENTS = 3, LINES = 20 };

struct peer {
    struct part *part;
    struct loop_scope *scope;
    struct loop_reader *reader;
    struct loop_writer *writer;
    struct loop_flow *flow;
    unsigned lines;
    bool is_over, is_whole;
};

static struct {
    struct loop_server *server;
    struct peer clients[CLIENTS];
    struct peer peers[CLIENTS + 1];
    unsigned n_peers, clients_left;
} serving;

static void peer_failed(void *arg, int64_t result)
{
    struct peer *peer = arg;

    if (result < 0) {
        loop_scope_fail(peer->scope, result);
    }
}

static bool peer_opened(struct peer *peer)
{
    peer->reader = loop_reader_create(&peer->flow->source, 0);
    peer->writer = loop_writer_create(&peer->flow->sink, 0);
    if (!peer->reader || !peer->writer) {
        loop_scope_fail(peer->scope, -ENOMEM);
        return false;
    }
    return true;
}

static void on_request(void *track, int64_t result)
{
    struct peer *peer = mixed_arg(track);

    if (result <= 0) {
        mixed_resumed(track, result);
        return;
    }
    loop_writer_print(peer->writer, "answer to %s\n", loop_reader_data(peer->reader, NULL));
}

static void requests_ended(void *arg, int64_t result)
{
    struct peer *peer = arg;

    peer_failed(peer, result);
    if (result == 0) {
        mixed_started(loop_writer_shutdown(peer->writer, MIXED(peer->part, peer_failed, peer)));
    }
}

static void on_connection(struct loop_flow *flow, void *part)
{
    MIXED_MUST(serving.n_peers < COUNT_OF(serving.peers));
    struct peer *peer = &serving.peers[serving.n_peers++];

    *peer = (struct peer){.part = part, .scope = flow->scope, .flow = flow};
    if (peer_opened(peer)) {
        void *track = mixed_track(__func__, __LINE__, part, requests_ended, peer);
        mixed_started(loop_reader_lines(peer->reader, on_request, track));
    }
}

static void on_answer(void *track, int64_t result)
{
    struct peer *client = mixed_arg(track);
    char expected[64];

    if (result <= 0) {
        client->is_whole = result == 0;
        mixed_resumed(track, result);
        return;
    }
    snprintf(expected, sizeof expected, "answer to line %u", client->lines++);
    if (strcmp(expected, loop_reader_data(client->reader, NULL)) != 0) {
        mixed_broken("the answer was %s", loop_reader_data(client->reader, NULL));
    }
}

static void on_connected(void *arg, int64_t result)
{
    struct peer *client = arg;

    peer_failed(client, result);
    if (result < 0 || !peer_opened(client)) {
        return;
    }
    for (unsigned i = 0; i < LINES; i++) {
        loop_writer_print(client->writer, "line %u\n", i);
    }
    mixed_started(loop_writer_shutdown(client->writer, MIXED(client->part, peer_failed, client)));
    mixed_started(loop_reader_lines(client->reader, on_answer,
                                    mixed_track(__func__, __LINE__, client->part, peer_failed, client)));
}

static void client_ended(void *arg, int64_t result)
{
    struct peer *client = arg;

    MIXED_MUST(result < 0 || client->lines == LINES || loop_kernel_fail_failed() > 0);
    if (--serving.clients_left == 0 && serving.server) {
        loop_server_stop(serving.server, LOOP_NEVER);
    }
}

static void begin_clients(struct part *part)
{
    struct loop_address address;

    if (mixed_failed(part, loop_listener_address(loop_server_listener(serving.server), &address))) {
        return;
    }
    for (int i = 0; i < CLIENTS; i++) {
        struct peer *client = &serving.clients[i];
        client->part = part;
        client->scope = loop_scope_open(part->scope, client_ended, client);
        if (!client->scope) {
            mixed_failed(part, -ENOMEM);
            return;
        }
        serving.clients_left++;
        mixed_started(loop_connect(client->scope, &address, NULL, &client->flow, MIXED(part, on_connected, client)));
    }
}

static void server_ended(void *part, int64_t result)
{
    serving.server = NULL; /* it is valid until now */
    mixed_failed(part, result);
}

static void begin_server(struct part *part)
{
    const struct loop_serve_options options = {.on_end = server_ended, .on_end_arg = part};
    struct loop_address address;

    loop_address_parse(&address, "tcp:127.0.0.1:0");
    if (!mixed_failed(part, loop_serve(part->scope, &address, &options, &serving.server, on_connection, part))) {
        begin_clients(part);
    }
}

/* ---- a relay: written, copied, read ---- */

enum { RELAYED = 300000 };

static struct {
    struct loop_sink *onward;
    char out[RELAYED], in[RELAYED];
    int64_t written, copied;
    struct loop_copy_outcome outcome;
    size_t got;
} relay;

static void on_relay_written(void *part, int64_t result)
{
    relay.written = result;
    mixed_failed(part, result);
}

static void on_relay_copied(void *arg, int64_t result)
{
    struct part *part = arg;

    relay.copied = result;
    if (!mixed_failed(part, result < 0 ? result : relay.outcome.error)) {
        mixed_started(loop_shutdown(relay.onward, MIXED(part, mixed_done, part)));
    }
}

/* What is not read would hold the copy back for ever. */
static void on_relay_read(void *arg, int64_t result)
{
    struct part *part = arg;

    MIXED_MUST(result <= 0 || is_pattern(relay.in, (size_t)result, 1));
    relay.got = result > 0 ? (size_t)result : 0;
    if (!mixed_failed(part, result) && relay.got < RELAYED) {
        loop_scope_cancel(part->scope);
    }
}

static void relay_ended(void)
{
    MIXED_MUST((size_t)relay.copied >= relay.got || mixed_errors() > 0);
}

static void begin_relay(struct part *part)
{
    struct loop_flow *a[2] = {NULL, NULL}, *b[2] = {NULL, NULL};

    if (mixed_failed(part, loop_socketpair(part->scope, &a[0], &a[1])) ||
        mixed_failed(part, loop_socketpair(part->scope, &b[0], &b[1]))) {
        return;
    }
    relay.onward = &b[0]->sink;
    fill_pattern(relay.out, RELAYED, 1);
    mixed_started(loop_copy_report(&a[1]->source, &b[0]->sink, &relay.outcome, MIXED(part, on_relay_copied, part)));
    mixed_started(loop_write(&a[0]->sink, relay.out, RELAYED, MIXED(part, on_relay_written, part)));
    mixed_started(loop_shutdown(&a[0]->sink, MIXED(part, mixed_done, part)));
    mixed_started(loop_read_exact(&b[1]->source, relay.in, RELAYED, MIXED(part, on_relay_read, part)));
}

/* ---- a stream through a pipe whose chunks are written on ---- */

enum { STREAMED = 60000 };

static struct {
    struct part *part;
    struct loop_sink *onward;
    loop_job stream;
    char out[STREAMED], in[STREAMED];
    unsigned chunks;
} stream;

static void on_stream_resume(void *part, int64_t result)
{
    loop_resume(stream.part->env->loop, stream.stream);
    mixed_failed(part, result);
}

static void on_chunk(void *track, int64_t result, struct loop_chunk *chunk)
{
    struct part *part = mixed_arg(track);

    if (!chunk) {
        mixed_resumed(track, result);
        return;
    }
    mixed_started(loop_write_chunk(stream.onward, chunk, (size_t)result, MIXED(part, mixed_done, part)));
    if (stream.chunks++ == 2) {
        loop_pause(part->env->loop, stream.stream);
        mixed_started(loop_sleep(part->scope, 0, MIXED(part, on_stream_resume, part)));
    }
}

static void on_stream_end(void *arg, int64_t result)
{
    struct part *part = arg;

    if (!mixed_failed(part, result)) {
        mixed_started(loop_shutdown(stream.onward, MIXED(part, mixed_done, part)));
    }
}

static void on_stream_read(void *part, int64_t result)
{
    MIXED_MUST(result <= 0 || is_pattern(stream.in, (size_t)result, 2) || mixed_errors() > 0);
    mixed_failed(part, result);
}

static void begin_stream(struct part *part)
{
    struct loop_source *sources[2];
    struct loop_sink *sinks[2];
    struct iovec iov[2] = {{stream.out, 100}, {stream.out + 100, STREAMED - 100}};
    static struct iovec vectors[2];

    if (mixed_failed(part, loop_pipe(part->scope, &sources[0], &sinks[0])) ||
        mixed_failed(part, loop_pipe(part->scope, &sources[1], &sinks[1]))) {
        return;
    }
    stream.part = part;
    stream.onward = sinks[1];
    fill_pattern(stream.out, STREAMED, 2);
    memcpy(vectors, iov, sizeof iov);
    void *track = mixed_track(__func__, __LINE__, part, on_stream_end, part);
    stream.stream = mixed_started(loop_stream(sources[0], on_chunk, track));
    mixed_started(loop_writev(sinks[0], vectors, 2, MIXED(part, mixed_done, part)));
    mixed_started(loop_shutdown(sinks[0], MIXED(part, mixed_done, part)));
    mixed_started(loop_read_exact(sources[1], stream.in, STREAMED, MIXED(part, on_stream_read, part)));
}

/* ---- memory ---- */

static struct loop_sink *memory;

static void on_memory_copied(void *part, int64_t result)
{
    size_t len = 0;

    if (!mixed_failed(part, result)) {
        const void *data = loop_memory_data(memory, &len);
        MIXED_MUST(result == STREAMED && len == STREAMED && is_pattern(data, len, 2));
    }
}

static void begin_memory(struct part *part)
{
    fill_pattern(stream.out, STREAMED, 2);
    struct loop_source *source = loop_memory_source(part->scope, stream.out, STREAMED);

    memory = loop_memory_sink(part->scope, 0);
    struct loop_source *nothing = loop_null_source(part->scope);
    struct loop_sink *nowhere = loop_null_sink(part->scope);
    if (!source || !memory || !nothing || !nowhere) {
        mixed_failed(part, -ENOMEM);
        return;
    }
    mixed_started(loop_copy(source, memory, MIXED(part, on_memory_copied, part)));
    mixed_started(loop_copy(nothing, nowhere, MIXED(part, mixed_done, part)));
}

/* ---- datagrams: sent, answered, maybe lost ---- */

enum { DATAGRAMS = 40 };

struct talk {
    struct loop_datagram_socket *one, *other;
    unsigned answers;
};

static void on_asked(void *track, int64_t result, const struct loop_datagram *datagram)
{
    struct talk *talk = mixed_arg(track);

    if (!datagram) {
        mixed_resumed(track, result);
    } else if (datagram->data) {
        loop_datagram_put(talk->other, datagram->sender, datagram->data, datagram->len);
    }
}

static void on_answered(void *track, int64_t result, const struct loop_datagram *datagram)
{
    struct talk *talk = mixed_arg(track);

    if (!datagram) {
        mixed_resumed(track, result);
    } else if (datagram->data) {
        MIXED_MUST(datagram->len == 100 && is_pattern(datagram->data, 100, 3));
        talk->answers++;
    }
}

static struct talk talks[2];
static char asked[100];

static void on_talked(void *arg, int64_t result)
{
    mixed_failed(arg, result);
    for (size_t i = 0; i < COUNT_OF(talks); i++) {
        if (talks[i].one) {
            loop_datagram_close(talks[i].one);
            loop_datagram_close(talks[i].other);
        }
    }
}

static void begin_talk(struct part *part, struct talk *talk, const char *text)
{
    struct loop_address address;
    struct loop_datagram_options options = {.bind_to = &address};

    if (mixed_failed(part, loop_address_parse(&address, text)) ||
        mixed_failed(part, loop_datagram_open(part->scope, &options, &talk->other)) ||
        mixed_failed(part, loop_datagram_address(talk->other, &address))) {
        return;
    }
    struct loop_address own = {.length = sizeof(sa_family_t), .u.any.sa_family = address.u.any.sa_family};
    options.bind_to = address.u.any.sa_family == AF_UNIX ? &own : NULL;
    options.connect_to = &address;
    if (mixed_failed(part, loop_datagram_open(part->scope, &options, &talk->one))) {
        talk->one = NULL;
        return;
    }
    mixed_started(
        loop_datagram_stream(talk->other, on_asked, mixed_track(__func__, __LINE__, part, mixed_cancelled, talk)));
    mixed_started(
        loop_datagram_stream(talk->one, on_answered, mixed_track(__func__, __LINE__, part, mixed_cancelled, talk)));
    fill_pattern(asked, sizeof asked, 3);
    for (int i = 0; i < DATAGRAMS; i++) {
        mixed_started(loop_datagram_send(talk->one, NULL, asked, sizeof asked, MIXED(part, mixed_done, part)));
    }
    mixed_started(loop_datagram_wait_drained(talk->one, MIXED(part, mixed_done, part)));
}

static void begin_datagrams(struct part *part)
{
    char path[128];

    snprintf(path, sizeof path, "unix:%s/socket", mixed_path());
    begin_talk(part, &talks[0], "udp:127.0.0.1:0");
    begin_talk(part, &talks[1], path);
    mixed_started(loop_sleep(part->scope, 20 * LOOP_MILLISECOND, MIXED(part, on_talked, part)));
}

struct part mixed_byte_parts[] = {
    {.name = "server", .begin = begin_server},       {.name = "relay", .begin = begin_relay, .ended = relay_ended},
    {.name = "stream", .begin = begin_stream},       {.name = "memory", .begin = begin_memory},
    {.name = "datagrams", .begin = begin_datagrams}, {.name = NULL},
};
