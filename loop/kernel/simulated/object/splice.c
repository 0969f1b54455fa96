/* SPDX-License-Identifier: ISC
 *
 * splice(2): moves bytes between a pipe and anything else, or another pipe. sendfile(2): moves bytes from a file to
 * anything else.
 */
#include <loop/kernel/simulated/object/io.h>
#include <loop/kernel/simulated/object/pipe.h>
#include <loop/kernel/simulated/object/signal.h>

#include <loop/kernel/file.h>
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/object/process.h>

#include <assert.h>
#include <sys/epoll.h>

/* One side of a splice. */
struct side {
    struct loop_sim_file *file;
    off64_t *offset; /* NULL: the position of the file, or a pipe */
    bool is_pipe;
};

struct splice {
    struct side from, to;
    size_t len;
    unsigned flags;
    struct loop_sim_file *busy; /* which file an attempt would have to wait for */
};

/* ---- attempts, which do not wait ---- */

static struct loop_sim_move move_of(const struct side *side, struct iovec *one, size_t done)
{
    int64_t offset = side->offset ? *side->offset + (int64_t)done : LOOP_SIM_POSITION;
    return (struct loop_sim_move){.iov = one, .n_iov = 1, .offset = offset};
}

/* Writes to the other side what the pipe has, a piece at a time. */
static ssize_t pour(struct splice *splice)
{
    size_t done = 0;
    ssize_t n = 0;
    while (done < splice->len) {
        size_t len;
        bool has_ended;
        const void *piece = loop_sim_pipe_peek(splice->from.file, &len, &has_ended);
        if (len == 0) {
            n = has_ended ? 0 : -EAGAIN;
            splice->busy = splice->from.file;
            break;
        }
        struct iovec one = {(void *)(uintptr_t)piece, len < splice->len - done ? len : splice->len - done};
        struct loop_sim_move move = move_of(&splice->to, &one, done);
        move.has_more = (splice->flags & SPLICE_F_MORE) != 0;
        n = loop_sim_file_write(splice->to.file, &move);
        if (n <= 0) {
            splice->busy = splice->to.file;
            break;
        }
        loop_sim_pipe_drop(splice->from.file, (size_t)n, true);
        done += (size_t)n;
        if ((size_t)n < one.iov_len) {
            break;
        }
    }
    return done > 0 ? (ssize_t)done : n;
}

/* Returns how many bytes the pipe of the other side has room for, or a negative errno. */
static ssize_t room(struct splice *splice)
{
    bool has_readers;
    size_t len = loop_sim_pipe_room(splice->to.file, &has_readers);
    if (!has_readers) {
        loop_sim_signal_pipe(splice->to.file->node);
        return -EPIPE;
    }
    splice->busy = splice->to.file;
    return len > 0 ? (ssize_t)(len < splice->len ? len : splice->len) : -EAGAIN;
}

/* Reads from the other side into the pipe. */
static ssize_t fill(struct splice *splice)
{
    ssize_t n = room(splice);
    if (n < 0) {
        return n;
    }
    struct iovec one = {loop_sim_alloc((size_t)n), (size_t)n};
    struct loop_sim_move move = move_of(&splice->from, &one, 0);
    n = loop_sim_file_read(splice->from.file, &move);
    if (n > 0) {
        loop_sim_pipe_append(splice->to.file, one.iov_base, (size_t)n);
    }
    splice->busy = splice->from.file;
    loop_sim_free(one.iov_base);
    return n;
}

static ssize_t between_pipes(struct splice *splice)
{
    size_t done = 0, len;
    bool has_ended;
    const void *piece = loop_sim_pipe_peek(splice->from.file, &len, &has_ended);
    if (len == 0) {
        splice->busy = splice->from.file;
        return has_ended ? 0 : -EAGAIN;
    }
    ssize_t n = room(splice);
    if (n < 0) {
        return n;
    }
    bool has_readers = true;
    while (len > 0 && done < splice->len && has_readers && loop_sim_pipe_room(splice->to.file, &has_readers) > 0) {
        if (len > splice->len - done) {
            len = splice->len - done;
        }
        loop_sim_pipe_append(splice->to.file, piece, len);
        loop_sim_pipe_drop(splice->from.file, len, true);
        done += len;
        piece = loop_sim_pipe_peek(splice->from.file, &len, &has_ended);
    }
    return (ssize_t)done;
}

/* A side has been refused by choice though both are ready. Whoever waits cannot know which one: an edge comes from
 * both. */
static void wake_both_later(const struct splice *splice)
{
    if (loop_sim_file_poll(splice->from.file) & EPOLLIN && loop_sim_file_poll(splice->to.file) & EPOLLOUT) {
        loop_sim_file_wake_later(splice->from.file);
        loop_sim_file_wake_later(splice->to.file);
    }
}

static ssize_t attempt(struct splice *splice)
{
    ssize_t n = splice->from.is_pipe && splice->to.is_pipe ? between_pipes(splice)
                : splice->from.is_pipe                     ? pour(splice)
                                                           : fill(splice);
    struct side *side = splice->from.is_pipe ? &splice->to : &splice->from;
    if (n > 0 && side->offset) {
        *side->offset += n;
    }
    if (n == -EAGAIN) {
        wake_both_later(splice);
    }
    return n;
}

/* ---- the call ---- */

static bool is_packets(const struct loop_sim_file *file)
{
    return file->whole_bytes == SIZE_MAX && !file->kind->is_socket;
}

static bool is_directory(struct loop_sim_file *file)
{
    struct stat status;
    return file->kind->is_always_ready && file->kind->status(file, &status) == 0 && S_ISDIR(status.st_mode);
}

/* Returns 0, or the error of a splice that is refused before it is tried. */
static int check(const struct splice *splice)
{
    const struct side *from = &splice->from, *to = &splice->to;
    if ((from->file->flags & O_ACCMODE) == O_WRONLY || (to->file->flags & O_ACCMODE) == O_RDONLY) {
        return -EBADF;
    }
    if (!from->is_pipe && !to->is_pipe) {
        return -EINVAL;
    }
    if ((from->is_pipe && from->offset) || (to->is_pipe && to->offset)) {
        return -ESPIPE;
    }
    if (from->is_pipe && to->is_pipe) {
        return loop_sim_pipe_is_same(from->file, to->file) ? -EINVAL : 0;
    }
    const struct side *other = from->is_pipe ? to : from;
    bool is_refused =
        is_packets(other->file) || is_directory(other->file) || (other->offset && !other->file->kind->has_offsets) ||
        (other == to ? !other->file->kind->write || other->file->flags & O_APPEND : !other->file->kind->read);
    return is_refused ? -EINVAL : 0;
}

static bool may_wait(const struct splice *splice)
{
    assert(splice->busy);
    bool is_pipe = splice->busy->kind == &loop_sim_pipe_kind;
    bool any_waits_not = (splice->from.is_pipe && splice->from.file->flags & O_NONBLOCK) ||
                         (splice->to.is_pipe && splice->to.file->flags & O_NONBLOCK);
    return is_pipe ? !any_waits_not && !(splice->flags & SPLICE_F_NONBLOCK) : !(splice->busy->flags & O_NONBLOCK);
}

static ssize_t run(struct splice *splice)
{
    ssize_t result = attempt(splice);
    if (result != -EAGAIN || !may_wait(splice)) {
        return result;
    }
    struct loop_sim_hold *hold = loop_sim_hold_create(2);
    hold->files[0] = loop_sim_file_ref(splice->from.file);
    hold->files[1] = loop_sim_file_ref(splice->to.file);
    while (result == -EAGAIN && may_wait(splice)) {
        result = loop_sim_wait(&splice->busy->queue, LOOP_SIM_NEVER);
        if (result == -EINTR && loop_sim_signals_handle()) {
            result = 0;
        }
        if (result == 0) {
            result = attempt(splice);
        }
    }
    loop_sim_file_let_go(hold);
    return result;
}

static ssize_t move_bytes(struct splice *splice)
{
    if (splice->len == 0) {
        return 0;
    }
    if (splice->flags & ~(SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT)) {
        return -EINVAL;
    }
    if (!splice->from.file || !splice->to.file) {
        return -EBADF;
    }
    splice->from.is_pipe = splice->from.file->kind == &loop_sim_pipe_kind;
    splice->to.is_pipe = splice->to.file->kind == &loop_sim_pipe_kind;
    int error = check(splice);
    if (error) {
        return error;
    }
    size_t len = loop_sim_choose_length(LOOP_SIM_SHORT_WRITE, splice->len);
    if (len < splice->len) {
        loop_sim_file_wake_later(splice->from.file);
        loop_sim_file_wake_later(splice->to.file);
    }
    splice->len = len;
    return run(splice);
}

ssize_t loop_kernel_splice(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t len, unsigned flags)
{
    struct splice splice = {
        .from = {.file = loop_sim_file_open_at(from), .offset = from_offset},
        .to = {.file = loop_sim_file_open_at(to), .offset = to_offset},
        .len = len,
        .flags = flags,
    };
    return loop_sim_return(move_bytes(&splice));
}

/* ---- sendfile ---- */

#define SENT_BYTES ((size_t)256 << 10) /* at most by one sendfile */

struct sending {
    struct loop_sim_file *from, *to;
    off64_t *offset; /* NULL: the position of `from` */
    size_t len;
};

/* Reads a piece, and gives back what could not be written. */
static ssize_t attempt_send(struct loop_sim_file *to, void *arg)
{
    struct sending *sending = arg;
    size_t len = sending->len < SENT_BYTES ? sending->len : SENT_BYTES;
    struct iovec one = {loop_sim_alloc(len), len};
    struct loop_sim_move move = {
        .iov = &one, .n_iov = 1, .offset = sending->offset ? *sending->offset : LOOP_SIM_POSITION};
    ssize_t n = loop_sim_file_read(sending->from, &move), written = n;
    if (n > 0) {
        one.iov_len = (size_t)n;
        written =
            loop_sim_file_write(to, &(struct loop_sim_move){.iov = &one, .n_iov = 1, .offset = LOOP_SIM_POSITION});
    }
    loop_sim_free(one.iov_base);
    if (sending->offset) {
        *sending->offset += written > 0 ? written : 0;
    } else if (n > 0) {
        sending->from->position -= n - (written > 0 ? written : 0);
    }
    return written;
}

static int check_sending(const struct sending *sending)
{
    if (!sending->from || !sending->to || (sending->from->flags & O_ACCMODE) == O_WRONLY ||
        (sending->to->flags & O_ACCMODE) == O_RDONLY || (sending->from->flags | sending->to->flags) & O_PATH) {
        return -EBADF;
    }
    bool is_refused = !sending->from->kind->has_offsets || !sending->from->kind->read || !sending->to->kind->write ||
                      is_directory(sending->from) || sending->to->flags & O_APPEND ||
                      (sending->offset && *sending->offset < 0);
    return is_refused ? -EINVAL : 0;
}

ssize_t loop_kernel_sendfile(int to, int from, off_t *offset, size_t len)
{
    struct sending sending = {loop_sim_file_open_at(from), loop_sim_file_open_at(to), offset, len};
    int error = check_sending(&sending);
    if (error || len == 0) {
        return loop_sim_return(error);
    }
    loop_sim_file_delay(sending.from);
    return loop_sim_return(loop_sim_file_wait(sending.to, !(sending.to->flags & O_NONBLOCK), attempt_send, &sending));
}
