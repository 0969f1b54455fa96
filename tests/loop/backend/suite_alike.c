/* SPDX-License-Identifier: ISC
 *
 * One pseudo-random program on both backends: every job must end with the same result and the same bytes. A step starts
 * a job or causes an event, and the next step follows when nothing is in motion any more, so that no result depends on
 * a race. docs/backends.md lists the permitted differences between backends.
 */
#include "dice.h"

#include <fcntl.h>
#include <loop/reader.h>
#include <loop/writer.h>
#include <stdio.h>

enum { RIGS = 5, MOST = 6000, BUFFER = 600, BIG = 400000 };

struct entry {
    const char *what;
    unsigned rig;
    int64_t result;
    uint32_t sum; /* of the bytes */
    bool is_over;
};

struct history {
    struct entry entries[MOST];
    unsigned n;
};

/* A Unix socket and its peer, a bare number; what reads and writes it. */
struct rig {
    struct loop_scope *scope;
    struct loop_fd *fd;
    struct loop_flow *flow;
    struct loop_reader *reader;
    struct loop_writer *writer;
    int peer;
    bool is_leaving; /* its scope has ended, or is about to */
    bool is_low;     /* read and written by the operations of the ring */
};

static struct history histories[2], *history;
static struct rig rigs[RIGS];
static loop_job jobs[MOST]; /* of the entries */
static char buffers[MOST][BUFFER], big[BIG];
static struct iovec vectors[MOST][3];
static struct loop_copy_outcome outcomes[MOST];
static struct loop_env *env_;
static struct loop_flow *file;
static struct loop_dir *dir;
static unsigned steps_left, n_finite; /* jobs that end by themselves */
static unsigned long peer_bytes;
static bool has_left; /* all rigs are leaving, for the end */

/* ---- what is written down ---- */

static unsigned note(const char *what, const struct rig *rig)
{
    CHECK(history->n < MOST);
    history->entries[history->n] = (struct entry){.what = what, .rig = rig ? (unsigned)(rig - rigs) : RIGS};
    return history->n++;
}

static void add_bytes(struct entry *entry, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        entry->sum = entry->sum * 31 + (unsigned char)bytes[i];
    }
}

static void end_entry(struct entry *entry, int64_t result)
{
    CHECK(!entry->is_over);
    entry->is_over = true;
    entry->result = result;
}

/* What is known at once. */
static void tell(const char *what, const struct rig *rig, int64_t result)
{
    end_entry(&history->entries[note(what, rig)], result);
}

static void on_end(void *arg, int64_t result)
{
    end_entry(arg, result);
}

static void on_finite(void *arg, int64_t result)
{
    n_finite--;
    end_entry(arg, result);
}

static void on_bytes(void *arg, int64_t result)
{
    struct entry *entry = arg;

    if (result > 0) {
        add_bytes(entry, buffers[entry - history->entries], (size_t)result < BUFFER ? (size_t)result : BUFFER);
    }
    end_entry(entry, result);
}

static void on_finite_bytes(void *arg, int64_t result)
{
    n_finite--;
    on_bytes(arg, result);
}

static void on_buffered(void *arg, int64_t result)
{
    struct entry *entry = arg;
    const struct rig *rig = &rigs[entry->rig];
    size_t len = 0;

    if (result > 0 && rig->reader) {
        const char *data = loop_reader_data(rig->reader, &len);
        add_bytes(entry, data, len);
    }
    end_entry(entry, result);
}

static void on_chunk(void *arg, int64_t result, struct loop_chunk *chunk)
{
    if (chunk) {
        add_bytes(arg, loop_chunk_data(chunk), (size_t)result);
    } else {
        end_entry(arg, result);
    }
}

static void on_copied(void *arg, int64_t result)
{
    struct entry *entry = arg;
    const struct loop_copy_outcome *outcome = &outcomes[entry - history->entries];

    entry->sum = (uint32_t)(outcome->bytes * 1000 + outcome->error * 10 + outcome->is_sink_error);
    end_entry(entry, result);
}

static void on_accepted(void *arg, int64_t result)
{
    if (result >= 0) {
        close((int)result);
    }
    end_entry(arg, result >= 0 ? 0 : result);
}

static void on_taken(void *arg, int64_t result)
{
    char byte[BUFFER];
    struct entry *entry = arg;
    size_t n;

    while (result >= 0 && (n = loop_fd_take_unread(rigs[entry->rig].fd, byte, sizeof byte)) > 0) {
        add_bytes(entry, byte, n);
    }
    on_accepted(arg, result);
}

/* ---- what the steps do ---- */

#define NEW(what) (e = note((what), rig), entry = &history->entries[e])
#define STARTED(job) (jobs[e] = START(job))

static void fill(char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++, peer_bytes++) {
        bytes[i] = (char)(peer_bytes * 7 + peer_bytes / 253);
    }
}

static void peer_sends(struct rig *rig)
{
    char bytes[700];
    size_t len = 1 + dice(sizeof bytes);

    fill(bytes, len);
    ssize_t n = send(rig->peer, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    tell("peer sends", rig, n < 0 ? -errno : n);
}

static void peer_reads(struct rig *rig)
{
    unsigned e = note("peer reads", rig);
    static char bytes[65536];
    int64_t all = 0;
    ssize_t n;

    while ((n = recv(rig->peer, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
        add_bytes(&history->entries[e], bytes, (size_t)n);
        all += n;
    }
    end_entry(&history->entries[e], n < 0 && errno != EAGAIN ? -errno : all);
}

/* Whether a job of that name waits on the rig, or any but of the scope (NULL). */
static bool has_open(const struct rig *rig, const char *what)
{
    for (unsigned i = 0; i < history->n; i++) {
        const struct entry *entry = &history->entries[i];
        if (!entry->is_over && entry->rig == (unsigned)(rig - rigs) && strcmp(entry->what, "scope") != 0 &&
            (!what || strcmp(entry->what, what) == 0)) {
            return true;
        }
    }
    return false;
}

/* Polls without other jobs: beside another job, which may use up the bytes or the room first, the result is a race. */
static void poll_alone(struct rig *rig, unsigned events)
{
    struct entry *entry;
    unsigned e;

    if (!has_open(rig, NULL)) {
        NEW("loop_poll"), STARTED(loop_poll(rig->fd, events, on_end, entry));
    }
}

static void read_low(struct rig *rig, size_t len)
{
    struct entry *entry;
    unsigned e;

    if (dice(2)) {
        NEW("loop_op_recv"), STARTED(loop_op_recv(NULL, rig->fd, buffers[e], len, 0, on_bytes, entry));
    } else {
        NEW("loop_op_read"), STARTED(loop_op_read(NULL, rig->fd, buffers[e], len, LOOP_CURRENT, on_bytes, entry));
    }
}

static void read_some(struct rig *rig)
{
    struct loop_source *source = &rig->flow->source;
    size_t len = 1 + dice(BUFFER);
    struct entry *entry;
    unsigned e;

    switch (rig->is_low ? 5 + dice(4) : dice(9)) {
    case 5:
    case 6:
        if (rig->is_low) {
            read_low(rig, len);
        }
        break;
    case 0: NEW("loop_read"), STARTED(loop_read(source, buffers[e], len, on_bytes, entry)); break;
    case 1: NEW("loop_read_exact"), STARTED(loop_read_exact(source, buffers[e], len, on_bytes, entry)); break;
    case 2: tell("loop_try_read", rig, loop_try_read(source, buffers[history->n], len)); break;
    case 3: NEW("loop_wait_readable"), STARTED(loop_wait_readable(source, on_end, entry)); break;
    case 4: NEW("loop_stream"), STARTED(loop_stream(source, on_chunk, entry)); break;
    case 7: poll_alone(rig, dice(2) ? POLLIN : POLLIN | POLLRDHUP); break;
    default: tell("loop_fd_unread", rig, loop_fd_unread(rig->fd, "given back", 1 + dice(10))); break;
    }
}

static void read_buffered(struct rig *rig)
{
    size_t len = 1 + dice(BUFFER);
    struct entry *entry;
    unsigned e;

    switch (dice(8)) {
    case 0: NEW("loop_reader_line"), STARTED(loop_reader_line(rig->reader, on_buffered, entry)); break;
    case 1: NEW("loop_reader_exact"), STARTED(loop_reader_exact(rig->reader, len, on_buffered, entry)); break;
    case 2: NEW("loop_reader_take"), STARTED(loop_reader_take(rig->reader, len, on_buffered, entry)); break;
    case 3: NEW("loop_reader_skip"), STARTED(loop_reader_skip(rig->reader, len, on_end, entry)); break;
    case 4: NEW("loop_reader_fill"), STARTED(loop_reader_fill(rig->reader, len, on_end, entry)); break;
    case 5: NEW("loop_reader_until"), STARTED(loop_reader_until(rig->reader, "12", 2, on_buffered, entry)); break;
    case 6: NEW("stream of a rest"), STARTED(loop_stream(loop_reader_source(rig->reader), on_chunk, entry)); break;
    default:
        loop_reader_destroy(rig->reader);
        rig->reader = NULL;
        break;
    }
}

static void write_low(struct rig *rig, size_t len)
{
    struct entry *entry;
    unsigned e;

    if (!rig->is_low) {
        return;
    }
    if (dice(2)) {
        NEW("loop_op_send"), STARTED(loop_op_send(NULL, rig->fd, buffers[e], len, 0, on_end, entry));
    } else {
        NEW("loop_op_write"), STARTED(loop_op_write(NULL, rig->fd, buffers[e], len, LOOP_CURRENT, on_end, entry));
    }
}

static void write_some(struct rig *rig)
{
    struct loop_sink *sink = &rig->flow->sink;
    size_t len = 1 + dice(BUFFER);
    struct entry *entry;
    unsigned e = history->n;

    fill(buffers[e], len);
    switch (rig->is_low ? 4 + dice(3) : dice(9)) {
    case 0: NEW("loop_write"), STARTED(loop_write(sink, buffers[e], len, on_end, entry)); break;
    case 1:
        NEW("loop_writev");
        vectors[e][0] = (struct iovec){buffers[e], len / 2};
        vectors[e][1] = (struct iovec){buffers[e] + len / 2, len - len / 2};
        STARTED(loop_writev(sink, vectors[e], 2, on_end, entry));
        break;
    case 2: NEW("loop_write, big"), STARTED(loop_write(sink, big, 1 + dice(BIG), on_end, entry)); break;
    case 3: NEW("loop_sink_wait_drained"), STARTED(loop_sink_wait_drained(sink, on_end, entry)); break;
    case 4:
    case 5: write_low(rig, len); break;
    case 6: poll_alone(rig, POLLOUT); break;
    case 7: tell("loop_writer_append", rig, loop_writer_append(rig->writer, buffers[e], len)); break;
    default: NEW("loop_writer_flush"), STARTED(loop_writer_flush(rig->writer, on_end, entry)); break;
    }
}

static void copy_some(struct rig *rig)
{
    const struct rig *to = &rigs[dice(RIGS)];
    struct entry *entry;
    unsigned e;

    if (to->is_leaving || to->is_low || rig->is_low || has_open(to, "loop_poll")) {
        return;
    }
    NEW("loop_copy_report");
    STARTED(
        loop_copy_report(&rig->flow->source, dice(4) ? &to->flow->sink : &file->sink, &outcomes[e], on_copied, entry));
}

/* Those of files end by themselves, and are waited for. */
static void use_file(struct rig *rig)
{
    static struct loop_fs_status status;
    size_t len = 1 + dice(BUFFER), offset = dice(3000);
    struct iovec *iov = vectors[history->n];
    struct entry *entry;
    unsigned e = history->n;

    fill(buffers[e], len);
    *iov = (struct iovec){buffers[e], len};
    n_finite++;
    switch (dice(9)) {
    case 0:
        NEW("loop_file_pread");
        STARTED(loop_file_pread(NULL, file->fd, iov, 1, (int64_t)offset, on_finite_bytes, entry));
        break;
    case 1:
        NEW("loop_file_pwrite");
        STARTED(loop_file_pwrite(NULL, file->fd, iov, 1, (int64_t)offset, on_finite, entry));
        break;
    case 2: NEW("read of a file"), STARTED(loop_read(&file->source, buffers[e], len, on_finite_bytes, entry)); break;
    case 3: NEW("write of a file"), STARTED(loop_write(&file->sink, buffers[e], len, on_finite, entry)); break;
    case 4:
        n_finite--;
        tell("loop_file_seek", rig, loop_file_seek(file->fd, (int64_t)offset, SEEK_SET));
        break;
    case 5:
        NEW("loop_op_write, a file");
        STARTED(loop_op_write(NULL, file->fd, buffers[e], len, (int64_t)offset, on_finite, entry));
        break;
    case 6: NEW("loop_file_truncate"), STARTED(loop_file_truncate(NULL, file->fd, offset, on_finite, entry)); break;
    case 7:
        NEW("loop_file_sync"),
            STARTED(loop_file_sync(NULL, file->fd, dice(2) ? LOOP_FS_DATA_ONLY : 0, on_finite, entry));
        break;
    default: NEW("loop_file_stat"), STARTED(loop_file_stat(NULL, file->fd, &status, on_finite, entry)); break;
    }
}

static void use_path(struct rig *rig)
{
    static const char *const names[] = {"a", "b", "a/b", "b/..", "../x", "link", "none/x", "."};
    const char *name = names[dice(COUNT_OF(names))], *other = names[dice(COUNT_OF(names))];
    static struct loop_fs_status status;
    struct entry *entry;
    unsigned e;

    n_finite++;
    switch (dice(8)) {
    case 0: NEW("loop_fs_mkdir"), STARTED(loop_fs_mkdir(NULL, dir, name, 0, on_finite, entry)); break;
    case 1: NEW("loop_fs_rmdir"), STARTED(loop_fs_rmdir(NULL, dir, name, on_finite, entry)); break;
    case 2: NEW("loop_fs_unlink"), STARTED(loop_fs_unlink(NULL, dir, name, on_finite, entry)); break;
    case 3:
        NEW("loop_fs_stat"),
            STARTED(loop_fs_stat(NULL, dir, name, dice(2) ? LOOP_FS_FOLLOW : 0, &status, on_finite, entry));
        break;
    case 4: NEW("loop_fs_save"), STARTED(loop_fs_save(NULL, dir, name, "text", 4, NULL, on_finite, entry)); break;
    case 5: NEW("loop_fs_symlink"), STARTED(loop_fs_symlink(NULL, other, dir, name, on_finite, entry)); break;
    case 6:
        NEW("loop_fs_rename");
        STARTED(loop_fs_rename(NULL, dir, name, dir, other, LOOP_RENAME_REPLACE, on_finite, entry));
        break;
    default:
        NEW("loop_fs_kind"), STARTED(loop_fs_kind(NULL, dir, name, dice(2) ? LOOP_FS_FOLLOW : 0, on_finite, entry));
        break;
    }
}

static int64_t work_thirteen(void *unused)
{
    (void)unused;
    return 13;
}

static void use_loop(struct rig *rig)
{
    struct entry *entry;
    unsigned e;

    n_finite++;
    switch (dice(6)) {
    case 0: NEW("loop_sleep"), STARTED(loop_sleep(rig->scope, dice(2) ? 0 : 20000, on_finite, entry)); break;
    case 1: NEW("loop_op_timeout"), STARTED(loop_op_timeout(rig->scope, 0, on_finite, entry)); break;
    case 2: NEW("loop_op_nop"), STARTED(loop_op_nop(rig->scope, on_finite, entry)); break;
    case 3: NEW("loop_work"), STARTED(loop_work(rig->scope, work_thirteen, NULL, on_finite, entry)); break;
    case 4:
        NEW("loop_op_accept"), STARTED(loop_op_accept(NULL, rig->fd, NULL, NULL, on_accepted, entry)), n_finite--;
        break;
    default: NEW("loop_sleep, for ever"), STARTED(loop_sleep(rig->scope, LOOP_NEVER, on_end, entry)), n_finite--; break;
    }
}

/* Of those that wait, since nothing moves. */
static void cancel_one(const struct rig *rig)
{
    unsigned at = dice(history->n), n = history->n;

    while (n > 0 && history->entries[at].is_over) {
        at = (at + 1) % history->n;
        n--;
    }
    if (n > 0) {
        const char *what = dice(8) ? "loop_cancel" : "loop_daemon";
        tell(what, rig,
             *what && what[5] == 'c' ? loop_cancel(env_->loop, jobs[at]) : loop_daemon(env_->loop, jobs[at]));
    }
}

static void open_rig(struct rig *rig)
{
    int pair[2];

    make_pair(pair);
    *rig = (struct rig){.peer = pair[1]};
    set_nonblocking(rig->peer);
    rig->scope = loop_scope_open(env_->scope, on_end, &history->entries[note("scope", rig)]);
    loop_scope_hold(rig->scope);
    rig->fd = adopt(rig->scope, pair[0]);
    rig->flow = loop_fd_flow(rig->fd);
    rig->is_low = dice(3) == 0;
    rig->writer = loop_writer_create(&rig->flow->sink, 0);
}

static void end_rig(struct rig *rig)
{
    struct entry *entry;
    unsigned e;

    switch (dice(7)) {
    case 0: tell("loop_fd_close", rig, loop_fd_close(rig->fd)); break;
    case 1: NEW("loop_fd_take"), STARTED(loop_fd_take(rig->fd, on_taken, entry)); break;
    case 2: NEW("loop_shutdown"), STARTED(loop_shutdown(&rig->flow->sink, on_end, entry)); break;
    case 3: tell("peer shuts down", rig, shutdown(rig->peer, SHUT_WR)); break;
    case 4: NEW("loop_op_close"), STARTED(loop_op_close(NULL, rig->fd, on_end, entry)); break;
    case 5: NEW("loop_op_shutdown"), STARTED(loop_op_shutdown(NULL, rig->fd, (int)dice(3), on_end, entry)); break;
    default:
        if (dice(2)) {
            loop_scope_deadline(rig->scope, 0);
        } else {
            loop_scope_cancel(rig->scope);
        }
        break;
    }
}

static void leave(struct rig *rig)
{
    if (!rig->is_leaving) {
        rig->is_leaving = true;
        loop_scope_cancel(rig->scope);
        loop_scope_unhold(rig->scope);
    }
}

/* In two steps: what the cancel ends, and what the peer's end would, is not to be a race. */
static void replace(struct rig *rig)
{
    if (rig->is_leaving) {
        close(rig->peer);
        open_rig(rig);
    } else {
        leave(rig);
    }
}

static void step(struct rig *rig)
{
    unsigned what = dice(100);

    if (rig->is_leaving) {
        replace(rig);
    } else if (what < 20) {
        peer_sends(rig);
    } else if (what < 28) {
        peer_reads(rig);
    } else if (what < 46) {
        if (has_open(rig, "loop_poll")) {
            peer_sends(rig);
        } else if (rig->reader) {
            read_buffered(rig);
        } else {
            read_some(rig);
        }
    } else if (what < 60 && !has_open(rig, "loop_poll")) {
        write_some(rig);
    } else if (what < 64 && !has_open(rig, "loop_poll")) {
        copy_some(rig);
    } else if (what < 72) {
        use_file(rig);
    } else if (what < 80) {
        use_path(rig);
    } else if (what < 84) {
        use_loop(rig);
    } else if (what < 93) {
        cancel_one(rig);
    } else if (what < 95) {
        rig->reader = rig->reader || rig->is_low ? rig->reader : loop_reader_create(&rig->flow->source, 0);
    } else if (what < 98) {
        end_rig(rig);
    } else {
        replace(rig);
    }
}

static void next(void *unused, int64_t result);

/* What the one thread of the pool has been given before it has done when this work is done. */
static void settle(void *unused, int64_t result)
{
    static unsigned n_settled;

    (void)unused;
    (void)result;
    n_settled = (n_settled + 1) % 6;
    if (n_settled == 0) {
        next(NULL, 0);
    } else if (n_settled % 2) {
        CHECK(turns(env_->scope, 5, settle, NULL) != 0);
    } else {
        CHECK(loop_work(env_->scope, work_thirteen, NULL, settle, NULL) != 0);
    }
}

/* In two steps as well. */
static void leave_all(void)
{
    for (int i = 0; i < RIGS; i++) {
        leave(&rigs[i]);
    }
    has_left = true;
    settle(NULL, 0);
}

static void stop(void)
{
    for (int i = 0; i < RIGS; i++) {
        close(rigs[i].peer);
    }
    loop_stop(env_->loop, 0);
}

static void next(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    if (n_finite == 0 && steps_left == 0) {
        has_left ? stop() : leave_all();
        return;
    }
    if (n_finite == 0) {
        steps_left--;
        step(&rigs[dice(RIGS)]);
    }
    settle(NULL, 0);
}

static void begin(void *unused, int64_t result)
{
    (void)unused;
    CHECK_IS(result, 0);
    for (int i = 0; i < RIGS; i++) {
        open_rig(&rigs[i]);
    }
    next(NULL, 0);
}

static void open_file(void *unused, int64_t result)
{
    struct loop_open_options options = {.access = LOOP_ACCESS_READ_WRITE, .create = LOOP_CREATE_EXCLUSIVE};

    (void)unused;
    CHECK_IS(result, 0);
    CHECK(loop_fs_open(NULL, dir, "file", &options, &file, begin, NULL) != 0);
}

static int start(struct loop_env *env, void *path)
{
    env_ = env;
    CHECK(loop_fs_open_dir(NULL, env->fs, path, &dir, open_file, NULL) != 0);
    return 0;
}

static void run_on(enum loop_backend backend, unsigned seed)
{
    const char *path = make_directory();
    char copy[64];

    snprintf(copy, sizeof copy, "%s", path);
    dice_state = seed;
    steps_left = HAS_SANITIZER ? 500 : 1500;
    n_finite = 0;
    peer_bytes = 0;
    has_left = false;
    history->n = 0;
    memset(jobs, 0, sizeof jobs);
    CHECK_IS(run_with(&(struct loop_options){.backend = backend, .pool_threads = 1}, start, copy), 0);
    remove_directory(copy);
}

static void compare(unsigned seed)
{
    const struct history *one = &histories[0], *other = &histories[1];

    for (unsigned i = 0; i < one->n && i < other->n; i++) {
        const struct entry *a = &one->entries[i], *b = &other->entries[i];
        if (strcmp(a->what, b->what) != 0 || a->rig != b->rig || a->result != b->result || a->sum != b->sum ||
            !a->is_over || !b->is_over) {
            ck_abort_msg("seed %u, entry %u of rig %u: %s ended with %lld (bytes %x) on io_uring, %s of rig %u with "
                         "%lld (bytes %x) on epoll",
                         seed, i, a->rig, a->what, (long long)a->result, (unsigned)a->sum, b->what, b->rig,
                         (long long)b->result, (unsigned)b->sum);
        }
    }
    CHECK_IS(one->n, other->n);
}

TEST(p17_a_program_by_the_dice_ends_alike_on_both)
{
    if (!NORIA_URING || probe_uring() < 0 || is_hard("short") || is_hard("refuse")) {
        return; /* there is only one, or no two are alike */
    }
    for (unsigned seed = 1; seed <= 8; seed++) {
        history = &histories[0];
        run_on(LOOP_BACKEND_URING, seed);
        history = &histories[1];
        run_on(LOOP_BACKEND_EPOLL, seed);
        compare(seed);
    }
}
