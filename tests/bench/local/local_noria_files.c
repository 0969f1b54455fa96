/* SPDX-License-Identifier: ISC
 *
 * Noria: file workloads. Random reads at a given depth, into chunks of the region (chunk) or into other memory (plain);
 * and a copy during which a periodic timer measures how long the loop was blocked.
 */
#include "local_noria.h"

#include <loop/low_level.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static struct loop_fd *open_file(struct loop_scope *scope, const char *path, int flags)
{
    struct loop_fd *fd = loop_fd_adopt(scope, (int)local_sys(path, open(path, flags | O_CLOEXEC, 0600)));
    local_check(fd != NULL, "a file couldn't be adopted");
    return fd;
}

/* ---- reads ---- */

struct reads {
    struct local_window window;
    const struct local_options *options;
    struct loop_env *env;
    struct loop_fd *fd;
    size_t file_size;
    uint64_t n_started;
    bool is_in_chunks;
    struct reader {
        struct reads *reads;
        struct loop_chunk *chunk;
        unsigned char *data;
        uint64_t offset;
    } * readers;
};

static void on_read(void *arg, int64_t result);

static void read_next(struct reader *reader)
{
    struct reads *reads = reader->reads;
    size_t size = reads->options->size;

    reader->offset = local_read_offset(reads->n_started++, reads->file_size, size);
    if (reads->is_in_chunks) {
        noria_job(loop_op_read_chunk(NULL, reads->fd, reader->chunk, size, (int64_t)reader->offset, on_read, reader));
    } else {
        noria_job(loop_op_read(NULL, reads->fd, reader->data, size, (int64_t)reader->offset, on_read, reader));
    }
}

static void end_reader(struct reader *reader)
{
    if (reader->chunk) {
        loop_chunk_free(reader->reads->env->loop, reader->chunk);
    } else {
        free(reader->data);
    }
}

static void on_read(void *arg, int64_t result)
{
    struct reader *reader = arg;
    struct reads *reads = reader->reads;

    local_check(result == (int64_t)reads->options->size, "a read has failed or was short");
    local_file_check(reader->data, reads->options->size, reader->offset);
    if (local_goes_on(&reads->window)) {
        read_next(reader);
    } else {
        end_reader(reader);
    }
}

static void begin_reader(struct reads *reads, struct reader *reader)
{
    reader->reads = reads;
    if (reads->is_in_chunks) {
        reader->chunk = loop_chunk_alloc(reads->env->loop);
        local_check(reader->chunk != NULL, "no chunk");
        reader->data = loop_chunk_data(reader->chunk);
    } else {
        reader->data = local_alloc(reads->options->size, 1);
    }
    read_next(reader);
}

static int start_reads(struct loop_env *env, void *arg)
{
    struct reads *reads = arg;

    reads->env = env;
    reads->fd = open_file(env->scope, reads->options->file, O_RDONLY);
    for (unsigned i = 0; i < reads->options->depth; i++) {
        begin_reader(reads, &reads->readers[i]);
    }
    return 0;
}

static void read_file(const struct local_options *options, struct local_result *result, bool is_in_chunks)
{
    struct reads reads = {.options = options, .is_in_chunks = is_in_chunks};

    reads.file_size = local_file_prepare(options);
    reads.readers = local_alloc(options->depth, sizeof *reads.readers);
    local_window_init(&reads.window, options, result);
    noria_run(options, options->size, start_reads, &reads);
    free(reads.readers);
}

void noria_read_chunk(const struct local_options *options, struct local_result *result)
{
    read_file(options, result, true);
}

void noria_read_plain(const struct local_options *options, struct local_result *result)
{
    read_file(options, result, false);
}

/* ---- a copy ---- */

struct copy {
    const struct local_options *options;
    struct loop_env *env;
    struct local_ticker ticker;
    int64_t copied;
    loop_job tick;
};

static void on_tick(void *arg, int64_t result)
{
    struct copy *copy = arg;

    if (result == 0) {
        int64_t next = local_tick(&copy->ticker);
        copy->tick = noria_job(loop_sleep_until(copy->env->scope, next, on_tick, copy));
    }
}

static void on_copied(void *arg, int64_t result)
{
    struct copy *copy = arg;

    if (result < 0) {
        local_fail("the copy has failed", result);
    }
    copy->copied = result;
    loop_cancel(copy->env->loop, copy->tick);
}

static int start_copy(struct loop_env *env, void *arg)
{
    struct copy *copy = arg;
    struct loop_fd *from = open_file(env->scope, copy->options->file, O_RDONLY);
    struct loop_fd *to = open_file(env->scope, copy->options->to, O_WRONLY | O_CREAT | O_EXCL);

    copy->env = env;
    copy->tick = noria_job(loop_sleep_until(env->scope, local_tick_first(&copy->ticker), on_tick, copy));
    noria_job(loop_copy(&loop_fd_flow(from)->source, &loop_fd_flow(to)->sink, on_copied, copy));
    return 0;
}

void noria_copy(const struct local_options *options, struct local_result *result)
{
    struct copy copy = {.options = options};
    size_t size = local_file_prepare(options);
    struct local_span span;

    local_copy_prepare(options);
    local_span_begin(&span);
    noria_run(options, 0, start_copy, &copy);
    local_copy_end(&span, options, result, size);
    local_check(copy.copied == (int64_t)size, "not all was copied");
    local_ticker_tell(&copy.ticker, result);
}
