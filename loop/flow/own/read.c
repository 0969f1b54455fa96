/* SPDX-License-Identifier: ISC
 *
 * Reads of sources that are no descriptor's. The job of such a read starts reads of the source, one or several after
 * another, and checks what they resume with.
 */
#include <loop/core/dispatch.h>
#include <loop/core/job.h>
#include <loop/core/log.h>
#include <loop/core/loop.h>
#include <loop/flow/descriptor/descriptor.h>
#include <loop/flow/own/kept.h>
#include <loop/flow/own/memory.h>
#include <loop/flow/own/own.h>
#include <loop/flow/own/pin.h>
#include <loop/flow/own/read.h>
#include <loop/flow/own/rest.h>

#include <errno.h>

struct own_read {
    struct loop_source *source;
    char *buf;
    size_t len, done;
    bool is_exact;           /* reads until `len` bytes have come */
    loop_job inner;          /* the source's, while it is in flight */
    struct loop_own *record; /* held: for an error behind some bytes; or NULL */
};

static_assert(sizeof(struct own_read) <= sizeof(((struct loop_job *)0)->u.large), "fits into a large job");

static struct own_read *read_of(struct loop_job *job)
{
    return (struct own_read *)(void *)job->u.large;
}

bool loop_source_is_own(const struct loop_source *source)
{
    return source->ops != &loop_fd_source && !loop_source_is_rest(source) && !loop_source_is_ready_made(source);
}

int64_t loop_own_checked(const struct loop *loop, const char *function, int64_t result, size_t asked)
{
    if (result > 0 && (uint64_t)result > asked) {
        loop_misuse(loop, function, "it answered more bytes than were asked for",
                    "answer 1 to len, 0 at the end, or a negative errno");
        return -EINVAL;
    }
    return result < INT32_MIN ? -EINVAL : result;
}

static void cancel(struct loop *loop, struct loop_job *job)
{
    loop_cancel(loop, read_of(job)->inner);
}

static const struct loop_job_kind read_kind = {.name = "read", .cancel = cancel, .size = LOOP_JOB_LARGE};

static const struct loop_job_kind kept_kind = {.name = "read of kept bytes"};

/* Starts a read of what is kept for the next one, which takes nothing where there is no memory for the job. */
static loop_job read_kept(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    loop_job id;
    struct loop_job *job = loop_job_start(source->scope, NULL, &kept_kind, fn, arg, &id);
    if (job) {
        loop_job_complete(source->scope->loop, job, loop_source_take_kept(source, buf, len));
    }
    return id;
}

loop_job loop_source_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    if (source->ops == &loop_fd_source) {
        return loop_fd_read(loop_fd_of_source(source), (struct iovec){buf, len}, false, fn, arg);
    }
    if (loop_own_is_over(source->scope)) {
        return loop_job_instant(source->scope, -ECANCELED, fn, arg);
    }
    return loop_source_has_kept(source) ? read_kept(source, buf, len, fn, arg)
                                        : source->ops->read(source, buf, len, fn, arg);
}

static void on_part(void *arg, int64_t result);

/* Starts the next read of the source, whose function may cancel the job. False when the source has started none. */
static bool start_part(struct loop_job *job)
{
    struct loop *loop = job->scope->loop;
    struct own_read *read = read_of(job);
    loop_job inner = loop_source_read(read->source, read->buf + read->done, read->len - read->done, on_part, job);
    read->inner = loop_job_inner(loop, inner, job->scope);
    if (inner && job->is_cancelled) {
        loop_cancel(loop, inner);
    }
    return inner != 0;
}

/* Drops what the job keeps of its source. */
static void let_go(struct own_read *read)
{
    loop_own_release(read->record);
    loop_source_unpin(read->source);
}

/* Goes on after a read of the source, or finishes the job. */
static void on_part(void *arg, int64_t result)
{
    struct loop_job *job = arg;
    struct own_read *read = read_of(job);
    struct loop *loop = job->scope->loop;
    read->inner = 0;
    result = loop_own_checked(loop, "read of a source of one's own", result, read->len - read->done);
    if (result > 0) {
        read->done += (size_t)result;
        assert(read->done <= read->len);
        if (read->is_exact && read->done < read->len && !job->is_cancelled) {
            if (start_part(job)) {
                return;
            }
            result = job->is_cancelled ? -ECANCELED : -ENOMEM;
        }
    }
    if (result < 0 && read->done > 0) {
        loop_source_keep_error(read->source, result);
    }
    let_go(read);
    loop_job_finish(loop, job, read->done > 0 ? (int64_t)read->done : result);
}

loop_job loop_own_read(struct loop_source *source, struct iovec buffer, bool is_exact, loop_fn *fn, void *arg)
{
    loop_job id;
    struct loop_job *job = loop_job_start(source->scope, NULL, &read_kind, fn, arg, &id);
    if (!job) {
        return id;
    }
    job->where = LOOP_AT_OWNER;
    *read_of(job) =
        (struct own_read){.source = source, .buf = buffer.iov_base, .len = buffer.iov_len, .is_exact = is_exact};
    loop_source_pin(source);
    read_of(job)->record = is_exact ? loop_own_hold(source) : NULL;
    if ((is_exact && !read_of(job)->record) || !start_part(job)) {
        let_go(read_of(job));
        loop_job_complete(source->scope->loop, job, job->is_cancelled ? -ECANCELED : -ENOMEM);
    }
    return id;
}
