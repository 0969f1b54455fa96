/* SPDX-License-Identifier: ISC
 *
 * The state of a write to a descriptor.
 */
#include <loop/core/fd.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/region.h>
#include <loop/flow/descriptor/write_state.h>
#include <loop/kernel/memory.h>

#include <errno.h>
#include <string.h>

void loop_write_advance(struct loop *loop, struct loop_fd *fd, struct loop_write_state *write, size_t n)
{
    const struct iovec *iov = write->iov;
    assert(n <= write->total - write->done);
    write->done += n;
    fd->write_error = 0; /* overcome: there is room on the disk again, say */
    loop_write_leave_queue(loop, fd, n, 0);
    if (!iov) {
        return;
    }
    while (write->at < write->n_iov && n >= iov[write->at].iov_len - write->at_offset) {
        n -= iov[write->at].iov_len - write->at_offset;
        write->at_offset = 0;
        write->at++;
    }
    write->at_offset += n;
    assert(n == 0 || write->at < write->n_iov);
}

/* Whether the write's memory is a chunk. Otherwise it is NULL, or a block in which the bytes begin. */
static bool has_chunk(const struct loop_write_state *write)
{
    return write->memory && write->memory != write->single.iov_base;
}

/* Copies what is left of a write to the same place of a block of its size, and gives its chunk back. */
static void move_out(struct loop *loop, struct loop_write_state *write)
{
    char *moved = loop_kernel_malloc(write->total ? write->total : 1);
    if (!moved) {
        return;
    }
    memcpy(moved + write->done, (char *)write->single.iov_base + write->done, write->total - write->done);
    struct loop_chunk *chunk = write->memory;
    write->single.iov_base = moved;
    write->memory = moved;
    loop_region_give(loop, chunk);
}

void loop_write_make_room(struct loop *loop, struct loop_write_state *write)
{
    if (has_chunk(write) && loop_region_is_scarce(&loop->region)) {
        move_out(loop, write);
    }
}

void loop_write_free(struct loop *loop, const struct loop_write_state *write)
{
    if (has_chunk(write)) {
        loop_region_give(loop, write->memory);
    } else {
        loop_kernel_free(write->memory);
    }
}

/* Copies the vectors of a packet into one buffer: a packet is sent by one call, which takes LOOP_GATHER_MAX vectors.
 * False when there is no memory. */
static bool make_single(struct loop_write_state *write)
{
    char *bytes = loop_kernel_malloc(write->total ? write->total : 1), *end = bytes;
    if (!bytes) {
        return false;
    }
    for (size_t i = 0; i < write->n_iov; i++) {
        if (write->iov[i].iov_len > 0) {
            memcpy(end, write->iov[i].iov_base, write->iov[i].iov_len);
            end += write->iov[i].iov_len;
        }
    }
    *write = (struct loop_write_state){.single = {bytes, write->total}, .total = write->total, .memory = bytes};
    return true;
}

const struct loop_write_state *loop_write_as_packet(const struct loop_write_state *write,
                                                    struct loop_write_state *packet)
{
    *packet = *write;
    return write->n_iov <= LOOP_GATHER_MAX ? write : make_single(packet) ? packet : NULL;
}

int64_t loop_write_close(struct loop *loop, const struct loop_job *job, struct loop_write_state *write, int64_t result)
{
    assert(write->done <= write->total);
    size_t left = write->total - write->done;
    loop_write_leave_queue(loop, job->fd, left, result);
    loop_write_free(loop, write);
    bool tells_count = left == 0 || (job->fn && write->done > 0);
    return tells_count ? (int64_t)write->done : result < 0 ? result : -EIO;
}

int loop_write_gather(const struct loop_write_state *write, struct iovec *iov, int n)
{
    const struct iovec *from = loop_write_vectors(write);
    size_t left = loop_write_n_left(write), offset = write->iov ? write->at_offset : write->done;
    for (from += write->iov ? write->at : 0; left > 0 && n < LOOP_GATHER_MAX; from++, left--, offset = 0) {
        if (from->iov_len > offset) {
            iov[n++] = (struct iovec){(char *)from->iov_base + offset, from->iov_len - offset};
        }
    }
    return n;
}

void loop_write_note_failure(struct loop_fd *fd, struct loop_job *job)
{
    job->has_failed = true;
    fd->has_failed = true;
}

/* Whether the job is a copy of a file that waits for its turn to read: the turn to write is what it waits for next. */
static bool comes_to_line(const struct loop_job *job)
{
    return job->kind->writes_second && job->kind->turn && job->kind->lose && job->where == LOOP_AT_WAIT;
}

static struct loop_job *first_to_lose(struct loop_fd *fd, const struct loop_job *failed)
{
    for (struct loop_list *node = loop_line_first(&fd->writers); node; node = loop_line_next(node)) {
        struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, link);
        if (job->kind->lose && job != failed) {
            return job;
        }
    }
    struct loop_job *second = loop_job_oldest_second(fd);
    while (second && (second == failed || !comes_to_line(second))) {
        second = loop_job_newer_second(second);
    }
    return second;
}

/* Ends all in line but `failed`. Looks from the start each time: the end of one may fail its scope, which cancels
 * others. */
static void end_others(struct loop *loop, struct loop_fd *fd, const struct loop_job *failed, int64_t error)
{
    struct loop_job *job;
    while ((job = first_to_lose(fd, failed))) {
        job->kind->lose(loop, job, error);
    }
}

void loop_write_end_line(struct loop *loop, struct loop_fd *fd, int64_t error)
{
    end_others(loop, fd, NULL, error);
}

void loop_write_lose_sent(struct loop *loop, struct loop_fd *fd, struct loop_job *job, int64_t result)
{
    bool leaves_gap = !job->is_cancelled;
    if (leaves_gap) {
        result = loop->broken.error;
        loop_write_note_failure(fd, job);
    }
    job->kind->lose(loop, job, result);
    if (leaves_gap) {
        loop_write_end_line(loop, fd, result);
    }
}

void loop_write_fail(struct loop *loop, struct loop_fd *fd, struct loop_job *job, int64_t error)
{
    loop_write_leave_queue(loop, fd, 0, error);
    if (fd->is_byte_stream || fd->is_regular) {
        loop_write_note_failure(fd, job);
        end_others(loop, fd, job, error);
    }
}

/* Returns a job that has failed to write to the descriptor and has not been resumed, or NULL. */
static const struct loop_job *failed_job(struct loop_fd *fd)
{
    for (struct loop_hnode *node = fd->jobs.first; node; node = node->next) {
        const struct loop_job *job = LOOP_CONTAINER(node, struct loop_job, in_fd);
        if (job->has_failed && !job->kind->writes_second) {
            return job;
        }
    }
    const struct loop_job *second = loop_job_oldest_second(fd);
    while (second && !(second->has_failed && second->kind->writes_second)) {
        second = loop_job_newer_second(second);
    }
    return second;
}

/* A write in front of one that cannot be watched may have succeeded after that one failed. */
int64_t loop_write_error_ahead(struct loop_fd *fd)
{
    const struct loop_job *failed = fd->has_failed ? failed_job(fd) : NULL;
    fd->has_failed = failed != NULL;
    assert(!failed || failed->why || fd->write_error < 0);
    return !failed ? 0 : failed->why ? failed->why : fd->write_error;
}

static const struct loop_job_kind lost_kind = {.name = "refused write", .cancel = loop_job_cancel_here};

loop_job loop_write_lose(struct loop_fd *fd, int64_t error, loop_fn *fn, void *arg)
{
    loop_job id;
    struct loop_job *job = loop_job_start(fd->scope, fd, &lost_kind, fn, arg, &id);
    if (job) {
        loop_job_complete(fd->scope->loop, job, error);
    }
    return id;
}

static void refused_resumed(struct loop_fd *fd);
static const struct loop_job_kind refused_kind = {
    .name = "refused write", .cancel = loop_job_cancel_here, .resumed = refused_resumed};
static const struct loop_job_kind refused_behind_kind = {.name = "refused write", .cancel = loop_job_cancel_here};

static void refused_resumed(struct loop_fd *fd)
{
    fd->has_overflowed = false;
    for (struct loop_hnode *node = fd->jobs.first; node && !fd->has_overflowed; node = node->next) {
        fd->has_overflowed = LOOP_CONTAINER(node, struct loop_job, in_fd)->kind == &refused_kind;
    }
}

/* A write that finds room, and is refused because of one in front of it, makes none wait for its own end: two writers
 * that try again at once would refuse each other for ever. */
loop_job loop_fd_refuse_write(struct loop_fd *fd, loop_fn *fn, void *arg)
{
    loop_job id;
    bool is_full = fd->queued_bytes > 0 && fd->queued_bytes >= loop_fd_limit(fd);
    struct loop_job *job = loop_job_start(fd->scope, fd, is_full ? &refused_kind : &refused_behind_kind, fn, arg, &id);
    if (job) {
        fd->has_overflowed = true;
        loop_job_complete(fd->scope->loop, job, -ENOBUFS);
    }
    return id;
}
