/* SPDX-License-Identifier: ISC
 *
 * A source and a sink that the program implements itself.
 */
#ifndef TESTS_OWN_H
#define TESTS_OWN_H

#include "harness.h"

#include <sys/uio.h>

/* A source of `left` ascending bytes: each read completes one turn later with a few of them. */
struct counter {
    struct loop_source source;
    struct loop *loop;
    size_t left, at;
    unsigned cancels, closes;
    void *buf;
    size_t len;
    loop_job job, timer;
};

static inline void counter_due(void *arg, int64_t result)
{
    struct counter *counter = arg;
    size_t n = counter->left < counter->len ? counter->left : counter->len;

    if (result == 0) {
        n = n > 1000 ? 1000 : n;
        for (size_t i = 0; i < n; i++) {
            ((char *)counter->buf)[i] = (char)counter->at++;
        }
        counter->left -= n;
        loop_resolve(counter->loop, counter->job, (int64_t)n);
    } else {
        loop_resolve(counter->loop, counter->job, -ECANCELED);
    }
}

static inline void counter_cancel(void *arg, loop_job job)
{
    struct counter *counter = arg;

    (void)job;
    counter->cancels++;
    loop_cancel(counter->loop, counter->timer);
}

static inline loop_job counter_read(struct loop_source *source, void *buf, size_t len, loop_fn *fn, void *arg)
{
    struct counter *counter = source->self;

    CHECK(len > 0);
    counter->buf = buf;
    counter->len = len;
    counter->job = loop_promise(source->scope, counter_cancel, counter, fn, arg);
    counter->timer = loop_sleep(source->scope, 0, counter_due, counter);
    return counter->job;
}

static inline int counter_close(struct loop_source *source)
{
    return ((struct counter *)source->self)->closes++ ? -EBADF : 0;
}

__attribute__((unused)) static const struct loop_source_ops counter_ops = {.read = counter_read,
                                                                           .close = counter_close};

static inline struct loop_source *make_counter(struct loop_env *env, struct counter *counter, size_t length)
{
    *counter = (struct counter){.source = {&counter_ops, env->scope, counter}, .loop = env->loop, .left = length};
    return &counter->source;
}

/* A sink that expects ascending bytes: each write completes one turn later, in order. */
struct checker {
    struct loop_sink sink;
    struct loop *loop;
    size_t length;
    unsigned writes, shutdowns, closes;
};

struct check {
    struct checker *checker;
    loop_job job;
    int64_t result;
};

static inline void check_due(void *arg, int64_t result)
{
    struct check *check = arg;

    (void)result;
    loop_resolve(check->checker->loop, check->job, check->result);
    free(check);
}

static inline loop_job answer_later(struct checker *checker, int64_t result, loop_fn *fn, void *arg)
{
    struct check *check = malloc(sizeof *check);

    *check = (struct check){checker, loop_promise(checker->sink.scope, NULL, NULL, fn, arg), result};
    loop_job job = check->job;
    CHECK(loop_sleep(checker->sink.scope, 0, check_due, check) != 0);
    return job;
}

static inline loop_job checker_write(struct loop_sink *sink, const struct iovec *iov, size_t n_iov, loop_fn *fn,
                                     void *arg)
{
    struct checker *checker = sink->self;
    int64_t total = 0;

    checker->writes++;
    for (size_t i = 0; i < n_iov; i++) {
        const char *bytes = iov[i].iov_base;
        for (size_t at = 0; at < iov[i].iov_len; at++) {
            CHECK_IS(bytes[at], (char)checker->length++);
        }
        total += (int64_t)iov[i].iov_len;
    }
    return answer_later(checker, total, fn, arg);
}

static inline loop_job checker_shutdown(struct loop_sink *sink, loop_fn *fn, void *arg)
{
    struct checker *checker = sink->self;

    checker->shutdowns++;
    return answer_later(checker, 0, fn, arg);
}

static inline int checker_close(struct loop_sink *sink)
{
    return ((struct checker *)sink->self)->closes++ ? -EBADF : 0;
}

__attribute__((unused)) static const struct loop_sink_ops checker_ops = {
    .write = checker_write, .shutdown = checker_shutdown, .close = checker_close};

static inline struct loop_sink *make_checker(struct loop_env *env, struct checker *checker)
{
    *checker = (struct checker){.sink = {&checker_ops, env->scope, checker}, .loop = env->loop};
    return &checker->sink;
}

#endif
