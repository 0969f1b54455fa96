/* SPDX-License-Identifier: ISC
 *
 * Identical behaviour on all backends (P17): a test writes results line by line and compares them with a text that is
 * the same on every backend and in every NORIA_HARD mode. It writes only what is promised: results, and the order of
 * events on one object.
 */
#ifndef TESTS_SHOW_H
#define TESTS_SHOW_H

#include "error_name.h"
#include "harness.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#ifndef STATX_TYPE
#include <linux/stat.h> /* musl before 1.2.4 has no struct statx */
#endif

static inline void show(const char *what, int64_t result)
{
    const char *name = result < 0 ? error_name((int)-result) : NULL;

    if (name) {
        trace("%s: %s", what, name);
    } else {
        trace("%s: %lld", what, (long long)result);
    }
}

/* Awaits the job and records its result. */
#define SHOW(what, job)                                                                                                \
    do {                                                                                                               \
        AWAIT(job);                                                                                                    \
        show(what, result);                                                                                            \
    } while (0)

/* Records the results of two calls of loop_cancel on a job that cannot end by itself, and the job's result. */
#define SHOW_CANCELLED(what, job)                                                                                      \
    do {                                                                                                               \
        script_await(__LINE__);                                                                                        \
        cancel_twice(what, script_started(job));                                                                       \
        return;                                                                                                        \
    case __LINE__: show(what, result);                                                                                 \
    } while (0)

static inline void cancel_twice(const char *what, loop_job job)
{
    script.starting++; /* nothing is resumed inside a cancel */
    int first = loop_cancel(script.env->loop, job), second = loop_cancel(script.env->loop, job);
    script.starting--;
    trace("%s: loop_cancel says %d, then %d", what, first, second);
}

/* Results of jobs that run at the same time: recorded when all have ended. */
struct slot {
    unsigned count;
    int64_t result;
};

__attribute__((unused)) static unsigned slots_filled;

static inline void fill_slot(void *arg, int64_t result)
{
    struct slot *slot = arg;

    CHECK_IS(script.starting, 0);
    CHECK_IS(slot->count, 0);
    slot->count++;
    slot->result = result;
    slots_filled++;
    script_poke();
}

#define SLOT(slot) fill_slot, (slot)

static inline void stream_end(void *unused, int64_t result, struct loop_chunk *chunk)
{
    if (!chunk) {
        script_go(unused, result);
    }
}

static inline void receive_end(void *unused, int64_t result, void *data)
{
    CHECK(!data);
    script_go(unused, result);
}

#define STREAM_END stream_end, NULL
#define RECEIVE_END receive_end, NULL
__attribute__((unused)) static char shown_bytes[4096];
__attribute__((unused)) static const char *shown_directory;

static inline const char *path_of(const char *name)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/%s", shown_directory, name);
    return path;
}

__attribute__((unused)) static struct iovec one_byte = {shown_bytes, 1};
__attribute__((unused)) static struct loop_message one_message = {.iov = &one_byte, .n_iov = 1};
__attribute__((unused)) static struct statx shown_status;
__attribute__((unused)) static const struct loop_open_how for_reading = {.flags = O_RDONLY};
__attribute__((unused)) static const struct loop_open_how for_writing = {.flags = O_WRONLY};

/* A directory with a file and two links, one of which leads out of it. */
static inline struct loop_fd *make_paths(struct loop_scope *scope)
{
    shown_directory = make_directory();
    struct loop_fd *dir = adopt(scope, open(shown_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC));

    CHECK_IS(symlinkat("file", loop_fd_peek(dir), "link"), 0);
    CHECK_IS(symlinkat("/tmp", loop_fd_peek(dir), "away"), 0);
    return dir;
}

static inline void show_one(void *name, int64_t result)
{
    CHECK_IS(script.starting, 0);
    show(name, result);
    slots_filled++;
    script_poke();
}

#define NAMED(name) show_one, (void *)(uintptr_t)(name)

#endif
