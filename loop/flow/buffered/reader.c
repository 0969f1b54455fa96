/* SPDX-License-Identifier: ISC
 *
 * Buffered reading: the calls that start an operation, and those that look at the buffer.
 */
#include <loop/core/check.h>
#include <loop/flow/buffered/reader_buffer.h>
#include <loop/flow/buffered/reader_keep.h>
#include <loop/flow/buffered/reader_operation.h>
#include <loop/flow/buffered/reader_state.h>
#include <loop/flow/buffered/reader_steps.h>

#include <errno.h>

/* Checks the reader and starts the operation. */
static loop_job begin_step(struct loop_reader *reader, const char *function,
                           const struct loop_reader_operation *operation, loop_fn *fn, void *arg)
{
    return loop_reader_is_good(reader, function) ? loop_reader_start(reader, operation, fn, arg) : 0;
}

loop_job loop_reader_line(struct loop_reader *reader, loop_fn *fn, void *arg)
{
    struct loop_reader_operation operation = {.step = loop_reader_step_line, .len = 1};
    return begin_step(reader, __func__, &operation, fn, arg);
}

loop_job loop_reader_until(struct loop_reader *reader, const void *delimiter, size_t delimiter_len, loop_fn *fn,
                           void *arg)
{
    struct loop_reader_operation operation = {
        .step = loop_reader_step_until, .bytes = (void *)(uintptr_t)delimiter, .len = delimiter ? delimiter_len : 0};
    return begin_step(reader, __func__, &operation, fn, arg);
}

loop_job loop_reader_exact(struct loop_reader *reader, size_t len, loop_fn *fn, void *arg)
{
    struct loop_reader_operation operation = {.step = loop_reader_step_exact, .len = len};
    return begin_step(reader, __func__, &operation, fn, arg);
}

loop_job loop_reader_take(struct loop_reader *reader, size_t len, loop_fn *fn, void *arg)
{
    struct loop_reader_operation operation = {.step = loop_reader_step_take, .len = len};
    return begin_step(reader, __func__, &operation, fn, arg);
}

loop_job loop_reader_all(struct loop_reader *reader, loop_fn *fn, void *arg)
{
    struct loop_reader_operation operation = {.step = loop_reader_step_all, .len = 1};
    return begin_step(reader, __func__, &operation, fn, arg);
}

loop_job loop_reader_skip(struct loop_reader *reader, uint64_t len, loop_fn *fn, void *arg)
{
    /* a result cannot count more than INT64_MAX */
    struct loop_reader_operation operation = {.step = loop_reader_step_skip, .len = len <= INT64_MAX ? len : 0};
    return begin_step(reader, __func__, &operation, fn, arg);
}

loop_job loop_reader_fill(struct loop_reader *reader, size_t len, loop_fn *fn, void *arg)
{
    struct loop_reader_operation operation = {.step = loop_reader_step_fill, .len = len};
    return begin_step(reader, __func__, &operation, fn, arg);
}

/* ---- what is buffered ---- */

const char *loop_reader_data(const struct loop_reader *reader, size_t *len)
{
    bool is_good = loop_reader_is_good(reader, __func__);
    if (is_good) {
        LOOP_CHECK_THREAD(reader->loop);
    }
    if (len) {
        *len = is_good ? reader->data_len : 0;
    }
    return is_good ? reader->data : "";
}

const char *loop_reader_peek(const struct loop_reader *reader, size_t *len)
{
    size_t n = 0;
    if (loop_reader_is_good(reader, __func__)) {
        LOOP_CHECK_THREAD(reader->loop);
        n = loop_reader_running(reader) ? 0 : loop_reader_buffered(reader);
    }
    if (len) {
        *len = n;
    }
    return n > 0 ? loop_reader_buffer_first(&reader->buffer) : "";
}

int loop_reader_consume(struct loop_reader *reader, size_t len)
{
    if (!loop_reader_is_good(reader, __func__)) {
        return -EINVAL;
    }
    LOOP_CHECK_THREAD(reader->loop);
    if (loop_reader_running(reader)) {
        return -EBUSY;
    }
    if (len > loop_reader_buffered(reader)) {
        return -EINVAL;
    }
    reader->buffer.start += len;
    return 0;
}
