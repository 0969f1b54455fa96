/* SPDX-License-Identifier: ISC
 *
 * The parts of the mixed program that use the ring's operations, one function per operation.
 */
#include "mixed.h"

#include <loop/part.h>

#include <stdio.h>
#include <sys/stat.h>

/* ---- a file ---- */

enum { BLOCK = 1000 };

static struct {
    struct part *part;
    struct loop_fd *fd;
    struct loop_chunk *chunk;
    struct statx stat;
    struct iovec vectors[2];
    char path[128], out[2 * BLOCK], in[2 * BLOCK];
    unsigned at;
} file;

static loop_job step_write(loop_fn *fn, void *arg)
{
    return loop_op_write(NULL, file.fd, file.out, BLOCK, 0, fn, arg);
}

static loop_job step_writev(loop_fn *fn, void *arg)
{
    file.vectors[0] = (struct iovec){file.out + BLOCK, 1};
    file.vectors[1] = (struct iovec){file.out + BLOCK + 1, BLOCK - 1};
    return loop_op_writev(NULL, file.fd, file.vectors, 2, BLOCK, fn, arg);
}

static loop_job step_fsync(loop_fn *fn, void *arg)
{
    return loop_op_fsync(NULL, file.fd, LOOP_OP_DATA_ONLY, fn, arg);
}

static loop_job step_statx(loop_fn *fn, void *arg)
{
    return loop_op_statx(file.part->scope, file.fd, "", AT_EMPTY_PATH, STATX_SIZE, &file.stat, fn, arg);
}

static loop_job step_read(loop_fn *fn, void *arg)
{
    return loop_op_read(NULL, file.fd, file.in, BLOCK, 0, fn, arg);
}

static loop_job step_readv(loop_fn *fn, void *arg)
{
    file.vectors[0] = (struct iovec){file.in, BLOCK};
    file.vectors[1] = (struct iovec){file.in + BLOCK, BLOCK};
    return loop_op_readv(NULL, file.fd, file.vectors, 2, 0, fn, arg);
}

static loop_job step_write_chunk(loop_fn *fn, void *arg)
{
    memset(loop_chunk_data(file.chunk), 'c', 10);
    return loop_op_write_chunk(NULL, file.fd, file.chunk, 10, 2 * (int64_t)BLOCK, fn, arg);
}

static loop_job step_read_chunk(loop_fn *fn, void *arg)
{
    return loop_op_read_chunk(NULL, file.fd, file.chunk, 10, 2 * (int64_t)BLOCK, fn, arg);
}

static loop_job step_close(loop_fn *fn, void *arg)
{
    return loop_op_close(NULL, file.fd, fn, arg);
}

static const struct {
    loop_job (*step)(loop_fn *fn, void *arg);
    int64_t result;
} steps[] = {
    {step_write, BLOCK},     {step_writev, BLOCK},   {step_fsync, 0},       {step_statx, 0}, {step_read, BLOCK},
    {step_readv, 2 * BLOCK}, {step_write_chunk, 10}, {step_read_chunk, 10}, {step_close, 0},
};

/* A failed step is skipped. A successful step is complete, because it is on a file. */
static void on_step(void *arg, int64_t result)
{
    struct part *part = arg;

    MIXED_MUST(result < 0 || result == steps[file.at].result || is_hard("short") || mixed_errors() > 0);
    if (steps[file.at].step == step_readv && result == 2 * BLOCK && mixed_errors() == 0 && !is_hard("short")) {
        MIXED_MUST(memcmp(file.in, file.out, 2 * BLOCK) == 0);
    }
    if (++file.at < COUNT_OF(steps)) {
        mixed_started(steps[file.at].step(MIXED(part, on_step, part)));
    }
}

static void on_file_opened(void *arg, int64_t result)
{
    struct part *part = arg;

    if (mixed_failed(part, result)) {
        return;
    }
    file.fd = loop_fd_adopt(part->scope, (int)result);
    file.chunk = loop_chunk_alloc(part->env->loop);
    if (!file.fd) {
        mixed_failed(part, -ENOMEM);
    } else if (file.chunk) {
        mixed_started(steps[0].step(MIXED(part, on_step, part)));
    }
}

static void begin_file(struct part *part)
{
    const struct loop_open_how how = {.flags = O_RDWR | O_CREAT, .mode = 0600};

    file.part = part;
    fill_pattern(file.out, sizeof file.out, 4);
    snprintf(file.path, sizeof file.path, "%s/low", mixed_path());
    mixed_started(loop_op_openat2(part->scope, file.path, &how, MIXED(part, on_file_opened, part)));
}

static void file_ended(void)
{
    loop_chunk_free(file.part->env->loop, file.chunk);
}

/* ---- sockets: connected, accepted, received ---- */

enum { SENT = 5000 };

static struct {
    struct part *part;
    struct loop_buffers *buffers;
    struct loop_fd *client, *listener, *peer;
    struct sockaddr_in address;
    loop_job accepting;
    char out[SENT], in[64];
    size_t got;
} net;

static void on_bytes(void *track, int64_t result, void *data)
{
    if (data) {
        MIXED_MUST(is_pattern_at(data, (size_t)result, 5, net.got));
        net.got += (size_t)result;
        MIXED_MUST(loop_buffers_recycle(net.buffers, data) == 0);
    } else {
        mixed_resumed(track, result);
    }
}

static void on_bytes_end(void *part, int64_t result)
{
    MIXED_MUST(result != 0 || net.got == SENT || mixed_errors() > 0);
    if (result != -ENOBUFS) {
        mixed_failed(part, result);
    }
    loop_cancel(net.part->env->loop, net.accepting);
}

/* The part cancels the accept when all bytes have arrived. An earlier end is an error. */
static void on_accept_end(void *part, int64_t result)
{
    if (net.got < SENT) {
        mixed_failed(part, result);
    }
}

static void on_accepted(void *track, int64_t result)
{
    if (result < 0) {
        mixed_resumed(track, result);
        return;
    }
    struct part *part = mixed_arg(track);
    net.peer = loop_fd_adopt_stream(part->scope, (int)result);
    if (!net.peer) {
        mixed_failed(part, -ENOMEM);
        return;
    }
    mixed_started(loop_op_recv_multishot(part->scope, net.peer, net.buffers, on_bytes,
                                         mixed_track(__func__, __LINE__, part, on_bytes_end, part)));
}

static void on_sent(void *arg, int64_t result)
{
    struct part *part = arg;

    if (!mixed_failed(part, result)) {
        loop_fd_close(net.client);
    }
}

static void on_low_connected(void *arg, int64_t result)
{
    struct part *part = arg;

    if (!mixed_failed(part, result)) {
        mixed_started(loop_write(&loop_fd_flow(net.client)->sink, net.out, SENT, MIXED(part, on_sent, part)));
    }
}

static void begin_net(struct part *part)
{
    int listener = make_listener(&net.address);

    net.part = part;
    fill_pattern(net.out, SENT, 5);
    net.listener = loop_fd_adopt(part->scope, listener);
    net.client = loop_fd_adopt(part->scope, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    net.buffers = loop_buffers_create(part->scope, 8, 1024);
    if (!net.listener || !net.client || !net.buffers) {
        mixed_failed(part, -ENOMEM);
        return;
    }
    net.accepting = mixed_started(loop_op_accept_multishot(part->scope, net.listener, on_accepted,
                                                           mixed_track(__func__, __LINE__, part, on_accept_end, part)));
    mixed_started(loop_op_connect(part->scope, net.client, (const struct sockaddr *)&net.address, sizeof net.address,
                                  MIXED(part, on_low_connected, part)));
}

/* ---- messages with descriptors ---- */

static struct {
    struct loop_fd *ends[2];
    struct loop_message sent, received;
    struct iovec out, in;
    char bytes[16];
    int passed, fds[2];
} message;

static void on_message_sent(void *part, int64_t result)
{
    close(message.passed);
    mixed_failed(part, result);
}

static void on_message(void *part, int64_t result)
{
    if (mixed_failed(part, result)) {
        return;
    }
    for (size_t i = 0; i < message.received.n_numbers; i++) {
        close(message.fds[i]);
    }
}

static void begin_messages(struct part *part)
{
    int fds[2];

    make_pair(fds);
    message.ends[0] = loop_fd_adopt(part->scope, fds[0]);
    message.ends[1] = loop_fd_adopt(part->scope, fds[1]);
    if (!message.ends[0] || !message.ends[1]) {
        mixed_failed(part, -ENOMEM);
        return;
    }
    message.passed = dup(STDIN_FILENO);
    message.out = (struct iovec){(char *)(uintptr_t) "a message", 9};
    message.in = (struct iovec){message.bytes, sizeof message.bytes};
    message.sent = (struct loop_message){.iov = &message.out, .n_iov = 1, .numbers = &message.passed, .n_numbers = 1};
    message.received = (struct loop_message){.iov = &message.in, .n_iov = 1, .numbers = message.fds, .n_numbers = 2};
    if (!mixed_started(loop_op_recv_msg(NULL, message.ends[0], &message.received, MIXED(part, on_message, part)))) {
        close(message.passed);
        return;
    }
    if (!mixed_started(loop_op_send_msg(NULL, message.ends[1], &message.sent, MIXED(part, on_message_sent, part)))) {
        close(message.passed);
    }
}

/* ---- readiness, splice, taking a descriptor ---- */

static struct {
    struct part *part;
    struct loop_fd *ends[2], *pipe[2];
    loop_job polling, number_polling;
    char bytes[100], in[100];
} moving;

static void on_ready(void *track, int64_t result)
{
    if (result < 0) {
        mixed_resumed(track, result);
    } else {
        loop_cancel(moving.part->env->loop, moving.polling);
    }
}

static void on_taken(void *part, int64_t result)
{
    if (!mixed_failed(part, result)) {
        MIXED_MUST(is_open((int)result));
        close((int)result);
    }
}

static void on_received(void *arg, int64_t result)
{
    struct part *part = arg;

    MIXED_MUST(result <= 0 || is_pattern(moving.in, (size_t)result, 6));
    if (!mixed_failed(part, result)) {
        mixed_started(loop_fd_take(moving.pipe[1], MIXED(part, on_taken, part)));
    }
}

static void on_spliced(void *arg, int64_t result)
{
    struct part *part = arg;

    if (!mixed_failed(part, result)) {
        mixed_started(loop_op_read(NULL, moving.pipe[0], moving.in, sizeof moving.in, LOOP_CURRENT,
                                   MIXED(part, on_received, part)));
    }
}

static void on_polled(void *arg, int64_t result)
{
    struct part *part = arg;

    if (!mixed_failed(part, result)) {
        mixed_started(loop_op_splice(part->scope, moving.ends[1], LOOP_CURRENT, moving.pipe[1], LOOP_CURRENT, 100,
                                     MIXED(part, on_spliced, part)));
    }
}

static void on_timeout(void *unused, int64_t result)
{
    (void)unused;
    MIXED_MUST(result == -ETIME || result == -ECANCELED);
}

static void on_number_event(void *track, int64_t result)
{
    if (result < 0) {
        mixed_resumed(track, result);
    } else {
        MIXED_MUST(loop_cancel(moving.part->env->loop, moving.number_polling) == 0);
    }
}

static void on_number_end(void *part, int64_t result)
{
    if (result != -ECANCELED) {
        mixed_failed(part, result);
    }
}

static void begin_moving(struct part *part)
{
    int pair[2], fds[2];

    make_pair(pair);
    make_pipe(fds);
    moving.part = part;
    fill_pattern(moving.bytes, sizeof moving.bytes, 6);
    for (int i = 0; i < 2; i++) {
        moving.ends[i] = loop_fd_adopt(part->scope, pair[i]);
        moving.pipe[i] = loop_fd_adopt(part->scope, fds[i]);
    }
    if (!moving.ends[0] || !moving.ends[1] || !moving.pipe[0] || !moving.pipe[1]) {
        mixed_failed(part, -ENOMEM);
        return;
    }
    void *track = mixed_track(__func__, __LINE__, part, mixed_cancelled, NULL);
    moving.polling = mixed_started(loop_op_poll_multishot(part->scope, moving.ends[0], on_ready, track));
    track = mixed_track(__func__, __LINE__, part, on_number_end, part);
    moving.number_polling = mixed_started(
        loop_poll_number(part->scope, loop_fd_peek(moving.ends[1]), POLLIN | POLLOUT, on_number_event, track));
    mixed_started(loop_poll(moving.ends[1], POLLIN, MIXED(part, on_polled, part)));
    mixed_started(loop_op_send(NULL, moving.ends[0], moving.bytes, 100, 0, MIXED(part, mixed_done, part)));
    mixed_started(
        loop_op_timeout(part->scope, loop_now(part->env->loop) + LOOP_MILLISECOND, MIXED(part, on_timeout, NULL)));
}

struct part mixed_low_parts[] = {
    {.name = "low-file", .begin = begin_file, .ended = file_ended},
    {.name = "low-net", .begin = begin_net},
    {.name = "low-messages", .begin = begin_messages},
    {.name = "low-moving", .begin = begin_moving},
    {.name = NULL},
};
