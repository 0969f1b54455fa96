/* SPDX-License-Identifier: ISC
 *
 * Pseudo-random ends: descriptors are closed, destroyed and taken, and scopes cancelled, under readers, writers, copies
 * and streams. All of them are used again afterwards, also between the hooks of their scope and its on_end. Every job
 * ends once. The bytes read are those that the peer wrote, in order, and none are lost when a descriptor is taken. The
 * sequence is the same in every run.
 */
#include "rounds.h"

#include <loop/part.h>
#include <loop/reader.h>
#include <loop/writer.h>

enum { RIGS = 10, MOST_BYTES = 5000 };

enum consumer { NOTHING, READ, READ_EXACT, STREAM, COPY, LINE, LINES, TAKE, EXACT, SKIP, FILL };
enum end { WHOLE, CLOSED, DESTROYED, TAKEN, CANCELLED, EXPIRED, N_ENDS };

/* A Unix socket that a program has, and its peer, a bare number. What the consumer reads can be copied to a second
 * socket, `side`. */
struct rig {
    struct loop_scope *scope; /* NULL when there is none */
    struct loop_fd *fd;       /* NULL when it was destroyed */
    struct loop_fd *pinned;   /* the same, as long as a pin keeps it */
    struct loop_flow *flow;
    struct loop_fd *side;
    struct loop_reader *reader;
    struct loop_writer *writer;
    int peer, side_peer;
    enum end end;
    enum consumer consumer;
    loop_job reading, writing, flushing, polling;
    bool is_reading, is_writing, is_flushing, is_polling, is_taking;
    bool cancels_reading, cancels_writing, cancels_flushing;
    bool writes_no_more;      /* the number of bytes sent is unknown */
    bool is_held, is_settled; /* the number that was taken has been read to its end */
    int number;               /* which was taken */
    struct loop_copy_outcome outcome;
    size_t n_given, n_read;       /* bytes from the peer */
    size_t n_appended, n_written; /* bytes to the peer: at most, and at least */
    size_t n_received, side_at, n_to_flush;
    unsigned hooks;
    char in[MOST_BYTES], out[MOST_BYTES];
};

static struct rig rigs[RIGS];
static unsigned rigs_ended;
static unsigned ended_by[N_ENDS], n_uses_after;

/* ---- bytes ---- */

static char byte_at(const struct rig *rig, size_t at)
{
    return (char)(at * 11 + at / 251 + (size_t)(rig - rigs));
}

static void check_bytes(const struct rig *rig, const char *bytes, size_t len, size_t at)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != byte_at(rig, at + i)) {
            ck_abort_msg("rig %d, consumer %d, end %d: byte %zu is wrong", (int)(rig - rigs), (int)rig->consumer,
                         (int)rig->end, at + i);
        }
    }
}

static void consume(struct rig *rig, const char *bytes, size_t len)
{
    check_bytes(rig, bytes, len, rig->n_read);
    rig->n_read += len;
    CHECK(rig->n_read <= rig->n_given);
}

static void fill(const struct rig *rig, char *bytes, size_t len, size_t at)
{
    for (size_t i = 0; i < len; i++) {
        bytes[i] = byte_at(rig, at + i);
    }
}

/* What the peer has got so far is what was written, in order. */
static void read_peer(struct rig *rig)
{
    char bytes[2048];
    ssize_t n;

    while (rig->peer >= 0 && (n = read(rig->peer, bytes, sizeof bytes)) > 0) {
        check_bytes(rig, bytes, (size_t)n, rig->n_received);
        rig->n_received += (size_t)n;
        CHECK(rig->n_received <= rig->n_appended);
    }
}

static void give(struct rig *rig)
{
    char bytes[2048];
    size_t len = 1 + dice(sizeof bytes);

    fill(rig, bytes, len, rig->n_given);
    ssize_t n = send(rig->peer, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    rig->n_given += n > 0 ? (size_t)n : 0;
}

/* What a copy brings is what it has taken of the peer's bytes. */
static void read_side(struct rig *rig)
{
    char bytes[2048];
    ssize_t n;

    while (rig->side_peer >= 0 && (n = read(rig->side_peer, bytes, sizeof bytes)) > 0) {
        check_bytes(rig, bytes, (size_t)n, rig->side_at);
        rig->side_at += (size_t)n;
        CHECK(rig->side_at <= rig->n_given);
    }
}

/* ---- results ---- */

static void check_error(const struct rig *rig, int64_t error, bool was_cancelled)
{
    bool is_fair = error == -ECANCELED ? was_cancelled || rig->end != WHOLE
                                       : (error == -EBADF && (rig->end != WHOLE || was_cancelled)) ||
                                             (error == -ETIMEDOUT && rig->end == EXPIRED);
    if (!is_fair) {
        ck_abort_msg("rig %d, consumer %d, end %d: %lld", (int)(rig - rigs), (int)rig->consumer, (int)rig->end,
                     (long long)error);
    }
}

/* ---- reading ---- */

static void on_read(void *arg, int64_t result)
{
    struct rig *rig = arg;
    size_t len;

    CHECK(rig->is_reading);
    if (rig->consumer == LINES && result > 0) {
        const char *data = loop_reader_data(rig->reader, &len);
        check_bytes(rig, data, len, rig->n_read);
        rig->n_read += (size_t)result;
        return;
    }
    rig->is_reading = false;
    if (rig->consumer == COPY) {
        CHECK(rig->outcome.lost_bytes == 0 || rig->end != WHOLE); /* what is closed takes nothing back */
        CHECK(result == rig->outcome.bytes || (rig->outcome.bytes == 0 && result == rig->outcome.error));
        rig->n_read += (size_t)rig->outcome.bytes;
        read_side(rig);
        CHECK_IS(rig->side_at, rig->n_read);
        result = result > 0 ? rig->outcome.error : result;
    } else if (result > 0 && (rig->consumer == READ || rig->consumer == READ_EXACT)) {
        consume(rig, rig->in, (size_t)result);
    } else if (result > 0 && (rig->consumer == TAKE || rig->consumer == EXACT || rig->consumer == LINE)) {
        const char *data = loop_reader_data(rig->reader, &len);
        check_bytes(rig, data, len, rig->n_read);
        rig->n_read += (size_t)result;
    } else if (result > 0 && rig->consumer == SKIP) {
        rig->n_read += (size_t)result;
    }
    if (result < 0) {
        check_error(rig, result, rig->cancels_reading);
    }
    CHECK(result != 0);
}

static void on_chunk(void *arg, int64_t result, struct loop_chunk *chunk)
{
    struct rig *rig = arg;

    if (chunk) {
        CHECK(rig->is_reading);
        consume(rig, loop_chunk_data(chunk), (size_t)result);
    } else {
        on_read(rig, result);
    }
}

static loop_job start_plain(struct rig *rig, struct loop_source *source, size_t len)
{
    switch (rig->consumer) {
    case READ: return START(loop_read(source, rig->in, len, on_read, rig));
    case READ_EXACT: return START(loop_read_exact(source, rig->in, len, on_read, rig));
    case STREAM: return START(loop_stream(source, on_chunk, rig));
    default: return START(loop_copy_report(source, &loop_fd_flow(rig->side)->sink, &rig->outcome, on_read, rig));
    }
}

static loop_job start_buffered(struct rig *rig, size_t len)
{
    switch (rig->consumer) {
    case LINE: return START(loop_reader_line(rig->reader, on_read, rig));
    case LINES: return START(loop_reader_lines(rig->reader, on_read, rig));
    case TAKE: return START(loop_reader_take(rig->reader, len, on_read, rig));
    case EXACT: return START(loop_reader_exact(rig->reader, len, on_read, rig));
    case SKIP: return START(loop_reader_skip(rig->reader, len, on_read, rig));
    case FILL: return START(loop_reader_fill(rig->reader, len, on_read, rig));
    default: return start_plain(rig, loop_reader_source(rig->reader), len);
    }
}

static void start_reading(struct rig *rig)
{
    size_t len = 1 + dice(600);

    if (!rig->reader && !rig->flow) {
        return;
    }
    rig->consumer = (enum consumer)(1 + dice(rig->reader ? 10 : 4));
    rig->cancels_reading = false;
    rig->is_reading = true;
    rig->outcome = (struct loop_copy_outcome){0};
    read_side(rig);
    rig->side_at = rig->n_read;
    rig->reading = rig->reader ? start_buffered(rig, len) : start_plain(rig, &rig->flow->source, len);
}

/* ---- writing ---- */

static void on_written(void *arg, int64_t result)
{
    struct rig *rig = arg;

    CHECK(rig->is_writing);
    rig->is_writing = false;
    if (result < 0) {
        check_error(rig, result, rig->cancels_writing);
        result = 0;
    }
    rig->n_written += (size_t)result;
    rig->n_appended = rig->n_written;
}

static void on_flushed(void *arg, int64_t result)
{
    struct rig *rig = arg;

    CHECK(rig->is_flushing);
    rig->is_flushing = false;
    if (result < 0) {
        check_error(rig, result, rig->cancels_flushing);
    } else {
        rig->n_written = rig->n_to_flush;
    }
}

static void put(struct rig *rig)
{
    char bytes[600];
    size_t len = 1 + dice(sizeof bytes);

    fill(rig, bytes, len, rig->n_appended);
    int error = loop_writer_append(rig->writer, bytes, len);
    if (error) {
        CHECK(rig->end != WHOLE);
        check_error(rig, error, false);
        rig->writes_no_more = true;
        return;
    }
    rig->n_appended += len;
    if (!rig->is_flushing && dice(2)) {
        rig->is_flushing = true;
        rig->cancels_flushing = false;
        rig->n_to_flush = rig->n_appended;
        rig->flushing = START(loop_writer_flush(rig->writer, on_flushed, rig));
    }
}

static void start_writing(struct rig *rig)
{
    if (rig->writes_no_more || rig->is_writing) {
        return;
    }
    if (rig->writer) {
        put(rig);
    } else if (rig->flow) {
        size_t len = 1 + dice(MOST_BYTES);
        fill(rig, rig->out, len, rig->n_written);
        rig->n_appended = rig->n_written + len;
        rig->is_writing = true;
        rig->cancels_writing = false;
        rig->writing = START(loop_write(&rig->flow->sink, rig->out, len, on_written, rig));
    }
}

static void on_polled(void *arg, int64_t result)
{
    struct rig *rig = arg;

    CHECK(rig->is_polling);
    rig->is_polling = false;
    CHECK(result > 0 || result == -ECANCELED || rig->end != WHOLE);
}

/* ---- ends ---- */

static void drop_reader(struct rig *rig)
{
    if (rig->reader) {
        loop_reader_destroy(rig->reader);
        rig->reader = NULL;
        rig->cancels_reading = true;
    }
}

static void drop_writer(struct rig *rig)
{
    if (rig->writer) {
        loop_writer_destroy(rig->writer);
        rig->writer = NULL;
        rig->writes_no_more = true;
    }
}

static void on_taken(void *arg, int64_t result)
{
    struct rig *rig = arg;

    CHECK(rig->is_taking);
    rig->is_taking = false;
    if (result < 0) {
        check_error(rig, result, false);
        rig->is_settled = true;
    } else {
        rig->number = (int)result;
    }
}

static void destroy(struct rig *rig)
{
    if (rig->fd && dice(2)) {
        loop_fd_pin(rig->fd);
        rig->pinned = rig->fd;
    }
    loop_fd_destroy(rig->fd);
    rig->fd = NULL;
    rig->flow = NULL;
}

static void unpin(struct rig *rig)
{
    if (rig->pinned) {
        loop_fd_unpin(rig->pinned);
        rig->pinned = NULL;
    }
}

static void end_rig(struct rig *rig)
{
    rig->end = (enum end)(1 + dice(N_ENDS - 1));
    ended_by[rig->end]++;
    switch (rig->end) {
    case CLOSED: CHECK_IS(loop_fd_close(rig->fd), 0); break;
    case DESTROYED: destroy(rig); break;
    case TAKEN:
        rig->is_taking = true;
        START(loop_fd_take(rig->fd, on_taken, rig));
        break;
    case CANCELLED: loop_scope_cancel(rig->scope); break;
    default: loop_scope_deadline(rig->scope, loop_now(playing->loop) + dice(300) * LOOP_MICROSECOND); break;
    }
}

/* All that the peer has given is in the reader, unread, or in the socket, once nothing reads any more. */
static void settle_taken(struct rig *rig)
{
    char bytes[2048];
    size_t n = 0, len = 0;
    ssize_t got;

    if (rig->reader) {
        const char *window = loop_reader_peek(rig->reader, &len);
        consume(rig, window, len);
        CHECK_IS(loop_reader_consume(rig->reader, len), 0);
    }
    while ((n = loop_fd_take_unread(rig->fd, bytes, sizeof bytes)) > 0) {
        consume(rig, bytes, n);
    }
    while ((got = recv(rig->number, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
        consume(rig, bytes, (size_t)got);
    }
    CHECK_IS(rig->n_read, rig->n_given);
    read_peer(rig);
    CHECK(rig->n_received >= rig->n_written);
    close(rig->number);
    rig->is_settled = true;
}

/* ---- uses of what has ended ---- */

static void use_fd(const struct rig *rig, struct loop_fd *fd)
{
    int number = loop_fd_use(fd);

    CHECK(number == -EBADF || rig->end == WHOLE || rig->end >= CANCELLED);
    if (number >= 0) {
        loop_fd_unuse(fd);
    }
    CHECK(rig->end == WHOLE || rig->end >= CANCELLED || loop_fd_close(fd) == -EBADF);
}

static char late_byte;
static unsigned n_late;

static void on_late(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, -EBADF);
    n_late--;
}

static void on_late_chunk(void *unused, int64_t result, struct loop_chunk *chunk)
{
    CHECK(!chunk);
    on_late(unused, result);
}

/* What is gone from the scope, and pinned, is in another that takes jobs: there they end with -EBADF. */
static void check_no_job(const struct rig *rig, loop_job job)
{
    CHECK(job == 0 || rig->pinned);
    n_late += job != 0;
}

static void use_flow(const struct rig *rig, struct loop_flow *flow)
{
    check_no_job(rig, loop_read(&flow->source, &late_byte, 1, on_late, NULL));
    check_no_job(rig, loop_write(&flow->sink, "x", 1, on_late, NULL));
    check_no_job(rig, loop_stream(&flow->source, on_late_chunk, NULL));
    check_no_job(rig, loop_copy(&flow->source, &flow->sink, on_late, NULL));
    CHECK(loop_try_read(&flow->source, &late_byte, 1) < 0);
    (void)loop_source_unread(&flow->source, "x", 1);
    CHECK_IS(loop_sink_limit(&flow->sink, 1000), 0);
}

/* Between the hooks and the end of on_end nothing can be started, and everything can be asked. */
static void use_ending(struct rig *rig)
{
    CHECK_IS(loop_sleep(rig->scope, 0, once_resumed, NULL), 0);
    CHECK(loop_scope_open(rig->scope, NULL, NULL) == NULL);
    CHECK(loop_memory_source(rig->scope, "", 0) == NULL);
    CHECK(loop_scope_alloc(rig->scope, dice(100)) != NULL);
    if (rig->fd || rig->pinned) {
        use_flow(rig, loop_fd_flow(rig->fd ? rig->fd : rig->pinned));
    }
    if (rig->fd) {
        int number = loop_fd_use(rig->fd);
        if (number >= 0) {
            loop_fd_unuse(rig->fd);
        }
        (void)loop_fd_take_unread(rig->fd, &late_byte, 1);
        CHECK_IS(loop_fd_take(rig->fd, once_resumed, NULL), 0);
    }
    if (rig->reader) {
        CHECK_IS(loop_reader_take(rig->reader, 1, once_resumed, NULL), 0);
        (void)loop_reader_peek(rig->reader, NULL);
        (void)loop_reader_consume(rig->reader, 1);
    }
    if (rig->writer) {
        CHECK(loop_writer_append(rig->writer, "x", 1) < 0);
        CHECK_IS(loop_writer_flush(rig->writer, once_resumed, NULL), 0);
    }
    n_uses_after++;
}

static void end_some(struct rig *rig)
{
    if (dice(4) == 0) {
        drop_reader(rig);
    }
    if (dice(4) == 0) {
        drop_writer(rig);
    }
    if (rig->fd && dice(4) == 0) {
        (void)loop_fd_close(rig->fd);
    }
    if (rig->fd && dice(4) == 0 && !rig->pinned) {
        destroy(rig);
    }
}

static void in_hook(void *arg)
{
    struct rig *rig = arg;

    CHECK(!rig->is_reading && !rig->is_writing && !rig->is_flushing && !rig->is_polling && !rig->is_taking);
    rig->hooks++;
    use_ending(rig);
    end_some(rig);
}

static void open_rig(struct rig *rig);

static void on_rig_end(void *arg, int64_t result)
{
    struct rig *rig = arg;

    CHECK_IS(rig->hooks, 2);
    CHECK(rig->end == CANCELLED ? result == -ECANCELED
          : rig->end == EXPIRED ? result == -ETIMEDOUT || result == 0
                                : result == 0 || result == -EBADF || result == -ECANCELED);
    use_ending(rig);
    end_some(rig);
    use_ending(rig);
    unpin(rig);
    read_peer(rig);
    close(rig->peer);
    close(rig->side_peer);
    rig->scope = NULL;
    rigs_ended++;
    if (steps_left > 0) {
        open_rig(rig);
    }
}

static void open_rig(struct rig *rig)
{
    int pair[2], side[2];

    memset(rig, 0, sizeof *rig);
    make_pair(pair);
    make_pair(side);
    rig->scope = loop_scope_open(playing->scope, on_rig_end, rig);
    rig->fd = adopt(rig->scope, pair[0]);
    rig->flow = loop_fd_flow(rig->fd);
    rig->side = adopt(rig->scope, side[0]);
    rig->peer = pair[1];
    rig->side_peer = side[1];
    set_nonblocking(rig->peer);
    set_nonblocking(rig->side_peer);
    rig->number = -1;
    rig->reader = dice(2) ? loop_reader_create(&rig->flow->source, 0) : NULL;
    rig->writer = dice(2) ? loop_writer_create(&rig->flow->sink, 0) : NULL;
    CHECK(loop_scope_defer(rig->scope, in_hook, rig) && loop_scope_defer(rig->scope, in_hook, rig));
    loop_scope_hold(rig->scope);
    rig->is_held = true;
}

/* ---- the dice fall ---- */

static void cancel_some(struct rig *rig)
{
    if (rig->is_reading && dice(2)) {
        rig->cancels_reading = true;
        (void)loop_cancel(playing->loop, rig->reading);
    }
    if (rig->is_writing && dice(2)) {
        rig->cancels_writing = true;
        (void)loop_cancel(playing->loop, rig->writing);
    }
    if (rig->is_flushing && dice(2)) {
        rig->cancels_flushing = true;
        (void)loop_cancel(playing->loop, rig->flushing);
    }
}

static void start_polling(struct rig *rig)
{
    if (rig->fd && !rig->is_polling) {
        rig->is_polling = true;
        rig->polling = START(loop_poll(rig->fd, POLLIN, on_polled, rig));
    }
}

/* After its end a rig is used for some time, and then let go. */
static void play_ended(struct rig *rig)
{
    if (rig->end == TAKEN && !rig->is_settled) {
        if (!rig->is_taking && !rig->is_reading) {
            settle_taken(rig);
        }
        return;
    }
    switch (dice(8)) {
    case 0: drop_reader(rig); break;
    case 1: drop_writer(rig); break;
    case 2: unpin(rig); break;
    case 3:
        if (rig->fd) {
            use_fd(rig, rig->fd);
        } else if (rig->pinned) {
            use_flow(rig, loop_fd_flow(rig->pinned));
        }
        break;
    case 4:
        if (!rig->is_reading) {
            start_reading(rig);
        }
        break;
    case 5: start_writing(rig); break;
    case 6:
        loop_scope_unhold(rig->scope);
        rig->is_held = false;
        break;
    default: break;
    }
}

static void play(unsigned place)
{
    struct rig *rig = &rigs[place];
    unsigned what = dice(100);

    if (!rig->scope || !rig->is_held) {
        return;
    }
    if (rig->end != WHOLE) {
        play_ended(rig);
    } else if (what < 30) {
        give(rig);
    } else if (what < 50 && !rig->is_reading) {
        start_reading(rig);
    } else if (what < 65) {
        start_writing(rig);
    } else if (what < 75) {
        read_peer(rig);
        read_side(rig);
    } else if (what < 82) {
        cancel_some(rig);
    } else if (what < 85) {
        start_polling(rig);
    } else if (what < 88) {
        drop_reader(rig);
    } else if (what < 94) {
        end_rig(rig);
    }
}

/* Every rig comes to an end. */
static void wind_up(struct rig *rig)
{
    read_peer(rig);
    read_side(rig);
    if (rig->end == WHOLE) {
        end_rig(rig);
    } else if (rig->end == TAKEN && !rig->is_settled) {
        play_ended(rig);
    } else if (rig->is_held) {
        loop_scope_unhold(rig->scope);
        rig->is_held = false;
    }
}

static bool settle(unsigned place)
{
    bool is_there = rigs[place].scope != NULL;

    if (is_there && steps_left == 0) {
        wind_up(&rigs[place]);
    } else if (is_there) {
        read_side(&rigs[place]);
    }
    return is_there;
}

static void open_place(unsigned place)
{
    open_rig(&rigs[place]);
}

static const struct game game = {RIGS, 5, open_place, play, settle};

static void play_rounds(uint32_t first_seed, unsigned rounds, const struct loop_options *options)
{
    for (unsigned round = 0; round < rounds; round++) {
        rigs_ended = 0;
        int answer = play_round(first_seed + round, options);
        if (answer != 0) {
            ck_abort_msg("seed %u: the loop returned %d", (unsigned)(first_seed + round), answer);
        }
        CHECK(rigs_ended >= RIGS && n_uses_after >= RIGS);
        CHECK_IS(n_late, 0);
    }
    for (int end = 1; end < N_ENDS; end++) {
        CHECK(ended_by[end] > 0);
    }
}

TEST(ends_by_the_dice)
{
    play_rounds(1, 6, &(struct loop_options){.queue_depth = 0});
}

TEST(ends_by_the_dice_with_few_chunks)
{
    play_rounds(1000, 4, &(struct loop_options){.n_blocks = 2, .block_size = 512});
}

TEST(ends_by_the_dice_with_a_short_queue)
{
    play_rounds(2000, 4, &(struct loop_options){.queue_depth = 1, .n_blocks = 16});
}
