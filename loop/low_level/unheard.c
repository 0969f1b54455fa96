/* SPDX-License-Identifier: ISC
 *
 * Output of the low level without a continuation. A partial write could not be reported to the program. So it continues
 * with the rest, until all bytes are written or an error fails the scope.
 */
#include <loop/core/backend.h>
#include <loop/core/dispatch.h>
#include <loop/core/job.h>
#include <loop/core/loop.h>
#include <loop/core/operation.h>
#include <loop/ground/list.h>
#include <loop/kernel/memory.h>
#include <loop/low_level/kind.h>
#include <loop/syscall/direct.h>
#include <loop/syscall/request.h>

#include <errno.h>
#include <string.h>

static size_t length_of(const struct iovec *iov, size_t n_iov)
{
    size_t total = 0;
    for (size_t i = 0; i < n_iov; i++) {
        total += iov[i].iov_len;
    }
    return total;
}

/* Returns how many bytes the operation is to move: 0 if it moves none. */
static size_t asked_of(const struct loop_job *job)
{
    const struct loop_op_args *args = &job->u.args;
    const struct loop_op_row *row = &loop_op_table[job->op];
    const struct msghdr *header = row->has_header ? args->extra : NULL;
    if (row->op_class == LOOP_CLASS_MOVE) {
        return row->takes_vectors ? length_of(args->move.iov, args->move.n_iov) : args->move.len;
    }
    if (header) {
        return length_of(header->msg_iov, header->msg_iovlen);
    }
    return row->is_message ? args->message.len : 0;
}

/* Copies the vectors without their first `n` bytes to `to`. Returns the number of vectors left. */
static size_t copy_rest(struct iovec *to, const struct iovec *iov, size_t n_iov, size_t n)
{
    while (n_iov > 0 && n >= iov->iov_len) {
        n -= iov->iov_len;
        iov++;
        n_iov--;
    }
    for (size_t i = 0; i < n_iov; i++, n = 0) {
        to[i] = (struct iovec){(char *)iov[i].iov_base + n, iov[i].iov_len - n};
    }
    return n_iov;
}

/* Replaces the program's vectors by a copy of what is left of them. */
static int advance_vectors(struct loop_op_args *args, size_t n)
{
    struct iovec *rest = loop_kernel_calloc(args->move.n_iov, sizeof *rest);
    if (!rest) {
        return -ENOMEM;
    }
    args->move.n_iov = copy_rest(rest, args->move.iov, args->move.n_iov, n);
    args->move.iov = rest;
    loop_kernel_free(args->extra);
    args->extra = rest;
    return 0;
}

/* Replaces the message by what is left of it, without the descriptors: they were sent with the first bytes. */
static int advance_message(struct loop_op_args *args, size_t n)
{
    const struct msghdr *header = args->extra;
    struct iovec *iov;
    struct loop_message_request *rest = loop_kernel_malloc(sizeof *rest + header->msg_iovlen * sizeof *iov);
    if (!rest) {
        return -ENOMEM;
    }
    iov = (struct iovec *)(void *)(rest + 1);
    rest->header = *header;
    rest->header.msg_control = NULL;
    rest->header.msg_controllen = 0;
    rest->header.msg_iovlen = (int)copy_rest(iov, header->msg_iov, header->msg_iovlen, n);
    rest->header.msg_iov = iov;
    loop_kernel_free(args->extra);
    args->extra = rest;
    return 0;
}

static void advance_move(struct loop_move_args *args, size_t n)
{
    args->data = (char *)args->data + n;
    args->len -= n;
}

static int advance_send(struct loop_message_args *args, size_t n)
{
    args->data = (char *)args->data + n;
    args->len -= n;
    args->done = 0;
    return 0;
}

/* Advances the arguments of a write by `n` bytes. Returns 0 or -ENOMEM. */
static int advance_write(struct loop_job *job, size_t n)
{
    struct loop_move_args *args = &job->u.args.move;
    args->offset += args->offset != LOOP_CURRENT ? (int64_t)n : 0;
    if (loop_op_table[job->op].takes_vectors) {
        return advance_vectors(&job->u.args, n);
    }
    advance_move(args, n);
    return 0;
}

/* Advances the arguments by `n` bytes. Returns 0 or -ENOMEM. */
static int advance(struct loop_job *job, size_t n)
{
    const struct loop_op_row *row = &loop_op_table[job->op];
    if (row->op_class == LOOP_CLASS_MOVE) {
        return advance_write(job, n);
    }
    return row->has_header ? advance_message(&job->u.args, n) : advance_send(&job->u.args.message, n);
}

static int64_t rest_of(struct loop_job *job, int64_t result)
{
    if (result < 0 || (uint64_t)result >= asked_of(job)) {
        return result;
    }
    int error = job->is_cancelled ? -ECANCELED : result == 0 ? -EIO : advance(job, (size_t)result);
    return error ? error : LOOP_GOES_ON;
}

/* Ends the job, or starts it again for the rest. Jobs that went on where they were tried (attempt_unheard, the ring)
 * come here with their last result. */
static void unheard_done(struct loop *loop, struct loop_job *job, int64_t result)
{
    result = rest_of(job, result);
    if (result != LOOP_GOES_ON) {
        loop_job_finish(loop, job, result);
    } else {
        loop_line_remove(&job->link);
        loop->backend->start(loop, job);
    }
}

/* Tries the write. A partial one keeps its place in front of writes that were started later. */
static enum loop_attempt attempt_unheard(struct loop *loop, struct loop_job *job)
{
    enum loop_attempt attempt = loop_direct_attempt(loop, job);
    int64_t result = attempt == LOOP_ATTEMPT_DONE ? rest_of(job, job->result) : 0;
    if (result == LOOP_GOES_ON) {
        return job->fd->ready & POLLOUT ? LOOP_ATTEMPT_MORE : LOOP_ATTEMPT_AGAIN;
    }
    job->result = result;
    return attempt;
}

const struct loop_job_kind loop_unheard_kind = {.name = "operation",
                                                .cancel = loop_job_cancel_by_backend,
                                                .attempt = attempt_unheard,
                                                .backend_done = unheard_done,
                                                .rest = rest_of,
                                                .is_written_whole = true,
                                                .size = LOOP_JOB_LARGE};
