/* SPDX-License-Identifier: ISC
 *
 * Fuzzes writers. The sink completes writes later, stops in the middle, or fails. The output must equal the accepted
 * bytes if the shutdown succeeds, and be a prefix of them otherwise.
 */
#include "fuzz.h"

#include <loop/writer.h>

enum { OPERATIONS = 200, MOST_BYTES = 200 * 300 };

enum what { PUT, PUT_REF, PRINT, NUMBER, FLUSH, DRAINED, CORK, UNCORK, PASS, ABORT, CANCEL, KINDS };

static struct {
    struct fuzz_input input;
    struct loop_env *env;
    struct loop_sink sink;
    struct loop_writer *writer;
    size_t limit;
    char taken[MOST_BYTES], out[MOST_BYTES];
    size_t n_taken, n_out;
    bool is_refused, is_aborted, has_failed, is_shut;
    unsigned done, waiting, n_refusals;
    loop_job last;
    /* the write in progress */
    loop_job write;
    const struct iovec *iov;
    size_t n_iov;
} now;

static char material[300];

static void next_operations(void *unused, int64_t result);

/* ---- the sink ---- */

/* Accepts at most the first `most` bytes of the write in progress. */
static size_t take_bytes(size_t most)
{
    size_t taken = 0;

    for (size_t i = 0; i < now.n_iov && taken < most; i++) {
        size_t n = now.iov[i].iov_len < most - taken ? now.iov[i].iov_len : most - taken;
        FUZZ_MUST(now.n_out + n <= now.n_taken);
        memcpy(now.out + now.n_out, now.iov[i].iov_base, n);
        now.n_out += n;
        taken += n;
    }
    return taken;
}

static void end_write(void *unused, int64_t result)
{
    size_t how = fuzz_take(&now.input, 16), total = 0;
    loop_job write = now.write;

    (void)unused;
    (void)result;
    for (size_t i = 0; i < now.n_iov; i++) {
        total += now.iov[i].iov_len;
    }
    now.write = 0;
    if (!loop_job_is_alive(now.env->loop, write)) {
        return; /* cancelled: its memory may have been reused */
    }
    if (how == 0 && now.has_failed) {
        loop_resolve(now.env->loop, write, -EIO);
    } else if (how == 1 && now.has_failed && total > 1) {
        loop_resolve(now.env->loop, write, (int64_t)take_bytes(1 + fuzz_take(&now.input, total - 1)));
    } else {
        loop_resolve(now.env->loop, write, (int64_t)take_bytes(total));
    }
}

static loop_job sink_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn, void *arg)
{
    FUZZ_MUST(!now.write && !now.is_shut);
    now.write = loop_promise(sink->scope, NULL, NULL, fn, arg);
    now.iov = iov;
    now.n_iov = n_iov;
    loop_job write = now.write;
    if (fuzz_take(&now.input, 3) == 0) {
        end_write(NULL, 0);
    } else {
        loop_op_nop(sink->scope, end_write, NULL);
    }
    return write;
}

static loop_job sink_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    now.is_shut = true;
    loop_job job = loop_promise(sink->scope, NULL, NULL, fn, arg);
    loop_resolve(now.env->loop, job, 0);
    return job;
}

static const struct loop_sink_ops sink_ops = {.write = sink_write, .shutdown = sink_shutdown};

/* ---- what is appended ---- */

/* Checks the writer's result for an append of these bytes, and records the accepted ones. */
static void appended(const char *bytes, size_t len, int answer)
{
    FUZZ_MUST(answer == 0 || answer == -ENOBUFS || now.is_aborted || now.has_failed);
    FUZZ_MUST(answer != 0 || !now.is_refused);
    if (answer == 0) {
        memcpy(now.taken + now.n_taken, bytes, len);
        now.n_taken += len;
    } else if (answer == -ENOBUFS) {
        FUZZ_MUST(now.is_refused || loop_writer_pending(now.writer) >= now.limit);
        now.n_refusals += !now.is_refused;
        now.is_refused = true;
    }
}

static void append(enum what what, size_t len)
{
    char text[64];
    const char *bytes = material + fuzz_take(&now.input, sizeof material - len);

    if (what == PUT) {
        appended(bytes, len, loop_writer_append(now.writer, bytes, len));
    } else if (what == PUT_REF) {
        appended(bytes, len, loop_writer_append_borrowed(now.writer, bytes, len));
    } else if (what == PRINT) {
        int n = snprintf(text, sizeof text, "%zu:%.*s", len, (int)(len % 40), bytes);
        appended(text, (size_t)n, loop_writer_print(now.writer, "%zu:%.*s", len, (int)(len % 40), bytes));
    } else {
        loop_put_u32_be(text, (uint32_t)len);
        appended(text, 4, loop_writer_u32_be(now.writer, (uint32_t)len));
    }
}

/* ---- what is waited for ---- */

static void on_end(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    now.waiting--;
}

/* `refusal` is the number of refusals when the flush was started: the flush reports that one, and clears no later
 * one. */
static void on_flushed(void *refusal, int64_t result)
{
    bool is_last = (uintptr_t)refusal == now.n_refusals;

    now.waiting--;
    FUZZ_MUST(result != 0 || !is_last || !now.is_refused);
    FUZZ_MUST(result == 0 || result == -ENOBUFS || result == -ECANCELED || now.has_failed);
    if (result == -ENOBUFS && is_last) {
        now.is_refused = false;
    }
}

static void on_drained(void *unused, int64_t result)
{
    (void)unused;
    now.waiting--;
    FUZZ_MUST(result == 0 || result == -ECANCELED || now.has_failed);
    if (result == 0) {
        now.is_refused = false;
    }
}

static void on_shut(void *unused, int64_t result)
{
    (void)unused;
    now.waiting--;
    loop_scope_unhold(now.sink.scope);
    FUZZ_MUST(result != 0 || (now.n_out == now.n_taken && now.is_shut));
    FUZZ_MUST(result == 0 || now.has_failed || now.is_aborted || now.is_refused || result == -ENOBUFS);
}

static void operate(enum what what)
{
    switch (what) {
    case PUT:
    case PUT_REF:
    case PRINT:
    case NUMBER: append(what, fuzz_take(&now.input, 256)); break;
    case FLUSH:
        now.waiting++;
        now.last = loop_writer_flush(now.writer, on_flushed, (void *)(uintptr_t)now.n_refusals);
        break;
    case DRAINED:
        now.waiting++;
        now.last = loop_writer_wait_drained(now.writer, on_drained, NULL);
        break;
    case CORK: loop_writer_cork(now.writer); break;
    case UNCORK: loop_writer_uncork(now.writer); break;
    case CANCEL: loop_cancel(now.env->loop, now.last); break;
    default:
        if (fuzz_take(&now.input, 16) == 0) {
            now.is_aborted = true;
            loop_writer_abort(now.writer);
        }
        break;
    }
}

static void next_operations(void *unused, int64_t result)
{
    (void)unused;
    (void)result;
    while (now.input.size > 0 && now.done++ < OPERATIONS) {
        enum what what = (enum what)fuzz_take(&now.input, KINDS);
        if (what == PASS) {
            loop_op_nop(now.env->scope, next_operations, NULL);
            return;
        }
        operate(what);
    }
    now.waiting++;
    loop_writer_shutdown(now.writer, on_shut, NULL);
}

static int begin(struct loop_env *env, void *unused)
{
    (void)unused;
    now.env = env;
    now.sink = (struct loop_sink){.ops = &sink_ops, .scope = loop_scope_open(env->scope, on_end, NULL)};
    now.waiting = 1; /* the end of the scope */
    loop_scope_hold(now.sink.scope);
    now.writer = loop_writer_create(&now.sink, now.limit);
    FUZZ_MUST(now.writer != NULL);
    next_operations(NULL, 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    memset(&now, 0, sizeof now);
    now.input = (struct fuzz_input){data, size};
    now.limit = 1 + fuzz_take(&now.input, 1000);
    now.has_failed = fuzz_take(&now.input, 2);
    for (size_t i = 0; i < sizeof material; i++) {
        material[i] = (char)('!' + i % 90);
    }
    fuzz_run(begin, NULL);
    FUZZ_MUST(now.waiting == 0 && memcmp(now.out, now.taken, now.n_out) == 0);
    FUZZ_MUST(now.n_out == now.n_taken || now.has_failed || now.is_aborted || now.is_refused || !now.is_shut);
    return 0;
}
