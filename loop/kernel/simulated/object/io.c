/* SPDX-License-Identifier: ISC
 *
 * Reading and writing: what all kinds of files have in common, with waiting, short moves and false readiness.
 */
#include <loop/kernel/simulated/object/io.h>
#include <loop/kernel/simulated/object/signal.h>

#include <loop/kernel/file.h>
#include <loop/kernel/simulated/machine/choice.h>
#include <loop/kernel/simulated/object/process.h>

#include <limits.h>
#include <sys/epoll.h>

#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif

enum {
    AGAIN_NS = 1000,  /* how long false unreadiness lasts */
    SECTOR_SIZE = 512 /* O_DIRECT moves whole sectors */
};
#define MOST_BYTES ((size_t)0x7ffff000) /* of one call */
#define KNOWN_FLAGS (RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND | RWF_NOAPPEND)

/* ---- one move ---- */

/* Part of a move: `len` bytes from byte `skip` on. Those of one vector need no copy of the vectors. */
struct part {
    struct loop_sim_move move;
    struct iovec one;
    struct iovec *many;
};

static void part_init(struct part *part, const struct loop_sim_move *move, size_t skip, size_t len)
{
    *part = (struct part){.move = *move};
    size_t at = 0;
    while (at < move->n_iov && skip >= move->iov[at].iov_len) {
        skip -= move->iov[at++].iov_len;
    }
    struct iovec *to = &part->one;
    if (at < move->n_iov && move->iov[at].iov_len - skip < len) {
        to = part->many = loop_sim_alloc((move->n_iov - at) * sizeof *to);
    }
    size_t n = 0;
    for (; at < move->n_iov && len > 0; at++) {
        size_t room = move->iov[at].iov_len - skip;
        to[n] = (struct iovec){(char *)move->iov[at].iov_base + skip, room < len ? room : len};
        len -= to[n++].iov_len;
        skip = 0;
    }
    part->move.iov = to;
    part->move.n_iov = n;
}

static void part_finish(struct part *part)
{
    loop_sim_free(part->many);
}

/* ---- moves that are shorter by choice ---- */

static void wake_again(struct loop_sim_event *event)
{
    struct loop_sim_file *file = LOOP_CONTAINER(event, struct loop_sim_file, again);
    uint32_t events = loop_sim_file_poll(file);
    if (events) {
        loop_sim_file_changed(file, events);
    }
}

void loop_sim_file_wake_later(struct loop_sim_file *file)
{
    if (!file->kind->is_always_ready) {
        loop_sim_event_set(&file->again, loop_sim_sum_ns(file->node->world->now_ns, AGAIN_NS), wake_again);
    }
}

size_t loop_sim_file_choose_length(struct loop_sim_file *file, enum loop_sim_point point, size_t len)
{
    if (len > MOST_BYTES) {
        len = MOST_BYTES;
    }
    if (len <= 1 || len <= file->whole_bytes) {
        return len;
    }
    size_t chosen = loop_sim_choose_length(point, len);
    if (file->flags & O_DIRECT && chosen < len) {
        chosen = chosen < SECTOR_SIZE ? len : chosen - chosen % SECTOR_SIZE;
    }
    if (chosen < file->whole_bytes) {
        chosen = file->whole_bytes;
    }
    if (chosen < len) {
        loop_sim_file_wake_later(file);
    }
    return chosen;
}

bool loop_sim_file_is_falsely_unready(struct loop_sim_file *file, uint32_t event)
{
    if (!(loop_sim_file_poll(file) & event) || !loop_sim_happens(LOOP_SIM_FALSE_READY)) {
        return false;
    }
    loop_sim_file_wake_later(file);
    return true;
}

/* As loop_sim_file_is_falsely_unready, of nonblocking streams of bytes only. */
static bool is_unready(struct loop_sim_file *file, uint32_t event)
{
    return file->flags & O_NONBLOCK && !file->kind->is_always_ready && file->whole_bytes != SIZE_MAX &&
           loop_sim_file_is_falsely_unready(file, event);
}

/* ---- reads and writes ---- */

/* Whether a move would end behind the largest offset that there is. Vectors are cut before this is looked at. */
static bool is_beyond_offsets(const struct loop_sim_file *file, const struct loop_sim_move *move)
{
    enum { MOST_OF_VECTORS = 0x7ffff000 };
    int64_t offset = move->offset == LOOP_SIM_POSITION ? file->position : move->offset;
    size_t len = loop_sim_vectors_length(move->iov, move->n_iov);
    len = move->n_iov > 1 && len > MOST_OF_VECTORS ? MOST_OF_VECTORS : len;
    return len > (uint64_t)(INT64_MAX - offset);
}

/* Returns 0, or the error of a move that is refused before it is tried. `refused` is the access mode that does not
 * allow it. */
static int check(const struct loop_sim_file *file, const struct loop_sim_move *move, int refused)
{
    if (file->flags & O_PATH) {
        return -EBADF;
    }
    if (move->offset < LOOP_SIM_POSITION) {
        return -EINVAL;
    }
    if (move->offset != LOOP_SIM_POSITION && !file->kind->has_offsets) {
        return -ESPIPE;
    }
    if ((file->flags & O_ACCMODE) == refused) {
        return -EBADF;
    }
    if (!(refused == O_WRONLY ? file->kind->read : file->kind->write) || is_beyond_offsets(file, move)) {
        return -EINVAL;
    }
    return move->flags & ~KNOWN_FLAGS ? -EOPNOTSUPP : 0;
}

/* Reads or writes `len` bytes from byte `skip` of the vectors on. */
static ssize_t move_part(struct loop_sim_file *file, const struct loop_sim_move *move, size_t skip, size_t len,
                         bool is_write)
{
    ssize_t (*call)(struct loop_sim_file *, const struct loop_sim_move *) =
        is_write ? file->kind->write : file->kind->read;
    if (skip == 0 && len == loop_sim_vectors_length(move->iov, move->n_iov)) {
        return call(file, move);
    }
    struct part part;
    part_init(&part, move, skip, len);
    if (move->offset != LOOP_SIM_POSITION) {
        part.move.offset += (int64_t)skip;
    }
    ssize_t result = call(file, &part.move);
    part_finish(&part);
    return result;
}

ssize_t loop_sim_file_read(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    int error = check(file, move, O_WRONLY);
    if (error) {
        return error;
    }
    if (is_unready(file, EPOLLIN)) {
        return -EAGAIN;
    }
    if (loop_sim_vectors_are_bad(move->iov, move->n_iov) && loop_sim_file_poll(file) & EPOLLIN) {
        return -EFAULT;
    }
    size_t len = loop_sim_vectors_length(move->iov, move->n_iov);
    return move_part(file, move, 0, loop_sim_file_choose_length(file, LOOP_SIM_SHORT_READ, len), false);
}

ssize_t loop_sim_file_write(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    int error = check(file, move, O_RDONLY);
    if (error) {
        return error;
    }
    if (is_unready(file, EPOLLOUT)) {
        return -EAGAIN;
    }
    if (loop_sim_vectors_are_bad(move->iov, move->n_iov) && loop_sim_file_poll(file) & EPOLLOUT) {
        return -EFAULT;
    }
    size_t len = loop_sim_vectors_length(move->iov, move->n_iov);
    return move_part(file, move, 0, loop_sim_file_choose_length(file, LOOP_SIM_SHORT_WRITE, len), true);
}

uint32_t loop_sim_file_poll(struct loop_sim_file *file)
{
    return file->kind->is_always_ready || !file->kind->poll ? EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM
                                                            : file->kind->poll(file);
}

/* ---- waiting ---- */

void loop_sim_file_delay(struct loop_sim_file *file)
{
    int64_t latency_ns = file->kind->latency ? file->kind->latency(file) : 0;
    if (latency_ns == 0) {
        return;
    }
    struct loop_sim_hold *hold = loop_sim_file_hold(file);
    int64_t until_ns = loop_sim_sum_ns(file->node->world->now_ns, latency_ns);
    while (loop_sim_wait(NULL, until_ns) != -ETIMEDOUT) {
        /* A disk is not interrupted. */
    }
    loop_sim_file_let_go(hold);
}

ssize_t loop_sim_file_wait(struct loop_sim_file *file, bool may_wait,
                           ssize_t (*attempt)(struct loop_sim_file *file, void *arg), void *arg)
{
    ssize_t result = attempt(file, arg);
    if (result != -EAGAIN || !may_wait) {
        return result;
    }
    struct loop_sim_hold *hold = loop_sim_file_hold(file);
    do {
        result = loop_sim_wait(&file->queue, LOOP_SIM_NEVER);
        if (result == -EINTR && loop_sim_signals_handle()) {
            result = 0;
        }
        if (result == 0) {
            result = attempt(file, arg);
        }
    } while (result == -EAGAIN);
    loop_sim_file_let_go(hold);
    return result;
}

/* ---- read and write of the door ---- */

static ssize_t attempt_read(struct loop_sim_file *file, void *arg)
{
    return loop_sim_file_read(file, arg);
}

/* A write that waits: it goes on until all the bytes that were chosen are written. */
struct writing {
    const struct loop_sim_move *move;
    size_t done, len;
};

static ssize_t attempt_write(struct loop_sim_file *file, void *arg)
{
    struct writing *writing = arg;
    ssize_t n = move_part(file, writing->move, writing->done, writing->len - writing->done, true);
    if (n < 0) {
        return n;
    }
    writing->done += (size_t)n;
    return n > 0 && writing->done < writing->len && !file->kind->is_always_ready ? -EAGAIN : n;
}

static ssize_t write_waiting(struct loop_sim_file *file, const struct loop_sim_move *move)
{
    int error = check(file, move, O_RDONLY);
    if (error) {
        return error;
    }
    size_t len = loop_sim_vectors_length(move->iov, move->n_iov);
    struct writing writing = {.move = move, .len = loop_sim_file_choose_length(file, LOOP_SIM_SHORT_WRITE, len)};
    ssize_t result = loop_sim_file_wait(file, true, attempt_write, &writing);
    return writing.done > 0 ? (ssize_t)writing.done : result;
}

/* Makes the call of a descriptor. */
static ssize_t move_by(int number, struct loop_sim_move move, bool is_write)
{
    struct loop_sim_file *file = loop_sim_file_open_at(number);
    if (!file) {
        return -EBADF;
    }
    bool may_wait = !(file->flags & O_NONBLOCK) && !(move.flags & RWF_NOWAIT);
    if (!(move.flags & RWF_NOWAIT)) {
        loop_sim_file_delay(file);
    }
    if (is_write) {
        return may_wait ? write_waiting(file, &move) : loop_sim_file_write(file, &move);
    }
    return loop_sim_file_wait(file, may_wait, attempt_read, &move);
}

/* As move_by, with the checks of vectors. */
static ssize_t move_vectors(int number, struct loop_sim_move move, int count, bool is_write)
{
    struct loop_sim_file *file = loop_sim_file_open_at(number);
    if (!file) {
        return -EBADF;
    }
    int error = check(file, &move, is_write ? O_RDONLY : O_WRONLY);
    if (error && error != -EOPNOTSUPP) {
        return error;
    }
    if (count < 0 || count > IOV_MAX) {
        return -EINVAL;
    }
    move.n_iov = (size_t)count;
    size_t len = 0;
    for (int i = 0; i < count; i++) {
        if (move.iov[i].iov_len > SSIZE_MAX) {
            return -EINVAL;
        }
        len += move.iov[i].iov_len;
    }
    return len == 0 ? 0 : move_by(number, move, is_write);
}

ssize_t loop_kernel_read(int number, void *data, size_t len)
{
    struct iovec one = {data, len};
    return loop_sim_return(move_by(number, (struct loop_sim_move){&one, 1, LOOP_SIM_POSITION, 0, false}, false));
}

ssize_t loop_kernel_write(int number, const void *data, size_t len)
{
    struct iovec one = {(void *)(uintptr_t)data, len};
    return loop_sim_return(move_by(number, (struct loop_sim_move){&one, 1, LOOP_SIM_POSITION, 0, false}, true));
}

ssize_t loop_kernel_pread(int number, void *data, size_t len, off_t offset)
{
    struct iovec one = {data, len};
    return loop_sim_return(offset < 0 ? -EINVAL
                                      : move_by(number, (struct loop_sim_move){&one, 1, offset, 0, false}, false));
}

ssize_t loop_kernel_pwrite(int number, const void *data, size_t len, off_t offset)
{
    struct iovec one = {(void *)(uintptr_t)data, len};
    return loop_sim_return(offset < 0 ? -EINVAL
                                      : move_by(number, (struct loop_sim_move){&one, 1, offset, 0, false}, true));
}

ssize_t loop_kernel_readv(int number, const struct iovec *vectors, int count)
{
    return loop_kernel_preadv2(number, vectors, count, LOOP_SIM_POSITION, 0);
}

ssize_t loop_kernel_writev(int number, const struct iovec *vectors, int count)
{
    return loop_kernel_pwritev2(number, vectors, count, LOOP_SIM_POSITION, 0);
}

ssize_t loop_kernel_preadv(int number, const struct iovec *vectors, int count, off_t offset)
{
    return offset < 0 ? loop_sim_return(-EINVAL) : loop_kernel_preadv2(number, vectors, count, offset, 0);
}

ssize_t loop_kernel_pwritev(int number, const struct iovec *vectors, int count, off_t offset)
{
    return offset < 0 ? loop_sim_return(-EINVAL) : loop_kernel_pwritev2(number, vectors, count, offset, 0);
}

ssize_t loop_kernel_preadv2(int number, const struct iovec *vectors, int count, off_t offset, int flags)
{
    return loop_sim_return(
        move_vectors(number, (struct loop_sim_move){vectors, 0, offset, flags, false}, count, false));
}

ssize_t loop_kernel_pwritev2(int number, const struct iovec *vectors, int count, off_t offset, int flags)
{
    return loop_sim_return(move_vectors(number, (struct loop_sim_move){vectors, 0, offset, flags, false}, count, true));
}

/* ---- the position ---- */

off_t loop_kernel_lseek(int number, off_t offset, int whence)
{
    struct loop_sim_file *file = loop_sim_file_open_at(number);
    if (!file) {
        return loop_sim_return(-EBADF);
    }
    return loop_sim_return(file->kind->seek ? file->kind->seek(file, offset, whence) : -ESPIPE);
}
