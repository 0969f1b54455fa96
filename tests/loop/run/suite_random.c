/* SPDX-License-Identifier: ISC
 *
 * Pseudo-random use of all flows: lanes of bytes over sockets, TCP, pipes and copies between them, written and read in
 * every way, cancelled, paused, closed and restarted. The bytes read must equal the bytes written, in order, without
 * duplicates or losses, and every job must end once. The sequence is the same in every run.
 */
#include "rounds.h"

enum { LANES = 12, MOST_BYTES = 12000, N_BUFFERS = 4, BUFFER_SIZE = 600 };

enum kind { SOCKET, TCP, PIPE, RELAY, KINDS };
enum way_to_write { WRITE, WRITEV, WRITE_CHUNK, SEND, WAYS_TO_WRITE };
enum way_to_read { READ, READ_EXACT, STREAM, RECV, RECV_MULTISHOT, WAYS_TO_READ };

struct lane {
    struct loop_env *env;
    struct loop_scope *scope; /* NULL when there is none */
    enum kind kind;
    struct loop_sink *sink;
    struct loop_source *source;
    struct loop_fd *out, *in;
    struct loop_buffers *buffers;
    void *held; /* a buffer of the group that is given back later */
    loop_job write, read, poll;
    bool is_writing, is_reading, is_polling, is_shutting, is_shut, at_end;
    bool cancels_write, cancels_read; /* was asked to */
    bool is_broken;                   /* closed or cancelled in the middle: only a part of what was written may come */
    enum way_to_read how;
    bool must_be_whole; /* the write has to be, unless cancelled */
    size_t sent, received, writing;
    char out_bytes[MOST_BYTES], in_bytes[MOST_BYTES];
    struct iovec vectors[5];
};

static struct lane lanes[LANES];
static unsigned lanes_ended, unexpected_end;

static unsigned seed_of(const struct lane *lane)
{
    return (unsigned)(lane - lanes);
}

/* Checks an error that a lane may receive: its own failure, or a cancel. */
static void check_error(const struct lane *lane, int64_t error, bool was_cancelled)
{
    bool is_fair = error == -ECANCELED
                       ? was_cancelled || lane->is_broken
                       : lane->is_broken && (error == -EBADF || error == -EPIPE || error == -ECONNRESET ||
                                             error == -ENOTCONN || error == -ETIMEDOUT);
    if (!is_fair) {
        ck_abort_msg("lane %u of kind %d ended with %lld", seed_of(lane), (int)lane->kind, (long long)error);
    }
}

/* ---- writing ---- */

static void on_written(void *arg, int64_t result)
{
    struct lane *lane = arg;

    CHECK(lane->is_writing);
    lane->is_writing = false;
    if (result >= 0) {
        CHECK((size_t)result <= lane->writing);
        CHECK(!lane->must_be_whole || lane->cancels_write || lane->is_broken || (size_t)result == lane->writing);
        lane->sent += (size_t)result;
    } else {
        check_error(lane, result, lane->cancels_write);
    }
}

static loop_job write_vectors(struct lane *lane, size_t len)
{
    size_t n = 1 + dice(4), at = 0;

    for (size_t i = 0; i < n; i++) {
        size_t piece = i == n - 1 ? len - at : dice((unsigned)(len - at) + 1);
        lane->vectors[i] = (struct iovec){lane->out_bytes + at, piece};
        at += piece;
    }
    return loop_writev(lane->sink, lane->vectors, n, on_written, lane);
}

/* Writes the chunk, or gives up where none is free. */
static loop_job write_chunk(struct lane *lane, size_t len)
{
    struct loop_chunk *chunk = loop_chunk_alloc(lane->env->loop);

    if (!chunk) {
        return 0;
    }
    lane->writing = len < loop_chunk_length(chunk) ? len : loop_chunk_length(chunk);
    memcpy(loop_chunk_data(chunk), lane->out_bytes, lane->writing);
    return loop_write_chunk(lane->sink, chunk, lane->writing, on_written, lane);
}

static void start_write(struct lane *lane)
{
    enum way_to_write how = (enum way_to_write)dice(WAYS_TO_WRITE);
    size_t len = dice(4) ? dice(300) : dice(MOST_BYTES);

    for (size_t i = 0; i < len; i++) {
        lane->out_bytes[i] = (char)((lane->sent + i) * 7 + (lane->sent + i) / 256 + seed_of(lane));
    }
    lane->writing = len;
    lane->cancels_write = false;
    lane->must_be_whole = how != SEND;
    lane->is_writing = true;
    if (how == WRITE_CHUNK) {
        lane->write = write_chunk(lane, len);
        lane->is_writing = lane->write != 0;
    } else if (how == WRITEV) {
        lane->write = START(write_vectors(lane, len));
    } else if (how == SEND && lane->kind != PIPE && len > 0) {
        lane->write = START(loop_op_send(lane->scope, lane->out, lane->out_bytes, len, 0, on_written, lane));
    } else {
        lane->must_be_whole = true;
        lane->write = START(loop_write(lane->sink, lane->out_bytes, len, on_written, lane));
    }
}

static void on_shut(void *arg, int64_t result)
{
    struct lane *lane = arg;

    CHECK(lane->is_shutting && !lane->is_shut);
    lane->is_shutting = false;
    lane->is_shut = true;
    if (result < 0) {
        check_error(lane, result, false);
    }
}

/* ---- reading ---- */

static void take(struct lane *lane, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++, lane->received++) {
        if (bytes[i] != (char)(lane->received * 7 + lane->received / 256 + seed_of(lane))) {
            ck_abort_msg("lane %u of kind %d: byte %zu is wrong, read in way %d", seed_of(lane), (int)lane->kind,
                         lane->received, (int)lane->how);
        }
    }
}

static void on_read_end(struct lane *lane, int64_t result)
{
    CHECK(lane->is_reading);
    lane->is_reading = false;
    if (result == 0 || (lane->how == READ_EXACT && result >= 0)) {
        return;
    }
    if (result != -ENOBUFS || lane->how != RECV_MULTISHOT) {
        check_error(lane, result, lane->cancels_read);
    }
}

static void end_of_source(struct lane *lane)
{
    lane->at_end = true;
    if (!lane->is_broken && ((!lane->is_shutting && !lane->is_shut) || lane->received != lane->sent)) {
        unexpected_end++;
    }
}

static void on_read(void *arg, int64_t result)
{
    struct lane *lane = arg;

    if (result > 0) {
        take(lane, lane->in_bytes, (size_t)result);
        CHECK(lane->is_reading);
        lane->is_reading = false;
    } else {
        on_read_end(lane, result);
        if (result == 0) {
            end_of_source(lane);
        }
    }
}

static void on_chunk(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct lane *lane = arg;

    if (chunk) {
        take(lane, loop_chunk_data(chunk), (size_t)result);
        if (dice(3) == 0) {
            loop_pause(lane->env->loop, lane->read);
        }
    } else {
        on_read(lane, result);
    }
}

static void on_received(void *arg, int64_t result, void *data)
{
    struct lane *lane = arg;

    if (data) {
        take(lane, data, (size_t)result);
        if (lane->held) {
            CHECK_IS(loop_buffers_recycle(lane->buffers, lane->held), 0);
        }
        lane->held = data;
    } else {
        on_read(lane, result);
    }
}

static void start_read(struct lane *lane)
{
    size_t len = 1 + (dice(4) ? dice(300) : dice(MOST_BYTES - 1));

    lane->how = (enum way_to_read)dice(WAYS_TO_READ);
    if (lane->kind == PIPE && lane->how >= RECV) {
        lane->how = STREAM;
    }
    lane->cancels_read = false;
    lane->is_reading = true;
    if (lane->how == READ) {
        lane->read = START(loop_read(lane->source, lane->in_bytes, len, on_read, lane));
    } else if (lane->how == READ_EXACT) {
        lane->read = START(loop_read_exact(lane->source, lane->in_bytes, len, on_read, lane));
    } else if (lane->how == STREAM) {
        lane->read = START(loop_stream(lane->source, on_chunk, lane));
    } else if (lane->how == RECV) {
        lane->read = START(loop_op_recv(lane->scope, lane->in, lane->in_bytes, len, 0, on_read, lane));
    } else {
        lane->read = START(loop_op_recv_multishot(lane->scope, lane->in, lane->buffers, on_received, lane));
    }
}

static void on_polled(void *arg, int64_t result)
{
    struct lane *lane = arg;

    CHECK(lane->is_polling);
    lane->is_polling = false;
    CHECK(result > 0 || result == -ECANCELED || lane->is_broken);
}

/* ---- lanes ---- */

static void open_ends(struct loop_scope *scope, enum kind kind, struct loop_source **source, struct loop_sink **sink)
{
    int fds[2];

    if (kind == PIPE) {
        CHECK_IS(loop_pipe(scope, source, sink), 0);
        return;
    }
    if (kind == TCP) {
        make_tcp_pair(fds);
    } else {
        make_pair(fds);
    }
    *sink = &flow_of(scope, fds[0])->sink;
    *source = &flow_of(scope, fds[1])->source;
}

static struct loop_sink *relay_sinks[LANES];

static void relay_ended(void *arg, int64_t result)
{
    const struct lane *lane = arg;

    if (result < 0) {
        check_error(lane, result, false);
    } else {
        loop_shutdown(relay_sinks[seed_of(lane)], NULL, NULL);
    }
}

/* What is written goes through a copy before it can be read. */
static void open_relay(struct lane *lane)
{
    struct loop_source *middle_source;

    open_ends(lane->scope, dice(2) ? SOCKET : TCP, &middle_source, &lane->sink);
    open_ends(lane->scope, dice(2) ? SOCKET : TCP, &lane->source, &relay_sinks[seed_of(lane)]);
    CHECK(loop_copy(middle_source, relay_sinks[seed_of(lane)], relay_ended, lane) != 0);
}

static void lane_ended(void *lane, int64_t result);

static void open_lane(struct loop_env *env, struct lane *lane)
{
    memset(lane, 0, sizeof *lane);
    lane->env = env;
    lane->kind = (enum kind)dice(KINDS);
    lane->scope = loop_scope_open(env->scope, lane_ended, lane);
    CHECK(lane->scope != NULL);
    loop_scope_hold(lane->scope);
    if (lane->kind == RELAY) {
        open_relay(lane);
    } else {
        open_ends(lane->scope, lane->kind, &lane->source, &lane->sink);
    }
    lane->out = lane->sink->ops->fd(lane->sink);
    lane->in = lane->source->ops->fd(lane->source);
    lane->buffers = loop_buffers_create(lane->scope, N_BUFFERS, BUFFER_SIZE);
    CHECK(lane->out && lane->in && lane->buffers);
}

static void lane_ended(void *arg, int64_t result)
{
    struct lane *lane = arg;

    CHECK(!lane->is_writing && !lane->is_reading && !lane->is_polling && !lane->is_shutting);
    CHECK(lane->received <= lane->sent);
    CHECK(lane->is_broken || (result == 0 && lane->received == lane->sent));
    lane->scope = NULL;
    lanes_ended++;
    if (steps_left > 0) {
        open_lane(playing, lane);
    }
}

/* ---- the dice fall ---- */

static void break_lane(struct lane *lane)
{
    unsigned how = dice(4);

    lane->is_broken = true;
    if (how == 0) {
        loop_scope_cancel(lane->scope);
    } else if (how == 1) {
        loop_scope_deadline(lane->scope, loop_now(lane->env->loop) + dice(500) * LOOP_MICROSECOND);
        return; /* what holds it is given back when it has been reached, or at the end */
    } else {
        loop_fd_close(how == 2 ? lane->in : lane->out);
        loop_scope_cancel(lane->scope);
    }
}

static void play_write(struct lane *lane)
{
    if (!lane->is_writing && !lane->is_shutting && !lane->is_shut) {
        start_write(lane);
    } else if (lane->is_writing && dice(4) == 0) {
        lane->cancels_write = true;
        loop_cancel(lane->env->loop, lane->write);
    }
}

static void play_read(struct lane *lane)
{
    unsigned what = dice(6);

    if (!lane->is_reading && !lane->at_end) {
        start_read(lane);
    } else if (lane->is_reading && what == 0) {
        lane->cancels_read = true;
        loop_cancel(lane->env->loop, lane->read);
    } else if (lane->is_reading && lane->how == STREAM && what == 1) {
        loop_pause(lane->env->loop, lane->read);
    } else if (lane->is_reading && lane->how == STREAM) {
        loop_resume(lane->env->loop, lane->read);
    }
    if (lane->held && what == 2) {
        CHECK_IS(loop_buffers_recycle(lane->buffers, lane->held), 0);
        lane->held = NULL;
    }
}

static void play_poll(struct lane *lane)
{
    if (!lane->is_polling) {
        lane->is_polling = true;
        lane->poll =
            START(loop_poll(dice(2) ? lane->in : lane->out, dice(2) ? POLLIN : POLLIN | POLLOUT, on_polled, lane));
    } else {
        loop_cancel(lane->env->loop, lane->poll);
    }
}

static void play(unsigned place)
{
    struct lane *lane = &lanes[place];
    unsigned what = dice(100);

    if (!lane->scope || lane->is_broken) {
        return;
    }
    if (what < 45) {
        play_write(lane);
    } else if (what < 93) {
        play_read(lane);
    } else if (what < 99) {
        play_poll(lane);
    } else if (dice(2)) {
        break_lane(lane);
    }
}

/* If all chunks are lent, the stream may wait for a chunk of its own lane's writer, which waits for the reader. */
static void wind_up_stream(struct lane *lane)
{
    if (loop_region_avail(lane->env->loop) > 0) {
        loop_resume(lane->env->loop, lane->read);
    } else {
        lane->cancels_read = true;
        loop_cancel(lane->env->loop, lane->read);
    }
}

/* No more cancels: what is under way ends, the sink is shut, and the source read to its end. True when all that is
 * done. */
static bool wind_up(struct lane *lane)
{
    if (lane->is_polling) {
        loop_cancel(lane->env->loop, lane->poll);
    }
    if (!lane->is_writing && !lane->is_shut && !lane->is_shutting) {
        lane->is_shutting = true;
        START(loop_shutdown(lane->sink, on_shut, lane));
    }
    if (!lane->is_reading && !lane->at_end && !lane->is_broken) {
        start_read(lane);
    } else if (lane->is_reading && lane->how == STREAM) {
        wind_up_stream(lane);
    }
    return lane->is_shut && !lane->is_reading && (lane->at_end || lane->is_broken) && !lane->is_polling;
}

/* A lane that is broken, or done in the end, is let go. */
static void let_go(struct lane *lane)
{
    bool is_over = steps_left > 0 ? lane->is_broken && loop_scope_is_cancelled(lane->scope) : wind_up(lane);

    if (is_over && !lane->is_writing && !lane->is_reading && !lane->is_polling && !lane->is_shutting) {
        loop_scope_unhold(lane->scope);
        lane->env = NULL;
    }
}

static bool settle(unsigned place)
{
    bool is_there = lanes[place].scope != NULL;

    if (is_there && lanes[place].env) {
        let_go(&lanes[place]);
    }
    return is_there;
}

static void open_place(unsigned place)
{
    open_lane(playing, &lanes[place]);
}

static const struct game game = {LANES, 4, open_place, play, settle};

static void play_rounds(uint32_t first_seed, unsigned rounds, const struct loop_options *options)
{
    for (unsigned round = 0; round < rounds; round++) {
        lanes_ended = 0;
        int answer = play_round(first_seed + round, options);
        if (answer != 0 || unexpected_end > 0) {
            ck_abort_msg("seed %u: the loop returned %d, %u early ends", (unsigned)(first_seed + round), answer,
                         unexpected_end);
        }
        CHECK(lanes_ended >= LANES);
    }
}

TEST(by_the_dice)
{
    play_rounds(1, 6, &(struct loop_options){.queue_depth = 0});
}

TEST(by_the_dice_with_few_chunks)
{
    play_rounds(1000, 4, &(struct loop_options){.n_blocks = 2, .block_size = 512});
}

TEST(by_the_dice_with_a_short_queue)
{
    play_rounds(2000, 4, &(struct loop_options){.queue_depth = 1, .n_blocks = 16});
}

TEST(by_the_dice_with_tiny_chunks)
{
    play_rounds(3000, 4, &(struct loop_options){.n_blocks = 50, .block_size = 7});
}
