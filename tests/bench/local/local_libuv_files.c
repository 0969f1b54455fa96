/* SPDX-License-Identifier: ISC
 *
 * libuv: file workloads, on its thread pool. A copy is one request for the whole file (copyfile), or one request per
 * block (blocks).
 */
#include "local_libuv.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static uv_file open_file(const char *path, int flags)
{
    return (uv_file)local_sys(path, open(path, flags | O_CLOEXEC, 0600));
}

/* ---- reads ---- */

struct reads {
    struct local_window window;
    size_t size, file_size;
    uint64_t n_started;
    uv_file file;
    struct reader {
        uv_fs_t request;
        unsigned char *data;
        uint64_t offset;
    } * readers;
};

static void on_read(uv_fs_t *request);

static void read_next(uv_loop_t *loop, struct reader *reader)
{
    struct reads *reads = loop->data;
    uv_buf_t buf = uv_buf_init((char *)reader->data, (unsigned)reads->size);

    reader->offset = local_read_offset(reads->n_started++, reads->file_size, reads->size);
    libuv_check(uv_fs_read(loop, &reader->request, reads->file, &buf, 1, (int64_t)reader->offset, on_read),
                "uv_fs_read");
}

static void on_read(uv_fs_t *request)
{
    struct reader *reader = (struct reader *)(void *)request;
    uv_loop_t *loop = request->loop;
    struct reads *reads = loop->data;

    local_check(request->result == (ssize_t)reads->size, "a read has failed or was short");
    local_file_check(reader->data, reads->size, reader->offset);
    uv_fs_req_cleanup(request);
    if (local_goes_on(&reads->window)) {
        read_next(loop, reader);
    }
}

void libuv_read(const struct local_options *options, struct local_result *result)
{
    struct reads reads = {.size = options->size};
    unsigned char *data = local_alloc(options->depth, options->size);
    uv_loop_t loop;

    reads.file_size = local_file_prepare(options);
    reads.file = open_file(options->file, O_RDONLY);
    reads.readers = local_alloc(options->depth, sizeof *reads.readers);
    local_window_init(&reads.window, options, result);
    libuv_begin(&loop, &reads);
    for (unsigned i = 0; i < options->depth; i++) {
        reads.readers[i].data = data + i * options->size;
        read_next(&loop, &reads.readers[i]);
    }
    libuv_run_and_end(&loop);
    close(reads.file);
    free(reads.readers);
    free(data);
}

/* ---- copies, with a ticker beside ---- */

struct copy {
    uv_loop_t loop;
    uv_timer_t timer;
    struct local_ticker ticker;
    struct local_span span;
    const struct local_options *options;
    size_t file_size;
};

/* libuv's timers are of whole milliseconds, so the next one is at least that far away. */
static void on_tick(uv_timer_t *timer)
{
    struct copy *copy = timer->loop->data;
    (void)local_tick(&copy->ticker);
}

static void begin_copy(struct copy *copy, const struct local_options *options)
{
    *copy = (struct copy){.options = options};
    copy->file_size = local_file_prepare(options);
    local_copy_prepare(options);
    local_span_begin(&copy->span);
    libuv_begin(&copy->loop, copy);
    (void)uv_timer_init(&copy->loop, &copy->timer);
    (void)local_tick_first(&copy->ticker);
    libuv_check(uv_timer_start(&copy->timer, on_tick, 1, 1), "uv_timer_start");
}

static void run_copy(struct copy *copy, struct local_result *result)
{
    libuv_run_and_end(&copy->loop);
    local_copy_end(&copy->span, copy->options, result, copy->file_size);
    local_ticker_tell(&copy->ticker, result);
}

static void on_file_copied(uv_fs_t *request)
{
    struct copy *copy = request->loop->data;

    libuv_check((int)request->result, "uv_fs_copyfile");
    uv_fs_req_cleanup(request);
    uv_close((uv_handle_t *)&copy->timer, NULL);
}

void libuv_copy_file(const struct local_options *options, struct local_result *result)
{
    struct copy copy;
    uv_fs_t request;

    begin_copy(&copy, options);
    libuv_check(uv_fs_copyfile(&copy.loop, &request, options->file, options->to, 0, on_file_copied), "uv_fs_copyfile");
    run_copy(&copy, result);
}

/* ---- block by block, many at a time: each slot reads a block, writes it, reads another one ---- */

#define BLOCKS 32

struct blocks {
    struct copy copy;
    uv_file from, to;
    uint64_t next;
    unsigned n_busy;
    struct block {
        uv_fs_t request;
        struct blocks *blocks;
        unsigned char *data;
        uint64_t offset;
        size_t len;
    } all[BLOCKS];
};

static void read_block(struct block *block);

static void on_block_written(uv_fs_t *request)
{
    struct block *block = (struct block *)(void *)request;

    local_check(request->result == (ssize_t)block->len, "a write has failed or was short");
    uv_fs_req_cleanup(request);
    read_block(block);
}

static void on_block_read(uv_fs_t *request)
{
    struct block *block = (struct block *)(void *)request;
    uv_buf_t buf;

    local_check(request->result > 0, "a read has failed");
    block->len = (size_t)request->result;
    buf = uv_buf_init((char *)block->data, (unsigned)block->len);
    uv_fs_req_cleanup(request);
    libuv_check(uv_fs_write(&block->blocks->copy.loop, request, block->blocks->to, &buf, 1, (int64_t)block->offset,
                            on_block_written),
                "uv_fs_write");
}

static void read_block(struct block *block)
{
    struct blocks *blocks = block->blocks;
    size_t size = blocks->copy.options->size;
    uv_buf_t buf = uv_buf_init((char *)block->data, (unsigned)size);

    if (blocks->next >= blocks->copy.file_size) {
        if (--blocks->n_busy == 0) {
            uv_close((uv_handle_t *)&blocks->copy.timer, NULL);
        }
        return;
    }
    block->offset = blocks->next;
    blocks->next += size;
    libuv_check(
        uv_fs_read(&blocks->copy.loop, &block->request, blocks->from, &buf, 1, (int64_t)block->offset, on_block_read),
        "uv_fs_read");
}

void libuv_copy_blocks(const struct local_options *options, struct local_result *result)
{
    struct blocks *blocks = local_alloc(1, sizeof *blocks);
    unsigned char *data = local_alloc(BLOCKS, options->size);

    begin_copy(&blocks->copy, options);
    blocks->from = open_file(options->file, O_RDONLY);
    blocks->to = open_file(options->to, O_WRONLY | O_CREAT | O_EXCL);
    blocks->n_busy = BLOCKS;
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks->all[i].blocks = blocks;
        blocks->all[i].data = data + i * options->size;
        read_block(&blocks->all[i]);
    }
    run_copy(&blocks->copy, result);
    close(blocks->from);
    close(blocks->to);
    free(data);
    free(blocks);
}
